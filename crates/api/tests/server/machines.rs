//! Machines and their metadata (`api.md` 6, 9; `spec/README.md` 3).

use fleet_core::MachineStanding;
use fleet_registry::MachineRecord;

use crate::harness::{Answer, Server, settings};

async fn patch(server: &Server, body: &str) -> Answer {
    server.send("PATCH", "/fleet/v1/machines", "", body).await
}

#[tokio::test]
async fn the_recorded_lists_come_out_byte_by_byte() {
    let server = Server::start_with(settings(2));
    server.register("XXX", "", &[]).await;
    server.register("ZZZ", "1.2.3.5", &[("b", "2"), ("a", "<1>&")]).await;
    server.register("YYY", "1.2.3.4", &[("ping", "pong")]).await;
    server.get("/fleet/v1/machines").await.assert_ok(
        r#"{"machines":[{"id":"XXX"},{"id":"YYY","metadata":{"ping":"pong"},"primaryIP":"1.2.3.4"}],"nextPageToken":"1m.YYY"}"#,
    );
    server.get("/fleet/v1/machines?nextPageToken=1m.YYY").await.assert_ok(
        r#"{"machines":[{"id":"ZZZ","metadata":{"a":"\u003c1\u003e\u0026","b":"2"},"primaryIP":"1.2.3.5"}]}"#,
    );
}

