//! What clients see while the server can't work (`api.md` 1.2, `spec/README.md` 4).

use std::{sync::Arc, time::Duration};

use fleet_api::{Limits, Settings};
use fleet_core::JobState;
use tokio::{task::JoinSet, time};

use crate::harness::{LONG, SLEEP, SLEEP_OPTIONS, Server, settings};

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

#[tokio::test]
async fn a_store_out_of_space_is_named_as_that() {
    let server = Server::start();
    server.create("a.service", SLEEP, JobState::Inactive).await;
    server.store.set_full(true);
    let words = "etcd is out of space: nothing new can be written until it is compacted and \
                 defragmented and its alarm is disarmed";
    let create = format!(r#"{{"options":{SLEEP_OPTIONS}}}"#);
    server.put("b.service", &create).await.assert_error(503, words);
    server.put("a.service", r#"{"desiredState":"launched"}"#).await.assert_error(503, words);
    assert_eq!(server.get("/fleet/v1/units/a.service").await.status, 200, "reading goes on");
    server.store.set_full(false);
    assert_eq!(server.put("b.service", &create).await.status, 201);
}

#[tokio::test]
async fn so_many_read_at_a_time_others_wait_and_the_rest_is_told_to_come_again() {
    let limits = Limits { reads: 2, reads_waiting: 3, ..Limits::default() };
    let server = Arc::new(Server::start_with(Settings { limits, ..settings(100) }));
    server.create("a.service", SLEEP, JobState::Inactive).await;
    server.store.set_read_delay(Duration::from_millis(500));
    let mut asked = JoinSet::new();
    for path in ["units", "units/a.service", "state", "state/a.service", "machines"] {
        let server = Arc::clone(&server);
        asked.spawn(async move { server.get(&format!("/fleet/v1/{path}")).await });
    }
    let refused = async {
        loop {
            // What asks nothing of etcd is answered all the same, and what writes is too.
            assert_eq!(server.get("/fleet/v1/discovery").await.status, 200);
            let answer = server.get("/fleet/v1/units").await;
            if answer.status == 503 {
                return answer;
            }
        }
    };
    let refused = time::timeout(LONG, refused).await.unwrap();
    refused.assert_error(503, "too many requests are reading at the same time, try again");
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(server.call("DELETE", "/fleet/v1/units/a.service").await.status, 204);
    while let Some(answer) = asked.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 200 | 404), "{answer:?}");
    }
}
