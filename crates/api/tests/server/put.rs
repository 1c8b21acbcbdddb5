//! PUT of units: every row of the table, every recorded failure (`api.md` 4.4 to 4.6, 9).

use fleet_core::JobState;

use crate::harness::{Answer, SLEEP, SLEEP_OPTIONS, Server, unit};

fn option(section: &str, name: &str, value: &str) -> String {
    serde_json::json!({"section": section, "name": name, "value": value}).to_string()
}

fn body(state: &str, options: &[String]) -> String {
    format!(r#"{{"desiredState":"{state}","options":[{}]}}"#, options.join(","))
}

/// Options with these in `[X-Fleet]`.
fn fleet(options: &[(&str, &str)]) -> String {
    let options: Vec<String> = options.iter().map(|(k, v)| option("X-Fleet", k, v)).collect();
    body("inactive", &options)
}

#[track_caller]
fn assert_done(answer: &Answer, status: u16) {
    let (line, length) = match status {
        201 => ("HTTP/1.1 201 Created", "\nContent-Length: 0"),
        _ => ("HTTP/1.1 204 No Content", ""),
    };
    assert_eq!(answer.head, format!("{line}\nServer: fleetd/v2.0.0-test{length}"));
    assert_eq!(answer.body, "");
}

#[tokio::test]
async fn the_life_of_a_unit() {
    let server = Server::start();
    let create = format!(r#"{{"desiredState":"launched","options":{SLEEP_OPTIONS}}}"#);
    assert_done(&server.put("a.service", &create).await, 201);
    let shown = |state: &str, machine: &str| {
        // No agent is here to load it.
        let pending = if machine.is_empty() || state == "inactive" {
            ""
        } else {
            r#","pending":{"machines":[{"machineID":"XXX","message":"has not loaded it yet","reason":"not-loaded"}],"message":"machine XXX has not loaded it yet","reason":"not-loaded"}"#
        };
        format!(
            r#"{{"currentState":"inactive","desiredState":"{state}",{machine}"name":"a.service","options":[{{"name":"ExecStart","section":"Service","value":"/bin/sleep 100"}}]{pending}}}"#
        )
    };
    server.get("/fleet/v1/units/a.service").await.assert_ok(&shown("launched", ""));
    let lead = server.lead().await;
    server.register("XXX", "", &[]).await;
    server.schedule(&lead, "a.service", "XXX").await;
    server
        .get("/fleet/v1/units/a.service")
        .await
        .assert_ok(&shown("launched", r#""machineID":"XXX","#));

    assert_done(&server.put("a.service", &create).await, 204);
    let missing = "must provide DesiredState to update existing unit";
    let same = format!(r#"{{"options":{SLEEP_OPTIONS}}}"#);
    server.put("a.service", &same).await.assert_error(409, missing);
    server.put("a.service", "{}").await.assert_error(409, missing);
    assert_done(&server.put("a.service", r#"{"desiredState":"loaded"}"#).await, 204);
    server
        .get("/fleet/v1/units/a.service")
        .await
        .assert_ok(&shown("loaded", r#""machineID":"XXX","#));

    // Another content: replaced where it is, and stopped when no state is given.
    let other = format!(r#"{{"options":[{}]}}"#, option("Service", "ExecStart", "/bin/true"));
    assert_done(&server.put("a.service", &other).await, 201);
    let now = server.get("/fleet/v1/units/a.service").await.body;
    assert!(now.contains(r#""desiredState":"inactive","machineID":"XXX""#), "{now}");
    assert!(now.contains("/bin/true"));

    let url = "/fleet/v1/units/a.service";
    assert_eq!(server.call("DELETE", url).await.status, 204);
    assert_eq!(server.call("DELETE", url).await.status, 404);
}

#[tokio::test]
async fn every_state_follows_every_other() {
    let server = Server::start();
    server.create("a.service", SLEEP, JobState::Inactive).await;
    for from in ["inactive", "loaded", "launched"] {
        for to in ["inactive", "loaded", "launched"] {
            for state in [from, to] {
                let answer =
                    server.put("a.service", &format!(r#"{{"desiredState":"{state}"}}"#)).await;
                assert_done(&answer, 204);
                let unit = server.registry.unit(&unit("a.service")).await.unwrap().unwrap();
                assert_eq!(unit.record.value.desired_state.as_str(), state);
            }
        }
    }
}

#[tokio::test]
async fn what_the_client_says_of_current_state_and_machine_is_ignored() {
    let server = Server::start();
    let body = format!(
        r#"{{"name":"a.service","currentState":"launched","machineID":"Q","x":1,"OPTIONS":{SLEEP_OPTIONS}}} junk"#
    );
    assert_done(&server.put("a.service", &body).await, 201);
    let shown = server.get("/fleet/v1/units/a.service").await.body;
    assert!(shown.starts_with(r#"{"currentState":"inactive","desiredState":"inactive","name""#));
}

#[tokio::test]
async fn the_content_type_is_checked_first() {
    let server = Server::start();
    let only = "only acceptable Content-Type is application/json";
    for (headers, message) in [
        ("", "expected 1 Content-Type, got 0"),
        (
            "Content-Type: application/json\r\nContent-Type: application/json\r\n",
            "expected 1 Content-Type, got 2",
        ),
        ("Content-Type: APPLICATION/JSON\r\n", only),
        ("Content-Type: text/plain; application/json\r\n", only),
        ("Content-Type: application/json5\r\n", only),
        ("Content-Type:\r\n", only),
        ("Content-Type: \u{e9}\r\n", only),
    ] {
        for body in ["{}", "x", ""] {
            let url = "/fleet/v1/units/foo.service";
            server.send("PUT", url, headers, body).await.assert_error(415, message);
        }
    }
    for value in ["application/json; charset=utf-8", " application/json ", "application/json;"] {
        let headers = format!("Content-Type: {value}\r\n");
        let answer = server.send("PUT", "/fleet/v1/units/foo.service", &headers, "{}").await;
        answer.assert_error(409, "unit does not exist and options field empty");
    }
}

#[tokio::test]
async fn recorded_failures() {
    let server = Server::start();
    let empty = "unit does not exist and options field empty";
    for (body, status, message) in [
        ("", 400, "unable to decode body: EOF"),
        ("{", 400, "unable to decode body: unexpected EOF"),
        (
            r#"{"name":"bar.service"}"#,
            400,
            r#"name in URL "foo.service" differs from unit name in request body "bar.service""#,
        ),
        ("{}", 409, empty),
        ("null", 409, empty),
        (r#"{"options":null}"#, 409, empty),
        (r#"{"options":[],"name":""}"#, 409, empty),
        (r#"{"desiredState":"bogus"}"#, 409, empty),
    ] {
        server.put("foo.service", body).await.assert_error(status, message);
    }
    for body in ["x", "[]", "5", r#"{"options":[null]}"#, r#"{"options":{}}"#, r#"{"name":5}"#] {
        let answer = server.put("foo.service", body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(r#""message":"unable to decode body: "#), "{answer:?}");
    }
    assert_eq!(server.stored().await.len(), 0);
}

#[tokio::test]
async fn checks_are_made_in_order() {
    let server = Server::start();
    // Each request breaks all later rules as well.
    let bogus = r#"{"desiredState":"bogus","options":[{"section":"","name":"","value":""}]}"#;
    let named = r#"{"name":"other","desiredState":"bogus","options":[{}]}"#;
    let differs = r#"name in URL "bad" differs from unit name in request body "other""#;
    server.put("bad", named).await.assert_error(400, differs);
    server.put("bad", bogus).await.assert_error(400, r#"unit name must contain ".""#);
    assert_eq!(server.put("a@.service", bogus).await.status, 400);
    let state = body("bogus", &[option("Service", "A", "b")]);
    let invalid = r#"invalid value "bogus" for JobState"#;
    server.put("a@.service", &state).await.assert_error(400, invalid);
    assert_eq!(server.stored().await.len(), 0);
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::start();
    let long = format!("{}.service", "a".repeat(249));
    for (name, message) in [
        (&*long, "unit name exceeds maximum length (255)"),
        (&long[1..], "unit name exceeds maximum length (255)"),
        ("foo", r#"unit name must contain ".""#),
        ("foo.", r#"unit name cannot end in ".""#),
        ("foo.bogus", r#"invalid unit type: "bogus""#),
        ("foo.Service", r#"invalid unit type: "Service""#),
        ("foo@.mount", r#"invalid unit type for template: "mount""#),
        ("@this.mount", r#"invalid unit type for template: "mount""#),
        ("f%25o.service", "invalid character '%' in unit name"),
        ("f%0Ao.service", r"invalid character '\n' in unit name"),
        ("f%22o.service", "invalid character '\"' in unit name"),
        ("%C3%A9.service", "invalid character 'é' in unit name"),
        ("@foo.service", r#"unit name cannot start in "@""#),
        (".service", "unit name cannot be empty"),
        ("..service", "unit name cannot be empty"),
    ] {
        let body = body("inactive", &[option("Service", "A", "b")]);
        server.put(name, &body).await.assert_error(400, message);
    }
    for name in [
        "a..service",
        "foo@bar@baz.service",
        "foo%5C.service",
        "foo:bar.target",
        "foo.snapshot",
        "foo.busname",
        &long[2..],
        "t%40.timer",
        "a.automount",
        "a.device",
        "a.path",
        "a.scope",
        "a.slice",
        "a.socket",
        "a.swap",
        "a.timer",
    ] {
        let body = body("inactive", &[option("Service", "A", "b")]);
        assert_done(&server.put(name, &body).await, 201);
    }
}

#[tokio::test]
async fn options_are_validated_for_new_and_for_existing_units() {
    let server = Server::start();
    server.create("old.service", SLEEP, JobState::Inactive).await;
    let before = server.stored().await;
    for (body, message) in [
        (
            body("inactive", &[option("Unit", "Description", "x\r[Service]\rExecStart=/evil")]),
            Some(r"character '\r' ends a line for systemd, here it is inside of one (line 2, "),
        ),
        (
            body("inactive", &[option("Unit", "Description", "x\0[Service]\0ExecStart=/evil")]),
            Some(r"character '\x00' ends a line for systemd, here it is inside of one (line 2, "),
        ),
        (
            body("inactive", &[option("Service", "A", "x\\\\\nExecStart=/evil")]),
            Some("option \"A\" in section \"Service\": the value contains a newline"),
        ),
        (
            body("inactive", &[option("Service", "\u{feff}ExecStart", "/evil")]),
            Some("systemd would read something else: option \"ExecStart\""),
        ),
        (
            body("inactive", &[option("Service", "A\nB", "c")]),
            Some("unexpected newline encountered while parsing option name"),
        ),
        (body("inactive", &[option("S]ab", "A", "c")]), Some("found garbage after section name ")),
        (body("inactive", &[option("", "A", "b")]), None),
        (body("inactive", &[option("S", "", "b")]), None),
        (body("inactive", &[option("S", "A", "c\n[Z]\nQ=1")]), None),
        (
            fleet(&[("MachineOf", "a.service"), ("Conflicts", "a*")]),
            Some(r#"unresolvable requirements: peer "a.service" matches conflict "a*""#),
        ),
        (
            fleet(&[("MachineOf", "a.service"), ("Replaces", "a*")]),
            Some(r#"unresolvable requirements: peer "a.service" matches replace "a*""#),
        ),
        (
            fleet(&[("MachineID", "X"), ("MachineOf", "a.service")]),
            Some("MachineID cannot be used with Peers"),
        ),
        (
            fleet(&[("MachineID", "X"), ("Conflicts", "a")]),
            Some("MachineID cannot be used with Conflicts"),
        ),
        (
            fleet(&[("MachineID", "X"), ("Global", "on")]),
            Some("MachineID cannot be used with Global"),
        ),
        (
            fleet(&[("MachineID", "X"), ("Replaces", "a")]),
            Some("MachineID cannot be used with Replaces"),
        ),
        (
            fleet(&[("Global", "true"), ("MachineOf", "a.service")]),
            Some("Global cannot be used with Peers"),
        ),
        (fleet(&[("Global", "1"), ("Replaces", "a")]), Some("Global cannot be used with Replaces")),
        (
            fleet(&[("Conflicts", "b"), ("Replaces", "a")]),
            Some("Conflicts cannot be used with Replaces"),
        ),
    ] {
        for name in ["new.service", "old.service"] {
            let answer = server.put(name, &body).await;
            match message {
                // The lexer adds where it is.
                Some(message) => answer.assert_refused(message),
                None => answer.assert_refused(""),
            }
        }
    }
    assert_eq!(server.stored().await, before);
}

#[tokio::test]
async fn odd_options_that_the_original_took_are_taken() {
    let server = Server::start();
    for (number, body) in [
        fleet(&[("Bogus", "x")]),
        fleet(&[("MachineMetadata", "garbage")]),
        fleet(&[("Global", "true"), ("Conflicts", "a")]),
        fleet(&[("MachineID", ""), ("MachineOf", ""), ("Conflicts", "")]),
        body("inactive", &[option("Bogus", "A", "b"), option("Service", "Environment", "")]),
        body("inactive", &[option("Service", "ExecStart", "/bin/a \\\n b")]),
        body("inactive", &[option("Service", "A", &"x".repeat(2045))]),
    ]
    .iter()
    .enumerate()
    {
        assert_done(&server.put(&format!("odd{number}.service"), body).await, 201);
    }
}

#[tokio::test]
async fn what_is_sent_again_counts_as_the_same() {
    let server = Server::start();
    for (options, shown) in [
        // Sections come back together, edge blanks go; sent again it is the same.
        (
            [option("Service", "B", "1"), option("Unit", "A", "2"), option("Service", "C", "3")],
            r#"[{"name":"B","section":"Service","value":"1"},{"name":"C","section":"Service","value":"3"},{"name":"A","section":"Unit","value":"2"}]"#,
        ),
        (
            [option("S", "A", " x  "), option("S", "B", "y\t"), option("S", "C", "z")],
            r#"[{"name":"A","section":"S","value":"x"},{"name":"B","section":"S","value":"y"},{"name":"C","section":"S","value":"z"}]"#,
        ),
    ] {
        let body = body("loaded", &options);
        assert_done(&server.put("a.service", &body).await, 201);
        let unit = server.get("/fleet/v1/units/a.service").await.body;
        assert!(unit.ends_with(&format!("{shown}}}")), "{unit}");
        let stored = server.stored().await;
        assert_done(&server.put("a.service", &body).await, 204);
        assert_eq!(server.stored().await, stored);
    }
}

#[tokio::test]
async fn what_is_stored_may_be_sent_again_even_if_it_is_not_taken_anew() {
    let server = Server::start();
    let value = "x\r[Service]\rB=c";
    let text = format!("[Service]\nA={value}\n");
    let file = fleet_core::UnitFile::parse_stored(text.as_bytes()).unwrap();
    server.registry.create_unit(&unit("a.service"), &file, JobState::Inactive).await.unwrap();
    let same = body("launched", &[option("Service", "A", value)]);
    assert_done(&server.put("a.service", &same).await, 204);
    assert_eq!(server.put("b.service", &same).await.status, 400);
}

#[tokio::test]
async fn names_that_the_original_took_stay_within_reach() {
    let server = Server::start();
    let name = format!("{}.service", "a".repeat(248));
    server.create(&name, SLEEP, JobState::Inactive).await;
    let path = format!("/fleet/v1/units/{name}");
    assert_eq!(server.get(&path).await.status, 200);
    assert!(server.get("/fleet/v1/units").await.body.contains(&name));
    assert_done(&server.put(&name, r#"{"desiredState":"loaded"}"#).await, 204);
    let other = body("inactive", &[option("Service", "A", "b")]);
    server.put(&name, &other).await.assert_error(400, "unit name exceeds maximum length (255)");
    assert_done(&server.call("DELETE", &path).await, 204);
    assert_eq!(server.stored().await.len(), 0);
}

#[tokio::test]
async fn lines_are_bounded_by_the_size_of_the_file_alone() {
    let server = Server::start();
    let long = format!("CERT={}", "x".repeat(200_000));
    let body = body("inactive", &[option("Service", "Environment", &long)]);
    assert_done(&server.put("a.service", &body).await, 201);
    assert!(server.get("/fleet/v1/units/a.service").await.body.contains(&long));
}

#[tokio::test]
async fn states_that_do_not_exist_are_refused_everywhere() {
    let server = Server::start();
    server.create("old.service", SLEEP, JobState::Loaded).await;
    let before = server.stored().await;
    let invalid = |state: &str| format!(r#"invalid value "{state}" for JobState"#);
    for state in ["bogus", "Launched", " loaded"] {
        let new = format!(r#"{{"desiredState":"{state}","options":{SLEEP_OPTIONS}}}"#);
        server.put("new.service", &new).await.assert_error(400, &invalid(state));
        server.put("old.service", &new).await.assert_error(400, &invalid(state));
        let update = format!(r#"{{"desiredState":"{state}"}}"#);
        server.put("old.service", &update).await.assert_error(400, &invalid(state));
        let replace = body(state, &[option("Service", "ExecStart", "/bin/true")]);
        server.put("old.service", &replace).await.assert_error(400, &invalid(state));
    }
    assert_eq!(server.stored().await, before);
}

#[tokio::test]
async fn templates_are_never_activated() {
    let server = Server::start();
    let refused = r#"cannot activate template "t@.service""#;
    let new = |state: &str, value: &str| body(state, &[option("Service", "ExecStart", value)]);
    for state in ["launched", "loaded"] {
        server.put("t@.service", &new(state, "/bin/true")).await.assert_error(400, refused);
    }
    assert_eq!(server.stored().await.len(), 0);
    let absent = format!(r#"{{"options":{SLEEP_OPTIONS}}}"#);
    assert_done(&server.put("t@.service", &absent).await, 201);
    for state in ["launched", "loaded"] {
        let update = format!(r#"{{"desiredState":"{state}"}}"#);
        server.put("t@.service", &update).await.assert_error(400, refused);
        server.put("t@.service", &new(state, "/bin/true")).await.assert_error(400, refused);
    }
    assert_done(&server.put("t@.service", r#"{"desiredState":"inactive"}"#).await, 204);
    assert_done(&server.put("t@.service", &new("inactive", "/bin/true")).await, 201);
    assert_done(&server.put("t@1.service", &new("launched", "/bin/true")).await, 201);
}

#[tokio::test]
async fn names_of_fleets_own_units_are_refused_and_stored_ones_can_go() {
    let server = Server::start();
    let install = |value: &str| body("launched", &[option("Install", "Alias", value)]);
    for name in ["fleet.service", "fleet.socket"] {
        let refused = format!("the name {name} is that of a unit of fleet's own");
        for state in ["launched", "loaded", "inactive"] {
            let new = body(state, &[option("Service", "ExecStart", "/bin/true")]);
            server.put(name, &new).await.assert_error(400, &refused);
        }
        let alias = format!("the alias {name} is the name of a unit of fleet's own");
        server.put("a.service", &install(name)).await.assert_error(400, &alias);
    }
    assert_eq!(server.stored().await.len(), 0);

    // Stored by an earlier version: it can be read, stopped and destroyed, and nothing else.
    let alias = "[Service]\nExecStart=/bin/sleep 100\n[Install]\nAlias=fleet.service\n";
    server.create("fleet.service", SLEEP, JobState::Launched).await;
    server.create("a.service", alias, JobState::Inactive).await;
    assert_eq!(server.get("/fleet/v1/units/fleet.service").await.status, 200);
    for (name, refused) in [
        ("fleet.service", "the name fleet.service is that of a unit of fleet's own"),
        ("a.service", "the alias fleet.service is the name of a unit of fleet's own"),
    ] {
        for state in ["launched", "loaded"] {
            let update = format!(r#"{{"desiredState":"{state}"}}"#);
            server.put(name, &update).await.assert_error(400, refused);
        }
        assert_done(&server.put(name, r#"{"desiredState":"inactive"}"#).await, 204);
        assert_done(&server.call("DELETE", &format!("/fleet/v1/units/{name}")).await, 204);
    }
    assert_eq!(server.stored().await.len(), 0);
}

#[tokio::test]
async fn requirements_that_take_too_long_to_compare_are_refused() {
    let server = Server::start();
    let option = |name: &str, word: &str| {
        let words: Vec<String> = (0..200).map(|n| format!("{word}{n:07}")).collect();
        format!(r#"{{"section":"X-Fleet","name":"{name}","value":"{}"}}"#, words.join(" "))
    };
    // So many options that name the same peers, and patterns that are that much longer.
    let unit = |peers, length| {
        let peers = vec![option("MachineOf", "p"); peers];
        let patterns = option("Conflicts", &format!("{}*", "c".repeat(length)));
        let options: Vec<String> = peers.into_iter().chain([patterns]).collect();
        format!(r#"{{"options":[{}]}}"#, options.join(","))
    };
    assert_eq!(server.put("a.service", &unit(10, 1)).await.status, 201);
    server.put("b.service", &unit(1, 12)).await.assert_refused("too many requirements: ");
}
