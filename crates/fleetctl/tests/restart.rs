//! `fleetctl restart` (`fleetctl.md` 5.8, `spec/README.md` 14), from the real binary.

mod support;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use insta::assert_snapshot;
use support::{
    Cluster, Desk, GLOBAL, HELLO, MACHINE, error,
    server::{Reply, Request},
};

const OTHER: &str = "595989bb4bd74d58b9a42aaf6b2e7a44";

fn units() -> [(&'static str, &'static str, &'static str, &'static str); 4] {
    [
        ("in.service", HELLO, "inactive", "inactive"),
        ("load.service", HELLO, "loaded", "loaded"),
        ("run.service", HELLO, "launched", "launched"),
        ("run2.service", HELLO, "launched", "launched"),
    ]
}

fn desk() -> Desk {
    Desk::at(Cluster::with(&units()))
}

fn ok(body: &str) -> Option<Reply> {
    Some(Reply::Send(200, body.to_owned()))
}

fn state(machine: &str, active: &str, sub: &str) -> String {
    format!(
        r#"{{"machineID":"{machine}","name":"x","systemdActiveState":"{active}","systemdLoadState":"loaded","systemdSubState":"{sub}"}}"#
    )
}

/// A global unit on two machines, which acknowledge at the second question.
fn global() -> Desk {
    let asked = AtomicUsize::new(0);
    Desk::at(Cluster::ruled(&[("g.service", GLOBAL, "launched", "inactive")], move |request| {
        let line = request.line();
        match (&*request.method, line.split_once("machineID=")) {
            ("GET", Some((_, machine))) if line.contains("/restart") => {
                let done = asked.fetch_add(1, Ordering::Relaxed) % 3 == 2;
                let pending = format!(r#"{{"pending":["{machine}"]}}"#);
                ok(if done { "{}" } else { &pending })
            }
            ("GET", Some((_, machine))) => {
                ok(&format!(r#"{{"states":[{}]}}"#, state(machine, "active", "running")))
            }
            ("GET", None) if line.starts_with("GET state?") => {
                let of = |machine| state(machine, "active", "running");
                ok(&format!(r#"{{"states":[{},{}]}}"#, of(MACHINE), of(OTHER)))
            }
            _ => None,
        }
    }))
}

#[test]
fn a_running_unit_is_restarted_where_it_is_and_a_loaded_one_is_started() {
    let run = desk().run("restart run load");
    assert_snapshot!(run.transcript(), @r"
    rc 0
    out|Unit run.service launched on c31e44e1.../1.2.3.4
    out|Unit load.service launched on c31e44e1.../1.2.3.4
    err|DATE TIME INFO SOURCE: Unit(run.service) was restarted.
    err|DATE TIME INFO SOURCE: Unit(load.service) already loaded, starting.
    ");
    let posted: Vec<_> = run.requests.iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(
        posted,
        [
            "POST units/run.service/restart",
            r#"PUT units/load.service {"desiredState":"launched","name":"load.service"}"#
        ]
    );
}

#[test]
fn units_are_never_created_and_nothing_happens_when_one_is_missing() {
    let desk = desk().file("new.service", HELLO);
    assert_snapshot!(desk.run("restart run new nope").with_requests(), @r"
    rc 1
    err|unable to find unit new.service
    err|unable to find unit nope.service
    req|GET units/new.service
    req|GET units/nope.service
    req|GET units/run.service
    ");
}

#[test]
fn an_inactive_unit_is_left_alone_and_the_others_are_restarted() {
    assert_snapshot!(desk().run("restart in run").transcript(), @r"
    rc 1
    out|Unit run.service launched on c31e44e1.../1.2.3.4
    err|Unable to restart unit in.service in state inactive
    err|DATE TIME INFO SOURCE: Unit(run.service) was restarted.
    ");
}

#[test]
fn flags_and_arguments_are_those_of_the_original() {
    assert_snapshot!(desk().run("restart").with_requests(), @r"
    rc 0
    err|No units given
    ");
    let run = desk().run("restart --no-block run");
    assert_eq!((run.code, run.requests.len()), (Some(2), 0), "{}", run.transcript());
}

#[test]
fn a_global_unit_is_restarted_on_one_machine_after_the_other() {
    let run = global().run("restart g");
    assert_snapshot!(run.transcript(), @r"
    rc 0
    out|Unit g.service launched
    out|Unit g.service launched on c31e44e1.../1.2.3.4
    err|DATE TIME INFO SOURCE: Unit(g.service) was restarted.
    ");
    let mut steps: Vec<&str> =
        run.requests.iter().filter(|line| line.contains("/restart")).map(|line| &**line).collect();
    steps.dedup();
    assert_eq!(
        steps,
        [
            format!("POST units/g.service/restart?machineID={OTHER}"),
            format!("GET units/g.service/restart?machineID={OTHER}"),
            format!("POST units/g.service/restart?machineID={MACHINE}"),
            format!("GET units/g.service/restart?machineID={MACHINE}"),
        ]
    );
}

#[test]
fn a_rolling_restart_ends_with_the_first_machine_that_fails() {
    let asked = Mutex::new(Vec::new());
    let desk = Desk::at(Cluster::ruled(
        &[("g.service", GLOBAL, "launched", "inactive")],
        move |request: &Request| {
            let line = request.line();
            if line.starts_with("POST") {
                asked.lock().unwrap().push(line);
                assert_eq!(asked.lock().unwrap().len(), 1, "the second is left alone");
                return Some(Reply::Send(202, "{}".to_owned()));
            }
            let failed = state(OTHER, "failed", "failed");
            let running = state(MACHINE, "active", "running");
            line.starts_with("GET state?")
                .then(|| ok(&format!(r#"{{"states":[{failed},{running}]}}"#)))
                .flatten()
        },
    ));
    assert_snapshot!(desk.run("restart g").transcript(), @r"
    rc 1
    err|Error restarting global units: unit g.service: Failed to find an active unit g.service, err: systemd reports failed (failed)
    ");
}

#[test]
fn a_global_unit_that_does_not_run_is_started_or_refused() {
    let desk = Desk::at(Cluster::with(&[
        ("g1.service", GLOBAL, "loaded", "inactive"),
        ("g2.service", GLOBAL, "inactive", "inactive"),
        ("g3.service", GLOBAL, "launched", "inactive"),
    ]));
    assert_snapshot!(desk.run("restart g1 g2 g3").transcript(), @r"
    rc 1
    out|Triggered global unit g1.service start
    err|DATE TIME INFO SOURCE: Unit(g1.service) already loaded, starting.
    err|Unable to restart unit g2.service in state inactive
    err|Unable to restart unit g3.service in state inactive
    ");
}

#[test]
fn attempts_that_run_out_and_refusals_are_reported() {
    let pending = format!(r#"{{"pending":["{MACHINE}"]}}"#);
    let deaf = Desk::at(Cluster::ruled(&units(), move |request| {
        let line = request.line();
        let restart = line.contains("/restart") && request.method == "GET";
        if restart { ok(&pending) } else { None }
    }));
    assert_snapshot!(deaf.run("restart --block-attempts=1 run run2").transcript(), @r"
    rc 1
    err|Error waiting for units: timed out waiting for unit run.service to be restarted
    err|Error waiting for unit states, exit status: timed out waiting for unit run.service to be restarted
    ");
    assert_snapshot!(deaf.run("restart --block-attempts=2 run").transcript(), @r"
    rc 1
    err|Still waiting for run.service (under way on c31e44e1...) to be restarted
    err|Error waiting for units: timed out waiting for unit run.service to be restarted
    err|Error waiting for unit states, exit status: timed out waiting for unit run.service to be restarted
    ");
    let refusing = Desk::at(Cluster::ruled(&units(), |request| {
        (request.method == "POST").then(|| error(409, "unit is not launched"))
    }));
    assert_snapshot!(refusing.run("restart run run2").transcript(), @r"
    rc 1
    err|Error restarting unit run.service: googleapi: Error 409: unit is not launched
    ");
}
