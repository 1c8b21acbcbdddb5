//! Whatever is sent, in whatever order: no panic, no 500, and nothing half-done in the store.

use std::collections::BTreeMap;

use fleet_core::JobState;
use fleet_registry::{Leadership, Presence};
use proptest::{collection::vec, prelude::*, sample::select};

use serde_json::Value;

use crate::{
    harness::{Server, unit},
    store::CASES,
};

#[derive(Clone, Debug)]
enum Send {
    Request {
        method: String,
        url: Vec<u8>,
        content_type: Option<&'static str>,
        body: Vec<u8>,
    },
    Raw(Vec<u8>),
    /// The engine puts this unit onto a machine, if it can.
    Schedule(&'static str),
    /// The machine tells of this unit, if that is global.
    Publish(&'static str),
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => select(vec!["a.service", "b.service", "t@.service", "t%401.service", "bad", ".", ".."])
            .prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..12),
        1 => "[a-z%/@.\\\\é]{0,12}".prop_map(String::into_bytes),
    ]
}

fn any_url() -> impl Strategy<Value = Vec<u8>> {
    let base = select(vec![
        "/fleet/v1/units/",
        "/v1-alpha/units/",
        "/fleet/v1/units",
        "/fleet/v1/state/",
        "/fleet/v1/state",
        "/fleet/v1/machines",
        "/fleet/v1/discovery",
        "/",
        "",
    ]);
    let query = prop_oneof![
        3 => Just(String::new()),
        1 => "\\?(nextPageToken|unitName|machineID|alt)=(1[usm]\\.[a-z~/0-9.]{0,9}|[ -~é]{0,9})"
            .prop_map(|query| query.replace([' ', '#'], "%20")),
    ];
    (base, proptest::option::weighted(0.8, any_name()), query).prop_map(|(base, name, query)| {
        let name = if base.ends_with('/') { name.unwrap_or_default() } else { Vec::new() };
        [base.as_bytes(), &name, query.as_bytes()].concat()
    })
}

/// Values about as long as something may be: a line, a value of metadata, a unit.
fn large() -> impl Strategy<Value = String> {
    let around = select(vec![2047, 4096, 65_536, 262_144_usize]);
    (around, 0..100_usize).prop_map(|(length, less)| "x y".repeat((length + 50 - less) / 3))
}