#[tokio::test]
async fn a_machine_that_takes_no_new_units_says_so_and_others_say_nothing() {
    let server = Server::start();
    let presence = server.register("XXX", "1.2.3.4", &[]).await;
    let entry = server.registry.machine(&presence.machine).await.unwrap().unwrap().value;
    for standing in ["leaving", "silent", "in-service"] {
        let told = MachineStanding::of_word(standing);
        let record = MachineRecord { standing: told, ..entry.clone() };
        server.registry.update_machine(&presence, &record).await.unwrap();
        let said = match told {
            MachineStanding::InService => String::new(),
            _ => format!(r#","standing":"{standing}""#),
        };
        let body = format!(r#"{{"machines":[{{"id":"XXX","primaryIP":"1.2.3.4"{said}}}]}}"#);
        server.get("/fleet/v1/machines").await.assert_ok(&body);
    }
}

#[tokio::test]
async fn metadata_is_added_replaced_and_removed() {
    let server = Server::start();
    let presence = server.register("XXX", "", &[("region", "eu"), ("disk", "ssd")]).await;
    let answer =
        patch(&server, r#"[{"op":"add","path":"/XXX/metadata/foo","value":{"value":"bar"}}]"#)
            .await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 204 No Content\nContent-Type: application/json\nServer: fleetd/v2.0.0-test"
    );
    assert_eq!(answer.body, "");
    let shows = async |metadata: &str| {
        let body = format!(r#"{{"machines":[{{"id":"XXX","metadata":{{{metadata}}}}}]}}"#);
        server.get("/fleet/v1/machines").await.assert_ok(&body);
    };
    shows(r#""disk":"ssd","foo":"bar","region":"eu""#).await;
    for (body, metadata) in [
        // The documented form, keys in any case, several at once, the last one of a key counts.
        (
            r#"[{"Op":"replace","Path":"/XXX/metadata/foo","Value":"baz"}]"#,
            r#""disk":"ssd","foo":"baz","region":"eu""#,
        ),
        (
            r#"[{"op":"remove","path":"/XXX/metadata/region"},{"op":"remove","path":"/XXX/metadata/foo","value":"x"}]"#,
            r#""disk":"ssd""#,
        ),
        (
            r#"[{"op":"add","path":"/XXX/metadata/a","value":"1"},{"op":"remove","path":"/XXX/metadata/a"},{"op":"add","path":"/XXX/metadata/a","value":"2"}]"#,
            r#""a":"2","disk":"ssd""#,
        ),
    ] {
        assert_eq!(patch(&server, body).await.status, 204);
        shows(metadata).await;
    }
    // It stays while the machine is away, and a configured key that was removed stays hidden.
    server.registry.leave(&presence).await.unwrap();
    server.get("/fleet/v1/machines").await.assert_ok("{}");
    server.register("XXX", "", &[("region", "eu"), ("disk", "ssd")]).await;
    shows(r#""a":"2","disk":"ssd""#).await;
}

#[tokio::test]
async fn a_patch_applies_in_one_transaction() {
    let server = Server::start();
    let body = r#"[{"op":"add","path":"/N/metadata/a","value":"1"},{"op":"add","path":"/M/metadata/b","value":"2"}]"#;
    assert_eq!(patch(&server, body).await.status, 204);
    assert_eq!(server.stored().await.len(), 2);
    assert_eq!(server.revisions().await.len(), 1, "all at once");
}

#[tokio::test]
async fn nothing_to_do_is_fine() {
    let server = Server::start();
    for body in ["[]", "null", "[] junk", r#"[{"op":"remove","path":"/NOPE/metadata/a"}]"#] {
        assert_eq!(patch(&server, body).await.status, 204, "{body}");
    }
}

#[tokio::test]
async fn bad_operations_are_refused_and_nothing_is_written() {
    let server = Server::start();
    let good = r#"{"op":"add","path":"/XXX/metadata/good","value":"1"}"#;
    let (bad_op, bad_path, bad_value) = (
        "invalid op: expect add, remove, or replace",
        "machine metadata path invalid",
        "invalid value: add and replace require a value",
    );
    for (op, message) in [
        (r#"{"op":"noop","path":"/XXX/metadata/foo","value":{"value":"bar"}}"#, bad_op),
        (r#"{"op":"Add","path":"/XXX/metadata/foo","value":"bar"}"#, bad_op),
        (r#"{"op":"noop","path":"bad"}"#, bad_op),
        ("{}", bad_op),
        ("null", bad_op),
        (r#"{"op":"add","path":"/XXX/foo","value":{"value":"bar"}}"#, bad_path),
        (r#"{"op":"remove","path":""}"#, bad_path),
        (r#"{"op":"add","path":"/../metadata/foo","value":"x"}"#, bad_path),
        (r#"{"op":"add","path":"/XXX/metadata/..","value":"x"}"#, bad_path),
        (r#"{"op":"add","path":"/XXX/metadata/a/b"}"#, bad_path),
        (r#"{"op":"add","path":"/XXX/metadata/foo"}"#, bad_value),
        (r#"{"op":"replace","path":"/XXX/metadata/foo","value":{"value":""}}"#, bad_value),
        (r#"{"op":"add","path":"/XXX/metadata/foo","value":null}"#, bad_value),
    ] {
        let body = format!("[{good},{op},{good}]");
        patch(&server, &body).await.assert_error(400, message);
        assert_eq!(server.stored().await.len(), 0, "{op}");
    }
    patch(&server, "").await.assert_error(400, "EOF");
    patch(&server, "[").await.assert_error(400, "unexpected EOF");
    for body in ["x", "{}", "5", r#"[{"op":5}]"#, r#"[{"value":[]}]"#] {
        assert_eq!(patch(&server, body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn more_keys_than_a_transaction_holds_are_refused() {
    let server = Server::start();
    let ops = |count: usize| {
        let op = |key| format!(r#"{{"op":"add","path":"/XXX/metadata/{key}","value":"1"}}"#);
        format!("[{}]", (0..count).map(op).collect::<Vec<_>>().join(","))
    };
    assert_eq!(patch(&server, &ops(128)).await.status, 204);
    let answer = patch(&server, &ops(129)).await;
    answer.assert_error(413, "too many operations: at most 128 keys can be changed at once");
}

#[tokio::test]
async fn metadata_that_is_too_large_is_refused() {
    let server = Server::start();
    let add = |machine: usize, key: usize, value: usize| {
        let path = format!("/{}/metadata/{}", "m".repeat(machine), "k".repeat(key));
        format!(r#"[{{"op":"add","path":"{path}","value":"{}"}}]"#, "v".repeat(value))
    };
    assert_eq!(patch(&server, &add(256, 256, 4096)).await.status, 204);
    patch(&server, &add(257, 1, 1)).await.assert_error(400, "machine metadata path invalid");
    let key = "machine metadata is too large: a key has more than 256 bytes";
    patch(&server, &add(1, 257, 1)).await.assert_error(413, key);
    let value = "machine metadata is too large: the value of kk has more than 4096 bytes";
    patch(&server, &add(1, 2, 4097)).await.assert_error(413, value);
    assert_eq!(server.stored().await.len(), 1);
}

#[tokio::test]
async fn a_page_of_machines_ends_when_their_metadata_is_large() {
    let server = Server::start();
    for machine in ["m1", "m2", "m3", "m4"] {
        server.register(machine, "", &[]).await;
    }
    // Whatever absent machines between them have.
    for (machine, keys) in [("m1", 1), ("m1x", 100), ("m2", 100), ("m3", 1)] {
        let op = |key| {
            let path = format!("/{machine}/metadata/k{key}");
            format!(r#"{{"op":"add","path":"{path}","value":"{}"}}"#, "v".repeat(4096))
        };
        let ops: Vec<String> = (0..keys).map(op).collect();
        assert_eq!(patch(&server, &format!("[{}]", ops.join(","))).await.status, 204);
    }
    let mut url = "/fleet/v1/machines".to_owned();
    let mut pages = Vec::new();
    loop {
        let page: serde_json::Value = serde_json::from_str(&server.get(&url).await.body).unwrap();
        let machines = page["machines"].as_array().unwrap().iter();
        let keys =
            |machine: &serde_json::Value| machine["metadata"].as_object().map_or(0, |m| m.len());
        pages.push(
            machines.map(|m| (m["id"].as_str().unwrap().to_owned(), keys(m))).collect::<Vec<_>>(),
        );
        let Some(token) = page["nextPageToken"].as_str() else { break };
        url = format!("/fleet/v1/machines?nextPageToken={token}");
    }
    let with = |id: &str, keys| (id.to_owned(), keys);
    assert_eq!(pages, [vec![with("m1", 1), with("m2", 100)], vec![with("m3", 1), with("m4", 0)]]);
}
