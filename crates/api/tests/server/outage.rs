//! What clients see while the server can't work (`api.md` 1.2, `spec/README.md` 4).

use fleet_core::JobState;

use crate::harness::{SLEEP, SLEEP_OPTIONS, Server};

const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\nContent-Type: application/json\nContent-Length: 79";
const BODY: &str =
    r#"{"error":{"code":503,"message":"fleet server unable to communicate with etcd"}}"#;

#[tokio::test]
async fn every_request_is_503_while_unavailable_but_for_metrics() {
    let server = Server::start();
    server.availability.set(false);
    for path in ["/", "/fleet/v1/units", "//x", "/fleet/v1/discovery", "/bogus", "*"] {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "QUUX", "HEAD"] {
            let answer = server.call(method, path).await;
            assert_eq!(answer.head, UNAVAILABLE, "{method} {path}");
            assert_eq!(answer.body, if method == "HEAD" { "" } else { BODY });
        }
    }
    // Monitoring needs it most when something is wrong.
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    server.availability.set(true);
    server.get("/fleet/v1/units").await.assert_ok("{}");
}

#[tokio::test]
async fn a_store_that_is_away_gives_the_same_503() {
    let server = Server::start();
    server.create("a.service", SLEEP, JobState::Inactive).await;
    server.store.set_available(false);
    for path in ["units", "units/a.service", "state", "state/a.service", "machines"] {
        let answer = server.get(&format!("/fleet/v1/{path}")).await;
        assert_eq!((&*answer.head, &*answer.body), (UNAVAILABLE, BODY), "{path}");
    }
    let put = server.put("b.service", &format!(r#"{{"options":{SLEEP_OPTIONS}}}"#)).await;
    let delete = server.call("DELETE", "/fleet/v1/units/a.service").await;
    let ops = r#"[{"op":"add","path":"/XXX/metadata/foo","value":"x"}]"#;
    let patch = server.send("PATCH", "/fleet/v1/machines", "", ops).await;
    for answer in [put, delete, patch] {
        assert_eq!((&*answer.head, &*answer.body), (UNAVAILABLE, BODY));
    }
    // What is wrong with a request is said all the same.
    server.put("b", "{}").await.assert_error(400, r#"unit name must contain ".""#);
    server.store.set_available(true);
    assert_eq!(server.get("/fleet/v1/units/a.service").await.status, 200);
}
