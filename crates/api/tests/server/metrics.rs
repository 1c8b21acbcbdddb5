//! `/metrics` as a scraper sees it (`api.md` 8).

use crate::harness::{Answer, Server};

const PAGE: &str = "\
# HELP fleet_operation_count_total Operations.
# TYPE fleet_operation_count_total counter
fleet_operation_count_total{type=\"get\"} 7
";

#[tokio::test]
async fn every_method_is_answered_with_the_page() {
    let server = Server::start();
    for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "QUUX"] {
        let answer = server.call(method, "/metrics").await;
        assert_eq!(
            answer.head,
            format!(
                "HTTP/1.1 200 OK\nContent-Type: text/plain; version=0.0.4\n\
                 Server: fleetd/v2.0.0-test\nContent-Length: {}",
                PAGE.len()
            )
        );
        assert_eq!(answer.body, PAGE, "{method}");
    }
    let head = server.call("HEAD", "/metrics").await;
    assert_eq!(head, Answer { body: String::new(), ..server.get("/metrics").await });
    let options = server.call("OPTIONS", "/metrics").await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("Allow"), Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"));
}

#[tokio::test]
async fn the_page_is_at_its_own_path_only() {
    let server = Server::start();
    for path in ["/metrics/", "/fleet/v1/metrics", "/v1-alpha/metrics", "/metrics/x"] {
        server.get(path).await.assert_error(404, "");
    }
    assert_eq!(server.get("/metrics?name=x").await.body, PAGE);
}
