//! The transcripts of `fleetctl.md` 6.2, and everything else about lists, from the real binary.

mod support;

use insta::assert_snapshot;
use support::{
    Cluster, Desk,
    server::{Reply, Request},
};

const MACHINES: &str = r#"{"machines":[{"id":"c31e44e1f858436e933e59c642517860","primaryIP":"10.0.0.1","metadata":{"region":"eu","az":"b"}},
    {"id":"595989bbcbb749ce8726722d6e157b4e"}]}"#;
const UNITS: &str = r#"{"units":[
    {"name":"hello.service","desiredState":"launched","currentState":"launched","machineID":"c31e44e1f858436e933e59c642517860",
     "options":[{"section":"Unit","name":"Description","value":"Hello"},{"section":"Service","name":"ExecStart","value":"/bin/sleep 1d"}]},
    {"name":"idle.service","desiredState":"inactive","currentState":"inactive",
     "options":[{"section":"Unit","name":"Description","value":"Hello"},{"section":"Service","name":"ExecStart","value":"/bin/sleep 1d"}]},
    {"name":"everywhere.service","desiredState":"launched","currentState":"inactive",
     "options":[{"section":"Service","name":"ExecStart","value":"/bin/sleep 1d"},{"section":"X-Fleet","name":"Global","value":"true"}]}]}"#;
const STATES: &str = r#"{"states":[
    {"name":"everywhere.service","machineID":"c31e44e1f858436e933e59c642517860","hash":"612415e8d8a7b0bda99623bc009764693bd2b0bc","systemdLoadState":"loaded","systemdActiveState":"active","systemdSubState":"running"},
    {"name":"everywhere.service","machineID":"595989bbcbb749ce8726722d6e157b4e","hash":"612415e8d8a7b0bda99623bc009764693bd2b0bc","systemdLoadState":"loaded","systemdActiveState":"failed","systemdSubState":"failed"},
    {"name":"hello.service","machineID":"c31e44e1f858436e933e59c642517860","hash":"3270011d47f965d5874f9abcd7957c382cb31709","systemdLoadState":"loaded","systemdActiveState":"active","systemdSubState":"running"}]}"#;

fn replay(machines: &'static str, units: &'static str, states: &'static str) -> Desk {
    Desk::at(Cluster::ruled(&[], move |request: &Request| {
        let body = match &*request.line() {
            "GET machines" => machines,
            "GET units" => units,
            "GET state" => states,
            _ => return None,
        };
        Some(Reply::Send(200, body.to_owned()))
    }))
}

fn sample() -> Desk {
    replay(MACHINES, UNITS, STATES)
}

