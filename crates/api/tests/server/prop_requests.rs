//! Whatever is sent, in whatever order: no panic, no 500, and nothing half-done in the store.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};

use crate::harness::Server;

#[derive(Clone, Debug)]
enum Send {
    Request { method: String, url: Vec<u8>, content_type: Option<&'static str>, body: Vec<u8> },
    Raw(Vec<u8>),
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
    ];
    (section, name, value)
        .prop_map(|(s, n, v)| format!(r#"{{"section":"{s}","name":"{n}","value":"{v}"}}"#))
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let state = select(vec!["inactive", "loaded", "launched", "", "bogus"]);
    let unit = (state, vec(any_option(), 0..4)).prop_map(|(state, options)| {
        format!(r#"{{"desiredState":"{state}","options":[{}]}}"#, options.join(","))
    });
    let op = (
        select(vec!["add", "remove", "replace", "x"]),
        select(vec!["/XXX/metadata/a", "/YYY/metadata/b", "/é/metadata/c", "/../metadata/a", "x"]),
        "[ -!#-\\[\\]-~]{0,5}",
    );
    let ops = vec(op, 0..4).prop_map(|ops| {
        let op =
            |(op, path, value)| format!(r#"{{"op":"{op}","path":"{path}","value":"{value}"}}"#);
        format!("[{}]", ops.into_iter().map(op).collect::<Vec<_>>().join(","))
    });
    prop_oneof![
        6 => unit.prop_map(String::into_bytes),
        3 => ops.prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => select(vec!["", "{", "null", "[null]", "[[[[[", "{}{}"]).prop_map(|t| t.as_bytes().to_vec()),
        1 => (100..5000usize).prop_map(|deep| "[".repeat(deep).into_bytes()),
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
    ]
}

impl Send {
    fn bytes(&self) -> Vec<u8> {
        match self {
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

/// Checks that every unit has its content and its orders, and that nothing else is there.
fn check(stored: &BTreeMap<String, Vec<u8>>) {
    let mut expected = Vec::new();
    for (key, value) in stored {
        if key.starts_with("metadata/") {
            expected.push(key.clone());
        }
        let Some(name) = key.strip_prefix("unit/") else { continue };
        let record: serde_json::Value = serde_json::from_slice(value).unwrap();
        expected.extend([key.clone(), format!("file/{name}")]);
        let file = &stored[&format!("file/{name}")];
        assert_eq!(record["hash"], fleet_core::UnitHash::of(file).to_string(), "{name}");
        if record["global"] == true {
            expected.push(format!("global/{name}"));
            let order: serde_json::Value =
                serde_json::from_slice(&stored[&format!("global/{name}")]).unwrap();
            assert_eq!(order["hash"], record["hash"]);
            assert_eq!(order["desiredState"], record["desiredState"]);
        }
    }
    expected.sort();
    assert_eq!(stored.keys().cloned().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_requests_break_the_server_or_the_registry(sends in vec(any_send(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start();
            for send in &sends {
                let said = server.raw(&send.bytes()).await;
                let text = String::from_utf8_lossy(&said);
                // A panic ends the connection without a word.
                assert!(!said.is_empty() || matches!(send, Send::Raw(_)), "no answer to {send:?}");
                assert!(!text.starts_with("HTTP/1.1 5"), "{send:?}: {text}");
                check(&server.stored().await);
            }
            // And all of it can still be read.
            for list in ["units", "state", "machines"] {
                assert_eq!(server.get(&format!("/fleet/v1/{list}")).await.status, 200);
            }
        });
    }
}
