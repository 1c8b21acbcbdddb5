//! Why units aren't running, where fleetctl waits and lists (issue "why not"), from the real binary.

mod support;

use insta::assert_snapshot;
use support::{Cluster, Desk, HELLO, MACHINE, server::Reply};

fn desk() -> Desk {
    let pending = format!(
        r#"{{"machines":[{{"machineID":"{MACHINE}","message":"local Machine metadata insufficient","reason":"metadata"}}],"message":"no machine takes it","reason":"refused"}}"#
    );
    let units = [
        ("in.service", HELLO, "inactive", "inactive"),
        ("w.service", HELLO, "inactive", "inactive"),
        ("r.service", HELLO, "launched", "launched"),
    ];
    Desk::at(Cluster::ruled(&units, move |request| match &*request.line() {
        "GET units/w.service" => {
            let unit = format!(
                r#"{{"currentState":"inactive","desiredState":"inactive","name":"w.service","options":[{{"section":"Service","name":"ExecStart","value":"/bin/true"}}],"pending":{pending}}}"#
            );
            Some(Reply::Send(200, unit))
        }
        _ => None,
    }))
}

#[test]
fn a_long_wait_says_what_each_machine_refuses_a_unit_for() {
    assert_snapshot!(desk().run("start --block-attempts=2 w").transcript(), @r"
    rc 1
    err|Still waiting for w.service (inactive: no machine takes it (c31e44e1...: local Machine metadata insufficient)) to report state launched
    err|Error waiting for units: timed out waiting for unit w.service to report state launched
    err|Error waiting for unit states, exit status: timed out waiting for unit w.service to report state launched
    ");
}

#[test]
fn lists_ask_only_about_units_that_are_not_as_desired_and_only_when_told() {
    let desk = desk();
    desk.run("start --no-block w");
    assert_snapshot!(desk.run("list-unit-files --fields=unit,dstate,state,why").with_requests(), @r"
    rc 0
    out|UNIT→→DSTATE→→STATE→→WHY
    out|in.service→inactive→inactive→-
    out|r.service→launched→launched→-
    out|w.service→launched→launched→-
    req|GET state
    req|GET units
    ");
    desk.cluster.units.lock().unwrap().get_mut("w.service").unwrap().current_state =
        "inactive".into();
    assert_snapshot!(desk.run("list-unit-files --fields=unit,why").with_requests(), @r"
    rc 0
    out|UNIT→→WHY
    out|in.service→-
    out|r.service→-
    out|w.service→no machine takes it (c31e44e1...: local Machine metadata insufficient)
    req|GET state
    req|GET units
    req|GET units/w.service
    ");
    assert_eq!(desk.run("list-unit-files").requests, ["GET units", "GET machines"]);
}

#[test]
fn lists_tell_of_launched_units_that_do_not_run() {
    for (active, sub) in
        [("failed", "failed"), ("inactive", "dead"), ("activating", "auto-restart")]
    {
        let units = [("f.service", HELLO, "launched", "launched")];
        let desk = Desk::at(Cluster::ruled(&units, move |request| {
            match &*request.line() {
            "GET state" => Some(Reply::Send(
                200,
                format!(
                    r#"{{"states":[{{"name":"f.service","systemdActiveState":"{active}","systemdSubState":"{sub}"}}]}}"#
                ),
            )),
            "GET units/f.service" => Some(Reply::Send(
                200,
                r#"{"name":"f.service","pending":{"message":"machine m1 says why","reason":"any"}}"#
                    .to_owned(),
            )),
            _ => None,
        }
        }));
        let run = desk.run("list-unit-files --no-legend --fields=unit,why");
        assert_eq!(run.out, "f.service\tmachine m1 says why\n", "{active} {sub}");
    }
}