fn any_option() -> impl Strategy<Value = String> {
    let section = select(vec!["Service", "X-Fleet", "X-Fleet", "Unit", "", "S]", "a\\nb"]);
    let name = prop_oneof![
        select(vec!["ExecStart", "Global", "MachineOf", "Conflicts", "MachineID", "Replaces", ""])
            .prop_map(str::to_owned),
        "[ -~]{0,6}".prop_map(|text| text.replace(['"', '\\'], "#")),
    ];
    let value = prop_oneof![
        select(vec![
            "true",
            "a.service",
            "*",
            "",
            "[",
            "\\\\",
            "a\\nb",
            "a\\\\\\nb",
            "%i",
            "\\u0000"
        ])
        .prop_map(str::to_owned),
        any::<String>()
            .prop_map(|text| serde_json::to_string(&text).unwrap().trim_matches('"').to_owned()),
        large(),
    ];
    (section, name, value)
        .prop_map(|(s, n, v)| format!(r#"{{"section":"{s}","name":"{n}","value":"{v}"}}"#))
}

fn any_ops() -> impl Strategy<Value = String> {
    let op = (
        select(vec!["add", "remove", "replace", "x"]),
        prop_oneof![
            9 => select(vec!["/XXX/metadata/a", "/YYY/metadata/b", "/é/metadata/c", "/../metadata/a", "x"])
                .prop_map(str::to_owned),
            1 => (250..260_usize).prop_map(|length| format!("/XXX/metadata/{}", "k".repeat(length))),
            1 => (250..260_usize).prop_map(|length| format!("/{}/metadata/k", "m".repeat(length))),
        ],
        prop_oneof![5 => "[ -!#-\\[\\]-~]{0,5}", 1 => large()],
    );
    vec(op, 0..4).prop_map(|ops| {
        let op =
            |(op, path, value)| format!(r#"{{"op":"{op}","path":"{path}","value":"{value}"}}"#);
        format!("[{}]", ops.into_iter().map(op).collect::<Vec<_>>().join(","))
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let state = select(vec!["inactive", "loaded", "launched", "", "bogus"]);
    let unit = (state, vec(any_option(), 0..4)).prop_map(|(state, options)| {
        format!(r#"{{"desiredState":"{state}","options":[{}]}}"#, options.join(","))
    });
    prop_oneof![
        6 => unit.prop_map(String::into_bytes),
        3 => any_ops().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => select(vec!["", "{", "null", "[null]", "[[[[[", "{}{}"]).prop_map(|t| t.as_bytes().to_vec()),
        1 => (100..5000usize).prop_map(|deep| "[".repeat(deep).into_bytes()),
        1 => (0..1_200_000usize).prop_map(|blanks| format!("[]{}", " ".repeat(blanks)).into_bytes()),
    ]
}

/// Requests that mostly succeed, so that there is something for the others to break.
fn sensible_send() -> impl Strategy<Value = Send> {
    let name = || select(vec!["a.service", "b.service", "t@1.service", "t@.service"]);
    let request = |method: &str, name: &str, body: String| Send::Request {
        method: method.to_owned(),
        url: format!("/fleet/v1/units/{name}").into_bytes(),
        content_type: Some("application/json"),
        body: body.into_bytes(),
    };
    let options = select(vec![
        r#"{"section":"Service","name":"ExecStart","value":"/bin/a"}"#,
        r#"{"section":"Service","name":"ExecStart","value":"/bin/b "}"#,
        r#"{"section":"X-Fleet","name":"Global","value":"true"}"#,
        r#"{"section":"X-Fleet","name":"Conflicts","value":"*"}"#,
    ]);
    let state = || select(vec!["inactive", "loaded", "launched"]);
    prop_oneof![
        4 => (name(), state(), vec(options, 0..3)).prop_map(move |(name, state, options)| {
            let options = options.join(",");
            request("PUT", name, format!(r#"{{"desiredState":"{state}","options":[{options}]}}"#))
        }),
        1 => (name(), state()).prop_map(move |(name, state)| {
            request("PUT", name, format!(r#"{{"desiredState":"{state}"}}"#))
        }),
        1 => name().prop_map(move |name| request("DELETE", name, String::new())),
        1 => any_ops().prop_map(|body| Send::Request {
            method: "PATCH".to_owned(),
            url: b"/fleet/v1/machines".to_vec(),
            content_type: None,
            body: body.into_bytes(),
        }),
        2 => select(vec!["a.service", "b.service"]).prop_map(Send::Schedule),
        1 => select(vec!["a.service", "b.service"]).prop_map(Send::Publish),
    ]
}

fn any_send() -> impl Strategy<Value = Send> {
    let method = prop_oneof![
        8 => select(vec!["GET", "PUT", "PUT", "PUT", "DELETE", "PATCH", "PATCH", "HEAD", "OPTIONS", "POST"])
            .prop_map(str::to_owned),
        1 => "[A-Z]{1,5}",
    ];
    let content_type = proptest::option::weighted(0.9, select(vec!["application/json", "x"]));
    prop_oneof![
        20 => (method, any_url(), content_type, any_body())
            .prop_map(|(method, url, content_type, body)| Send::Request { method, url, content_type, body }),
        1 => vec(any::<u8>(), 0..80).prop_map(Send::Raw),
        20 => sensible_send(),
        5 => any_restart(),
    ]
}

impl Send {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Schedule(_) | Self::Publish(_) => Vec::new(),
            Self::Raw(bytes) => bytes.clone(),
            Self::Request { method, url, content_type, body } => {
                let kind = content_type.map(|kind| format!("Content-Type: {kind}\r\n"));
                let rest = format!(
                    " HTTP/1.1\r\nHost: x\r\n{}Content-Length: {}\r\n\r\n",
                    kind.unwrap_or_default(),
                    body.len()
                );
                [method.as_bytes(), b" ", url, rest.as_bytes(), body].concat()
            }
        }
    }
}

/// Requests for a restart, most of them of a unit that may be launched on a machine.
fn any_restart() -> impl Strategy<Value = Send> {
    let name = prop_oneof![
        6 => select(vec!["a.service", "b.service"]).prop_map(|name| name.as_bytes().to_vec()),
        1 => any_name(),
    ];
    let query = select(vec!["", "", "", "?machineID=XXX", "?machineID=YYY", "?machineID=%2F"]);
    (select(vec!["POST", "POST", "GET"]), name, query).prop_map(|(method, name, query)| {
        let url = [b"/fleet/v1/units/", &*name, b"/restart", query.as_bytes()].concat();
        Send::Request { method: method.to_owned(), url, content_type: None, body: Vec::new() }
    })
}

/// Publishes a state of a unit that is there and global, as the agent would.
async fn publish(server: &Server, presence: &Presence, name: &str) {
    let found = server.registry.unit(&unit(name)).await.unwrap();
    if found.is_some_and(|found| found.record.value.global) {
        server.publish(presence, name, JobState::Launched).await;
    }
}

/// Schedules a unit that is there and not global, as the engine would.
async fn schedule(server: &Server, lead: &Leadership, name: &str) {
    let found = server.registry.unit(&unit(name)).await.unwrap();
    if found.is_some_and(|found| !found.record.value.global) {
        server.schedule(lead, name, "XXX").await;
    }
}

/// Whether this is a request for a restart whose machine has the unit, or tells of one it had: then
/// its agent settles the request.
fn may_ask(stored: &BTreeMap<String, Vec<u8>>, key: &str) -> bool {
    let request = key.strip_prefix("restart/").and_then(|rest| rest.split_once('/'));
    request.is_some_and(|(machine, name)| {
        stored.contains_key(&format!("schedule/{machine}/{name}"))
            || stored.contains_key(&format!("state/{name},{machine}"))
    })
}

/// Checks that every unit has its content and its orders, and that nothing else is there.
fn check(stored: &BTreeMap<String, Vec<u8>>) {
    let json = |key: &str| serde_json::from_slice::<Value>(&stored[key]).unwrap();
    let mut expected = Vec::new();
    for key in stored.keys() {
        if let Some(name) = key.strip_prefix("leaving/") {
            // Its machine is told to let it go.
            let order = format!("schedule/{}/{name}", json(key)["machine"].as_str().unwrap());
            assert_eq!(json(&order)["leaving"], true, "{order}");
            expected.extend([key.clone(), order]);
            continue;
        }
        let Some(name) = key.strip_prefix("unit/") else {
            let others = ["metadata/", "machine/", "lease/", "state/"];
            let is_other = others.iter().any(|kind| key.starts_with(kind));
            expected.extend((is_other || may_ask(stored, key)).then(|| key.clone()));
            continue;
        };
        let record = json(key);
        let file = format!("file/{name}");
        assert_eq!(record["hash"], fleet_core::UnitHash::of(&stored[&file]).to_string(), "{name}");
        expected.extend([key.clone(), file]);
        let order = match (record["global"] == true, record["machine"].as_str()) {
            (true, None) => format!("global/{name}"),
            (false, Some(machine)) => format!("schedule/{machine}/{name}"),
            (false, None) => continue,
            (true, Some(_)) => panic!("{name} is global and has a machine"),
        };
        for field in ["hash", "desiredState", "xFleet"] {
            assert_eq!(json(&order)[field], record[field], "{order}");
        }
        expected.push(order);
    }
    expected.sort();
    assert_eq!(stored.keys().cloned().collect::<Vec<_>>(), expected);
}

/// Checks that there is an answer, and that it isn't our fault.
async fn answered(server: &Server, send: &Send) {
    let said = server.raw(&send.bytes()).await;
    let text = String::from_utf8_lossy(&said);
    // A panic ends the connection without a word.
    assert!(!said.is_empty() || matches!(send, Send::Raw(_)), "no answer to {send:?}");
    assert!(!text.starts_with("HTTP/1.1 5"), "{send:?}: {text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]
    #[test]
    fn no_requests_break_the_server_or_the_registry(sends in vec(any_send(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start();
            let lead = server.lead().await;
            let presence = server.register("XXX", "", &[]).await;
            for send in &sends {
                match send {
                    Send::Schedule(name) => schedule(&server, &lead, name).await,
                    Send::Publish(name) => publish(&server, &presence, name).await,
                    Send::Request { .. } | Send::Raw(_) => answered(&server, send).await,
                }
                check(&server.stored().await);
            }
            // And all of it can still be read.
            for list in ["units", "state", "machines"] {
                assert_eq!(server.get(&format!("/fleet/v1/{list}")).await.status, 200);
            }
        });
    }
}
