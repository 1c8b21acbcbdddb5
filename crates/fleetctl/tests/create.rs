//! The transcripts of `fleetctl.md` 7 that bring units in, from the real binary.

mod support;

use std::fs;

use insta::assert_snapshot;
use support::{Cluster, Desk, HELLO, OTHER, error};

const TEMPLATE: &str = "[Service]\nExecStart=/bin/sleep %i\n";

fn in_registry(name: &str, file: &str, state: &str) -> Cluster {
    Cluster::with(&[(name, file, state, state)])
}

#[test]
fn submit_creates_a_unit_once() {
    let desk = Desk::at(Cluster::empty()).file("hello.service", HELLO);
    assert_snapshot!(desk.run("submit hello").with_requests(), @r#"
    rc 0
    out|Unit hello.service inactive
    req|GET units/hello.service
    req|PUT units/hello.service {"name":"hello.service","options":[{"name":"Description","section":"Unit","value":"Hello"},{"name":"ExecStart","section":"Service","value":"/bin/sleep 1d"}]}
    req|GET units/hello.service
    "#);
    assert_snapshot!(desk.run("submit hello").with_requests(), @r"
    rc 0
    req|GET units/hello.service
    ");
}

#[test]
fn a_unit_that_differs_is_kept_with_a_warning() {
    let desk = Desk::at(in_registry("diff.service", OTHER, "inactive")).file("diff.service", HELLO);
    assert_snapshot!(desk.run("submit diff").with_requests(), @r"
    rc 0
    err|WARNING: Unit diff.service in registry differs from local unit file diff.service. Add --replace to override.
    req|GET units/diff.service
    ");
    let desk = Desk::at(in_registry("run.service", OTHER, "launched")).file("run.service", HELLO);
    assert_snapshot!(desk.run("start run").with_requests(), @r"
    rc 0
    err|WARNING: Unit run.service in registry differs from local unit file run.service. Add --replace to override.
    req|GET state/run.service
    req|GET units/run.service
    req|GET units/run.service
    ");
}

#[test]
fn replace_replaces_what_the_command_can_restore() {
    let replaced = "rc 0\nout|Unit diff.service inactive\n";
    let refused = |state: &str| {
        format!(
            "rc 1\nerr|Warning: can not replace Unit(diff.service) in state '{state}', use the appropriate command\n"
        )
    };
    let loaded = "rc 0\nout|Unit diff.service inactive\nout|Unit diff.service loaded on c31e44e1.../1.2.3.4\n";
    let started = "rc 0\nout|Unit diff.service inactive\nout|Unit diff.service launched on c31e44e1.../1.2.3.4\n";
    for (command, state, expected) in [
        ("submit", "inactive", replaced.to_owned()),
        ("submit", "loaded", refused("loaded")),
        ("submit", "launched", refused("launched")),
        ("load", "inactive", loaded.to_owned()),
        ("load", "loaded", loaded.to_owned()),
        ("load", "launched", refused("launched")),
        ("start", "inactive", started.to_owned()),
        ("start", "loaded", started.to_owned()),
        ("start", "launched", started.to_owned()),
        ("star", "launched", started.to_owned()),
    ] {
        let desk = Desk::at(in_registry("diff.service", OTHER, state)).file("diff.service", HELLO);
        let run = desk.run(&format!("{command} --replace diff"));
        assert_eq!(run.transcript(), expected, "{command} {state}");
        if run.code == Some(1) {
            assert_eq!(run.requests, ["GET units/diff.service"], "a refused unit stays untouched");
        }
    }
}

#[test]
fn a_refused_unit_does_not_hold_up_the_others() {
    let desk = Desk::at(in_registry("diff.service", OTHER, "launched"))
        .file("diff.service", HELLO)
        .file("new.service", HELLO);
    assert_snapshot!(desk.run("load --replace diff new").transcript(), @r"
    rc 1
    out|Unit new.service inactive
    out|Unit new.service loaded on c31e44e1.../1.2.3.4
    err|Warning: can not replace Unit(diff.service) in state 'launched', use the appropriate command
    ");
    assert_eq!(desk.cluster.desired(), ["diff.service=launched", "new.service=loaded"]);
}

#[test]
fn replacing_goes_by_the_command_not_by_the_words() {
    let desk =
        Desk::at(in_registry("submit.service", OTHER, "launched")).file("submit.service", HELLO);
    assert_snapshot!(desk.run("start --replace submit").transcript(), @r"
    rc 0
    out|Unit submit.service inactive
    out|Unit submit.service launched on c31e44e1.../1.2.3.4
    ");
}

#[test]
fn the_same_content_is_not_replaced() {
    let desk =
        Desk::at(in_registry("hello.service", HELLO, "launched")).file("hello.service", HELLO);
    assert_snapshot!(desk.run("start --replace hello").transcript(), @r"
    rc 0
    out|Found same Unit(hello.service) in Registry, nothing to do
    ");
}

#[test]
fn replace_needs_a_local_file() {
    let desk = Desk::at(Cluster::with(&[
        ("nolocal.service", HELLO, "inactive", "inactive"),
        ("nolocal@1.service", HELLO, "inactive", "inactive"),
        ("bad.service", HELLO, "inactive", "inactive"),
    ]))
    .file("bad.service", "[Service]\nExecStart\n");
    assert_snapshot!(desk.run("submit --replace nolocal").transcript(), @r"
    rc 1
    err|Error creating units: error Unit nolocal.service does not seem to be a template unit
    ");
    assert_snapshot!(desk.run("submit --replace nolocal@1").transcript(), @r"
    rc 1
    err|Error creating units: stat nolocal@.service: no such file or directory
    ");
    let run = desk.run("submit --replace bad");
    assert_eq!(run.code, Some(1));
    assert!(
        run.err.starts_with(
            "Error creating units: failed getting Unit(bad.service) from file: unexpected newline"
        ),
        "{}",
        run.err
    );
    let run = desk.run("submit bad");
    assert_eq!(run.code, Some(0));
    assert!(
        run.err
            .starts_with("WARNING: failed getting Unit(bad.service) from file: unexpected newline"),
        "{}",
        run.err
    );
}

#[test]
fn instances_are_made_of_the_local_template() {
    let desk = Desk::at(Cluster::empty()).file("tm@.service", TEMPLATE);
    let run = desk.run("submit tm@1 tm@2");
    // They are waited for at the same time.
    let mut told: Vec<&str> = run.out.lines().collect();
    told.sort_unstable();
    assert_eq!(told, ["Unit tm@1.service inactive", "Unit tm@2.service inactive"]);
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    let put = |name: &str| {
        format!(
            r#"PUT units/{name} {{"name":"{}","options":[{{"name":"ExecStart","section":"Service","value":"/bin/sleep %i"}}]}}"#,
            name.replace("%40", "@")
        )
    };
    // What is of one kind goes out at the same time; the template is asked for once.
    let mut asked = run.requests[..5].to_vec();
    asked[..2].sort();
    asked[3..].sort();
    assert_eq!(
        asked,
        [
            "GET units/tm%401.service".to_owned(),
            "GET units/tm%402.service".to_owned(),
            "GET units/tm%40.service".to_owned(),
            put("tm%401.service"),
            put("tm%402.service"),
        ]
    );
}

#[test]
fn instances_are_made_of_the_template_in_the_registry_first() {
    let desk =
        Desk::at(in_registry("tm@.service", TEMPLATE, "inactive")).file("d/tm@.service", HELLO);
    assert_snapshot!(desk.run("submit d/tm@8").with_requests(), @r#"
    rc 0
    out|Unit tm@8.service inactive
    err|WARNING: Unit tm@.service in registry differs from local template unit file d/tm@.service. Add --replace to override.
    req|GET units/tm%40.service
    req|GET units/tm%408.service
    req|PUT units/tm%408.service {"name":"tm@8.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/sleep %i"}]}
    req|GET units/tm%408.service
    "#);
}

#[test]
fn a_replaced_instance_gets_what_was_compared() {
    let desk = Desk::at(Cluster::with(&[
        ("tm@.service", TEMPLATE, "inactive", "inactive"),
        ("tm@7.service", TEMPLATE, "inactive", "inactive"),
    ]))
    .file("d/tm@.service", HELLO);
    let run = desk.run("submit --replace d/tm@7");
    assert_eq!(run.transcript(), "rc 0\nout|Unit tm@7.service inactive\n");
    assert!(run.requests[1].contains(r#""value":"Hello""#), "{:?}", run.requests);
}

#[test]
fn what_is_nowhere_is_an_error() {
    let desk = Desk::at(Cluster::empty()).file("syn.service", "[Service]\nExecStart\n");
    assert_snapshot!(desk.run("submit nope").transcript(), @r"
    rc 1
    err|Error creating units: unable to find Unit(nope.service) in Registry or on filesystem
    ");
    assert_snapshot!(desk.run("submit nope@1").transcript(), @r"
    rc 1
    err|Error creating units: failed getting Unit(nope@1.service) from template: unable to find template Unit(nope@.service) in Registry or on filesystem
    ");
    let run = desk.run("submit syn");
    assert_eq!((run.code, run.requests.len()), (Some(1), 1));
    assert!(run.err.starts_with("Error creating units: failed getting Unit(syn.service) from file: unexpected newline encountered while parsing option name"), "{}", run.err);
    assert_snapshot!(desk.run("submit *.service").transcript(), @r"
    rc 1
    err|Error creating units: unable to find Unit(*.service) in Registry or on filesystem
    ");
}

#[test]
fn the_first_of_two_files_of_a_name_wins() {
    let desk =
        Desk::at(Cluster::empty()).file("a/hello.service", HELLO).file("b/hello.service", OTHER);
    assert_snapshot!(desk.run("submit a/hello.service b/hello.service").transcript(), @r"
    rc 0
    out|Unit hello.service inactive
    err|WARNING: Unit hello.service in registry differs from local unit file b/hello.service. Add --replace to override.
    ");
}

#[test]
fn bad_units_are_refused_before_anything_is_put() {
    let long = format!("[Service]\nExecStart={}\n", "x".repeat(1024 * 1024));
    for (name, file, text) in [
        ("a%.service", HELLO, "invalid character '%' in unit name"),
        ("a@1.mount", HELLO, "invalid unit type for template: \"mount\""),
        (
            "long.service",
            &long,
            "failed getting Unit(long.service) from file: line too long (max 1048576 bytes)",
        ),
        (
            "hidden.service",
            "[Unit]\nDescription=x\r[Service]\rExecStart=/evil\n",
            "failed getting Unit(hidden.service) from file: character '\\r' ends a line for systemd",
        ),
        (
            "req.service",
            "[X-Fleet]\nMachineOf=a.service\nConflicts=*.service\n",
            "unresolvable requirements: peer \"a.service\" matches conflict \"*.service\"",
        ),
        (
            "id.service",
            "[X-Fleet]\nMachineID=abc\nGlobal=true\n",
            "MachineID cannot be used with Global",
        ),
    ] {
        let desk = Desk::at(Cluster::empty()).file(name, file);
        let run = desk.run(&format!("start {name}"));
        assert_eq!(run.code, Some(1), "{name}");
        assert!(
            run.err.starts_with(&format!("Error creating units: {text}")),
            "{name}: {}",
            run.err
        );
        assert!(!run.requests.iter().any(|line| line.starts_with("PUT")), "{name}");
    }
}

#[test]
fn files_that_are_no_text_are_refused() {
    let desk = Desk::at(Cluster::empty());
    fs::write(desk.folder.path().join("latin.service"), b"[Service]\nExecStart=\xff\n").unwrap();
    fs::create_dir(desk.folder.path().join("dir.service")).unwrap();
    let run = desk.run("submit latin");
    assert_eq!(run.code, Some(1));
    assert!(
        run.err.starts_with("Error creating units: failed getting Unit(latin.service) from file: "),
        "{}",
        run.err
    );
    assert_snapshot!(desk.run("submit dir").transcript(), @r"
    rc 1
    err|Error creating units: failed getting Unit(dir.service) from file: read dir.service: is a directory
    ");
}

#[test]
fn odd_fleet_options_are_warned_about() {
    let file = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nFoo=1\nBar=2\nMachineMetadata=garbage\n";
    let desk = Desk::at(Cluster::empty()).file("odd.service", file);
    assert_snapshot!(desk.run("submit odd").transcript(), @r#"
    rc 0
    out|Unit odd.service inactive
    err|DATE TIME WARN SOURCE: Unit odd.service: unrecognized requirement in [X-Fleet] section: "Bar"
    err|DATE TIME WARN SOURCE: Unit odd.service: unrecognized requirement in [X-Fleet] section: "Foo"
    err|DATE TIME WARN SOURCE: Unit odd.service: ignoring MachineMetadata "garbage" in [X-Fleet] section: not of the form key=value
    "#);
}

#[test]
fn an_empty_file_is_for_the_server_to_refuse() {
    let desk = Desk::at(Cluster::empty()).file("empty.service", "");
    assert_snapshot!(desk.run("submit empty").with_requests(), @r#"
    rc 1
    err|Error creating units: failed creating unit empty.service: googleapi: Error 409: unit does not exist and options field empty
    req|GET units/empty.service
    req|PUT units/empty.service {"name":"empty.service"}
    "#);
}

#[test]
fn nothing_given_is_nothing_to_do() {
    for command in ["submit", "load", "start", "stop", "unload", "destroy"] {
        let run = Desk::at(Cluster::empty()).run(command);
        assert_eq!(run.with_requests(), "rc 0\nerr|No units given\n", "{command}");
    }
}

#[test]
fn signing_is_refused_before_anything_else() {
    for command in ["submit", "load", "start"] {
        let run =
            Desk::at(Cluster::empty()).run(&format!("{command} --sign --endpoint=nonsense a"));
        let text = "rc 2\nerr|WARNING: The signed/verified units feature is DEPRECATED and cannot be used.\n";
        assert_eq!(run.with_requests(), text, "{command}");
    }
}

#[test]
fn a_registry_that_fails_is_reported_where_it_fails() {
    let broken = || Cluster::ruled(&[], |_| Some(error(500, "boom")));
    assert_snapshot!(Desk::at(broken()).run("submit hello").transcript(), @r"
    rc 1
    err|Error creating units: error retrieving Unit(hello.service) from Registry: googleapi: Error 500: boom
    ");
    let no_template = Cluster::ruled(&[], |request| {
        request.target.contains("tm%40.service").then(|| error(500, "boom"))
    });
    assert_snapshot!(Desk::at(no_template).run("start tm@1").transcript(), @r"
    rc 1
    err|Error creating units: failed getting Unit(tm@1.service) from template: error retrieving template Unit(tm@.service) from Registry: googleapi: Error 500: boom
    ");
}
