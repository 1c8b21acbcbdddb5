//! The transcripts of `fleetctl.md` 7 for units that exist, from the real binary.

mod support;

use insta::assert_snapshot;
use support::{Cluster, Desk, GLOBAL, HELLO, error, server::Reply};

/// One unit of each kind: running, two, loaded, inactive, and global.
fn units() -> [(&'static str, &'static str, &'static str, &'static str); 5] {
    [
        ("g.service", GLOBAL, "launched", "inactive"),
        ("in.service", HELLO, "inactive", "inactive"),
        ("load.service", HELLO, "loaded", "loaded"),
        ("run.service", HELLO, "launched", "launched"),
        ("run2.service", HELLO, "launched", "launched"),
    ]
}

fn desk() -> Desk {
    Desk::at(Cluster::with(&units()))
}

/// A cluster in which setting a state is accepted and has no effect.
fn deaf() -> Desk {
    Desk::at(Cluster::ruled(&units(), |request| {
        (request.method == "PUT").then(|| Reply::Send(204, String::new()))
    }))
}

#[test]
fn stop_stops_what_runs() {
    assert_snapshot!(desk().run("stop nope run nope2 g load").with_requests(), @r#"
    rc 0
    out|Triggered global unit g.service stop
    out|Unit run.service loaded on c31e44e1.../1.2.3.4
    err|WARNING: Unit nope.service not found in registry
    err|WARNING: Unit nope2.service not found in registry
    err|Successfully stopped units [run.service].
    req|GET units/g.service
    req|GET units/load.service
    req|GET units/nope.service
    req|GET units/nope2.service
    req|GET units/run.service
    req|PUT units/g.service {"desiredState":"loaded","name":"g.service"}
    req|PUT units/run.service {"desiredState":"loaded","name":"run.service"}
    req|GET machines
    req|GET state?unitName=run.service
    req|GET units/run.service
    "#);
    assert_snapshot!(desk().run("stop --no-block run run2 g").transcript(), @r"
    rc 0
    out|Triggered global unit g.service stop
    out|Triggered unit run.service stop
    out|Triggered unit run2.service stop
    err|Successfully stopped units [run.service run2.service].
    ");
    assert_snapshot!(desk().run("stop load").with_requests(), @r"
    rc 0
    err|Successfully stopped units [].
    req|GET units/load.service
    ");
    let desk = desk();
    desk.run("stop g");
    assert_snapshot!(desk.run("stop g").transcript(), @r"
    rc 0
    err|Successfully stopped units [].
    ");
}

#[test]
fn an_inactive_unit_cannot_be_stopped_and_ends_the_command() {
    let desk = desk();
    assert_snapshot!(desk.run("stop run in run2").transcript(), @r"
    rc 1
    err|Unable to stop unit in.service in state inactive
    ");
    let desired = desk.cluster.desired();
    assert!(desired.contains(&"run.service=loaded".to_owned()));
    assert!(desired.contains(&"run2.service=launched".to_owned()));
}

#[test]
fn attempts_that_run_out_are_reported() {
    assert_snapshot!(deaf().run("stop --block-attempts=1 run run2").transcript(), @r"
    rc 1
    err|Error waiting for units: timed out waiting for unit run.service to report state loaded
    err|Failed to stop units [run.service run2.service]. err: timed out waiting for unit run.service to report state loaded
    ");
    assert_snapshot!(deaf().run("unload --block-attempts=1 run").transcript(), @r"
    rc 1
    err|Error waiting for units: timed out waiting for unit run.service to report state inactive
    err|Failed to unload units [run.service]. err: timed out waiting for unit run.service to report state inactive
    ");
}

#[test]
fn a_state_that_cannot_be_set_is_reported_even_without_blocking() {
    let desk = Desk::at(Cluster::ruled(&units(), |request| {
        (request.method == "PUT").then(|| error(500, "boom"))
    }));
    for command in ["stop", "stop --no-block", "unload", "unload --no-block"] {
        let run = desk.run(&format!("{command} run"));
        let text = "rc 1\nerr|Error setting target state for unit run.service: googleapi: Error 500: boom\n";
        assert_eq!(run.transcript(), text, "{command}");
    }
}

#[test]
fn unload_takes_units_off_their_machines() {
    assert_snapshot!(desk().run("unload run").transcript(), @r"
    rc 0
    out|Unit run.service inactive
    err|Successfully unloaded units [run.service].
    ");
    assert_snapshot!(desk().run("unload in g --no-block").transcript(), @r"
    rc 0
    out|Triggered global unit g.service unload
    err|Successfully unloaded units [].
    ");
}

#[test]
fn unload_goes_by_what_is_desired_of_a_unit_without_a_machine() {
    let desk = Desk::at(Cluster::with(&[("wait.service", HELLO, "launched", "inactive")]));
    assert_snapshot!(desk.run("unload wait").transcript(), @r"
    rc 0
    out|Unit wait.service inactive
    err|Successfully unloaded units [wait.service].
    ");
    assert_eq!(desk.cluster.desired(), ["wait.service=inactive"]);
}

#[test]
fn destroy_destroys_and_looks_that_it_is_gone() {
    let desk = desk();
    let mut run = desk.run("destroy run nope g /x/y/load");
    run.requests[7..].sort(); // they are waited for at the same time
    assert_snapshot!(run.with_requests(), @r"
    rc 0
    out|Destroyed run.service
    out|Destroyed g.service
    out|Destroyed load.service
    err|WARNING: Unit nope.service not found in registry
    req|GET units/g.service
    req|GET units/load.service
    req|GET units/nope.service
    req|GET units/run.service
    req|DELETE units/g.service
    req|DELETE units/load.service
    req|DELETE units/run.service
    req|GET state?unitName=g.service
    req|GET state?unitName=load.service
    req|GET state?unitName=run.service
    req|GET units/g.service
    req|GET units/load.service
    req|GET units/run.service
    ");
    assert_snapshot!(desk.run("destroy --no-block run2 run2").with_requests(), @r"
    rc 0
    out|Destroyed run2.service
    req|GET units/run2.service
    req|GET units/run2.service
    req|DELETE units/run2.service
    req|DELETE units/run2.service
    ");
    assert_snapshot!(desk.run("destroy nope").transcript(), @r"
    rc 0
    err|Units not found in registry
    ");
}

#[test]
fn destroy_goes_on_after_a_failure() {
    let desk = Desk::at(Cluster::ruled(&units(), |request| match &*request.line() {
        "DELETE units/run.service" => Some(error(500, "boom")),
        "DELETE units/in.service" => Some(error(404, "unit does not exist")),
        _ => None,
    }));
    assert_snapshot!(desk.run("destroy run in load").transcript(), @r"
    rc 1
    out|Destroyed load.service
    err|Error destroying units: googleapi: Error 500: boom
    ");
}

#[test]
fn destroy_says_when_a_unit_stays() {
    let desk = Desk::at(Cluster::ruled(&units(), |request| {
        (request.method == "DELETE").then(|| Reply::Send(204, String::new()))
    }));
    assert_snapshot!(desk.run("destroy --block-attempts=1 run").transcript(), @r"
    rc 1
    err|Error destroying units: timed out waiting for unit run.service to be destroyed
    ");
}

#[test]
fn what_is_not_there_is_no_failure() {
    for command in ["stop", "unload", "destroy"] {
        let run = desk().run(&format!("{command} nope"));
        assert_eq!(run.transcript(), "rc 0\nerr|Units not found in registry\n", "{command}");
    }
}

#[test]
fn a_list_of_units_that_cannot_be_had_is_reported_as_it_is() {
    for command in ["stop", "unload", "destroy"] {
        let desk = Desk::at(Cluster::ruled(&[], |_| Some(error(500, "boom"))));
        let run = desk.run(&format!("{command} run"));
        assert_eq!(run.transcript(), "rc 1\nerr|googleapi: Error 500: boom\n", "{command}");
    }
}

#[test]
fn two_that_destroy_the_same_unit_both_succeed() {
    let desk = desk();
    let words = "destroy run run2 load in g";
    std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| desk.run(words)));
        for run in runs {
            assert_eq!(run.join().unwrap().code, Some(0));
        }
    });
    assert!(desk.cluster.desired().is_empty());
}

#[test]
fn cat_prints_what_the_cluster_has() {
    let file = "[Unit]\nA=1\n[Service]\nExecStart=/bin/a \\\n  --x\n[Unit]\nB=\n# gone\n";
    let desk = Desk::at(Cluster::with(&[
        ("a.service", file, "inactive", "inactive"),
        ("bare.service", "", "inactive", "inactive"),
    ]));
    let run = desk.run("cat a");
    assert_eq!(run.code, Some(0));
    assert_eq!(run.out, "[Unit]\nA=1\nB=\n\n[Service]\nExecStart=/bin/a \\\n  --x\n");
    let run = desk.run("cat bare");
    assert_eq!((run.code, &*run.out, &*run.err), (Some(0), "", ""));
    for words in ["cat", "cat a bare"] {
        assert_eq!(desk.run(words).with_requests(), "rc 1\nerr|One unit file must be provided\n");
    }
    assert_eq!(desk.run("cat nope").transcript(), "rc 1\nerr|Unit nope.service not found\n");
}

#[test]
fn cat_reports_a_failing_server_without_its_newline() {
    let desk = Desk::at(Cluster::ruled(&[], |_| {
        let body = "fleet server unable to communicate with etcd\n";
        Some(Reply::Send(503, body.to_owned()))
    }));
    assert_snapshot!(desk.run("cat hello").transcript(), @r"
    rc 1
    err|Error retrieving Unit hello.service: googleapi: got HTTP response code 503 with body: fleet server unable to communicate with etcd
    ");
}

#[test]
fn arguments_without_a_name_are_refused_by_all_commands() {
    for command in ["submit", "load", "start", "stop", "unload", "destroy", "cat"] {
        for argument in ["/", ".service", "..", "a/.."] {
            let run = desk().run(&format!("{command} {argument}"));
            let text =
                format!("rc 1\nerr|invalid argument \"{argument}\": unit name cannot be empty\n");
            assert_eq!(run.with_requests(), text, "{command} {argument}");
        }
    }
}
