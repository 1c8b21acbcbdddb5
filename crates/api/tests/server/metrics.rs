//! `/metrics` as a scraper sees it (`api.md` 8).

use std::io::Read as _;

use flate2::read::GzDecoder;

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
                 Vary: Accept-Encoding\nServer: fleetd/v2.0.0-test\nContent-Length: {}",
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

#[tokio::test]
async fn whoever_takes_gzip_gets_it() {
    let server = Server::start();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip\r\n\r\n";
    let answer = server.raw(request.as_bytes()).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = (std::str::from_utf8(&answer[..end]).unwrap(), &answer[end..]);
    for line in [
        "Content-Encoding: gzip",
        "Vary: Accept-Encoding",
        "Content-Type: text/plain; version=0.0.4",
    ] {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    let mut page = String::new();
    GzDecoder::new(body).read_to_string(&mut page).unwrap();
    assert_eq!(page, PAGE);
    // Small answers of the API aren't.
    let units = server.send("GET", "/fleet/v1/units", "Accept-Encoding: gzip\r\n", "").await;
    units.assert_ok("{}");
}
