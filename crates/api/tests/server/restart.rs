//! Restarts over the API (`spec/README.md` 14).

use std::collections::BTreeMap;

use fleet_core::JobState;
use fleet_store::{Key, Range, Revision, Store};

use crate::harness::{SLEEP, Server, machine, unit};

const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1\n\n[X-Fleet]\nGlobal=true\n";

const URLS: [&str; 2] =
    ["/fleet/v1/units/a.service/restart", "/v1-alpha/units/a%2Eservice/restart?alt=json"];

#[tokio::test]
async fn a_launched_unit_is_asked_for_on_its_machine_until_that_acknowledges() {
    let server = Server::start();
    let lead = server.lead().await;
    let presence = server.register("XXX", "", &[]).await;
    server.create("a.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "a.service", "XXX").await;
    server.publish(&presence, "a.service", JobState::Launched).await;
    for url in URLS {
        server.get(url).await.assert_ok("{}");
        let answer = server.call("POST", url).await;
        assert_eq!((answer.status, &*answer.body), (202, r#"{"machines":["XXX"]}"#));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        server.get(url).await.assert_ok(r#"{"pending":["XXX"]}"#);
        let done = BTreeMap::from([(unit("a.service"), asked_at(&server).await)]);
        server.registry.acknowledge_restarts(&machine("XXX"), &done).await.unwrap();
        server.get(url).await.assert_ok("{}");
    }
    let left = server.stored().await;
    assert!(!left.keys().any(|key| key.starts_with("restart/")), "{left:?}");
}

/// The revision of the request.
async fn asked_at(server: &Server) -> Revision {
    let key = format!("{}restart/XXX/a.service", server.prefix);
    let range = Range::key(Key::from(&*key));
    server.store.read(&[range], None).await.unwrap().ranges[0].kvs[0].mod_revision
}

#[tokio::test]
async fn a_global_unit_is_asked_for_everywhere_or_on_one_machine() {
    let server = Server::start();
    server.create("a.service", GLOBAL, JobState::Launched).await;
    for id in ["XXX", "YYY", "ZZZ"] {
        let presence = server.register(id, "", &[]).await;
        if id != "ZZZ" {
            server.publish(&presence, "a.service", JobState::Launched).await;
        }
    }
    let url = URLS[0];
    let one = server.call("POST", &format!("{url}?machineID=YYY")).await;
    assert_eq!((one.status, &*one.body), (202, r#"{"machines":["YYY"]}"#));
    server.get(&format!("{url}?machineID=XXX")).await.assert_ok("{}");
    server.get(&format!("{url}?machineID=YYY")).await.assert_ok(r#"{"pending":["YYY"]}"#);
    server.get(&format!("{url}?machineID=no%20machine")).await.assert_ok("{}");
    let all = server.call("POST", url).await;
    assert_eq!((all.status, &*all.body), (202, r#"{"machines":["XXX","YYY"]}"#));
    server.get(url).await.assert_ok(r#"{"pending":["XXX","YYY"]}"#);
    for elsewhere in ["ZZZ", "unknown", "no%2Fmachine"] {
        let answer = server.call("POST", &format!("{url}?machineID={elsewhere}")).await;
        answer.assert_error(409, "unit is not launched");
    }
}

#[tokio::test]
async fn what_is_not_launched_is_refused() {
    let server = Server::start();
    let lead = server.lead().await;
    let presence = server.register("XXX", "", &[]).await;
    for name in ["no.service", "no", "%20"] {
        for method in ["GET", "POST"] {
            let answer = server.call(method, &format!("/fleet/v1/units/{name}/restart")).await;
            answer.assert_error(404, "unit does not exist");
        }
    }
    let refused = async |name: &str| {
        let url = format!("/fleet/v1/units/{name}/restart");
        server.call("POST", &url).await.assert_error(409, "unit is not launched");
        server.get(&url).await.assert_ok("{}");
    };
    server.create("off.service", SLEEP, JobState::Inactive).await;
    refused("off.service").await;
    server.create("waits.service", SLEEP, JobState::Launched).await;
    refused("waits.service").await;
    server.create("loaded.service", SLEEP, JobState::Loaded).await;
    server.schedule(&lead, "loaded.service", "XXX").await;
    refused("loaded.service").await;
    server.create("lost.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "lost.service", "XXX").await;
    server.registry.leave(&presence).await.unwrap();
    refused("lost.service").await;
}

#[tokio::test]
async fn other_methods_are_not_supported() {
    let server = Server::start();
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = server.call(method, URLS[0]).await;
        answer.assert_error(405, "only GET and POST supported against this resource");
        assert_eq!(answer.header("Allow"), Some("GET, HEAD, OPTIONS, POST"));
    }
    let options = server.call("OPTIONS", URLS[0]).await;
    assert_eq!((options.status, options.header("Allow")), (204, Some("GET, HEAD, OPTIONS, POST")));
}