#[test]
fn machines_are_listed() {
    assert_snapshot!(sample().run("list-machines").with_requests(), @r"
    rc 0
    out|MACHINE→→IP→→METADATA
    out|c31e44e1...→10.0.0.1→az=b,region=eu
    out|595989bb...→-→→-
    req|GET machines
    ");
    assert_snapshot!(sample().run("list-machines --full").transcript(), @r"
    rc 0
    out|MACHINE→→→→→IP→→METADATA
    out|c31e44e1f858436e933e59c642517860→10.0.0.1→az=b,region=eu
    out|595989bbcbb749ce8726722d6e157b4e→-→→-
    ");
    let other = replay(
        r#"{"machines":[{"id":"c31e44e1f858436e933e59c642517860","primaryIP":"1.2.3.4","metadata":{"region":"us-west","az":"b"}},{"id":"595989bbcbb749ce8726722d6e157b4e"}]}"#,
        "{}",
        "{}",
    );
    assert_snapshot!(other.run("list-machines --full").transcript(), @r"
    rc 0
    out|MACHINE→→→→→IP→METADATA
    out|c31e44e1f858436e933e59c642517860→1.2.3.4→az=b,region=us-west
    out|595989bbcbb749ce8726722d6e157b4e→-→-
    ");
    assert_snapshot!(other.run("list-machines --fields=metadata,machine,metadata").transcript(), @r"
    rc 0
    out|METADATA→→MACHINE→→METADATA
    out|az=b,region=us-west→c31e44e1...→az=b,region=us-west
    out|-→→→595989bb...→-
    ");
    assert_snapshot!(other.run("list-machines -l --no-legend").transcript(), @r"
    rc 0
    out|c31e44e1f858436e933e59c642517860→1.2.3.4→az=b,region=us-west
    out|595989bbcbb749ce8726722d6e157b4e→-→-
    ");
}

#[test]
fn units_are_listed() {
    assert_snapshot!(sample().run("list-units").with_requests(), @r"
    rc 0
    out|UNIT→→→MACHINE→→→ACTIVE→SUB
    out|everywhere.service→c31e44e1.../10.0.0.1→active→running
    out|everywhere.service→595989bb...→→failed→failed
    out|hello.service→→c31e44e1.../10.0.0.1→active→running
    req|GET machines
    req|GET state
    ");
    assert_snapshot!(sample().run("list-units --fields=unit,hash,machine --full --no-legend").transcript(), @r"
    rc 0
    out|everywhere.service→612415e8d8a7b0bda99623bc009764693bd2b0bc→c31e44e1f858436e933e59c642517860/10.0.0.1
    out|everywhere.service→612415e8d8a7b0bda99623bc009764693bd2b0bc→595989bbcbb749ce8726722d6e157b4e
    out|hello.service→→3270011d47f965d5874f9abcd7957c382cb31709→c31e44e1f858436e933e59c642517860/10.0.0.1
    ");
    let single = sample().run("list-units --fields unit --no-legend");
    assert_eq!(single.out, "everywhere.service\neverywhere.service\nhello.service\n");
    assert_eq!(single.requests, ["GET state"], "machines are asked for only when shown");
}

#[test]
fn unit_files_are_listed() {
    assert_snapshot!(sample().run("list-unit-files").with_requests(), @r"
    rc 0
    out|UNIT→→→HASH→DSTATE→→STATE→→TARGET
    out|hello.service→→3270011→launched→launched→c31e44e1.../10.0.0.1
    out|idle.service→→3270011→inactive→inactive→-
    out|everywhere.service→612415e→launched→-→→global
    req|GET machines
    req|GET units
    ");
    assert_snapshot!(sample().run("list-unit-files --fields=unit,global,desc,dstate").with_requests(), @r"
    rc 0
    out|UNIT→→→GLOBAL→DESC→DSTATE
    out|hello.service→→false→Hello→launched
    out|idle.service→→false→Hello→inactive
    out|everywhere.service→true→-→launched
    req|GET units
    ");
    assert_snapshot!(sample().run("list-unit-files --no-legend --fields=tmachine,tmachine --full").transcript(), @r#"
    rc 0
    out|c31e44e1f858436e933e59c642517860/10.0.0.1→c31e44e1f858436e933e59c642517860/10.0.0.1
    out|-→→→→→→-
    out|global→→→→→→global
    err|WARNING: The "tmachine" field is deprecated. Use "target" instead
    err|WARNING: The "tmachine" field is deprecated. Use "target" instead
    "#);
}

#[test]
fn what_is_missing_is_a_dash() {
    let desk = replay(
        r#"{"machines":[{"id":"c31e44e1f858436e933e59c642517860","primaryIP":"1.2.3.4"}]}"#,
        r#"{"units":[null,{"name":"bare.service"}]}"#,
        r#"{"states":[
            {"name":"hello.service","machineID":"c31e44e1f858436e933e59c642517860","hash":"dc1468cdc1468c","systemdLoadState":"loaded","systemdActiveState":"active","systemdSubState":"running"},
            {"name":"gone.service","machineID":"deadbeefdeadbeef","systemdLoadState":"loaded","systemdActiveState":"inactive","systemdSubState":"dead"},
            {"name":"nomach.service","hash":"abc"},
            null]}"#,
    );
    assert_snapshot!(desk.run("list-units --fields=unit,load,active,sub,machine,hash").transcript(), @r"
    rc 0
    out|UNIT→→LOAD→ACTIVE→→SUB→MACHINE→→→HASH
    out|hello.service→loaded→active→→running→c31e44e1.../1.2.3.4→dc1468c
    out|gone.service→loaded→inactive→dead→deadbeef...→→-
    out|nomach.service→-→-→→-→-→→→abc
    out|-→→-→-→→-→-→→→-
    ");
    assert_snapshot!(desk.run("list-unit-files --fields=unit,hash,dstate,state,target,desc,global").transcript(), @r"
    rc 0
    out|UNIT→→HASH→DSTATE→STATE→TARGET→DESC→GLOBAL
    out|bare.service→da39a3e→-→-→-→-→false
    ");
}

#[test]
fn nothing_is_a_header_or_nothing() {
    for answer in ["{}", "null"] {
        let desk = replay(answer, answer, answer);
        for (words, out) in [
            ("list-machines", "MACHINE\tIP\tMETADATA\n"),
            ("list-units", "UNIT\tMACHINE\tACTIVE\tSUB\n"),
            ("list-unit-files", "UNIT\tHASH\tDSTATE\tSTATE\tTARGET\n"),
            ("list-machines --no-legend", ""),
            ("list-units --no-legend", ""),
            ("list-unit-files --no-legend", ""),
        ] {
            let run = desk.run(words);
            assert_eq!((run.code, &*run.out, &*run.err), (Some(0), out, ""), "{words}");
            // Words mean nothing here, which is said.
            let run = desk.run(&format!("{words} extra words"));
            assert_eq!((run.code, &*run.out), (Some(0), out), "{words}");
            assert!(run.err.ends_with("takes no arguments, ignored: extra words\n"), "{}", run.err);
        }
    }
}

#[test]
fn wrong_fields_are_refused_before_anything_is_asked() {
    for list in ["list-machines", "list-units", "list-unit-files"] {
        for (fields, text) in [
            ("", "Must define output format\n"),
            ("x,unit", "Invalid key in output format: \"x\"\n"),
            ("Unit", "Invalid key in output format: \"Unit\"\n"),
            ("machine,", "Invalid key in output format: "),
        ] {
            let run = sample().run(&format!("{list} --fields={fields}"));
            assert_eq!((run.code, &*run.out), (Some(1), ""), "{list} {fields}");
            assert!(run.err.starts_with(text), "{list} {fields}: {}", run.err);
            assert_eq!(run.requests.len(), 0);
        }
    }
}

#[test]
fn a_failing_server_is_reported_in_the_words_of_each_list() {
    let desk = Desk::at(Cluster::ruled(&[], |_| {
        let body = "fleet server unable to communicate with etcd\n";
        Some(Reply::Send(503, body.to_owned()))
    }));
    assert_snapshot!(desk.run("list-machines").transcript(), @r"
    rc 1
    err|Error retrieving list of active machines from fleet API (googleapi: got HTTP response code 503 with body: fleet server unable to communicate with etcd)
    err|Possible issues:
    err|  etcd is unhealthy and/or lost quorum
    err|  connection cannot be established to any etcd servers
    ");
    let text = "Error retrieving list of units from repository: googleapi: got HTTP response code 503 with body: fleet server unable to communicate with etcd\n";
    for list in ["list-units", "list-unit-files"] {
        let run = desk.run(list);
        assert_eq!((run.code, &*run.out, &*run.err), (Some(1), "", text));
    }
}

#[test]
fn machines_that_cannot_be_had_only_lack_their_addresses() {
    let desk = Desk::at(Cluster::ruled(&[], |request| match &*request.line() {
        "GET state" => Some(Reply::Send(200, STATES.to_owned())),
        _ => Some(Reply::Send(500, "boom".to_owned())),
    }));
    assert_snapshot!(desk.run("list-units --no-legend").transcript(), @r"
    rc 0
    out|everywhere.service→c31e44e1...→active→running
    out|everywhere.service→595989bb...→failed→failed
    out|hello.service→→c31e44e1...→active→running
    ");
}

#[test]
fn control_characters_do_not_break_a_table() {
    let desk = replay(
        "{}",
        r#"{"units":[{"name":"a.service","options":[{"section":"Unit","name":"Description","value":"a\tb\nc\u001b[1m"}]}]}"#,
        "{}",
    );
    let run = desk.run("list-unit-files --no-legend --fields=desc,unit");
    assert_eq!(run.out, "a b c [1m\ta.service\n");
}
