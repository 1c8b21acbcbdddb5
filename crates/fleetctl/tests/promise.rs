//! An exit code is a promise: what start, stop, unload, destroy and restart wait for, and how they end
//! when it can't be had. From the real binary.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fleet_core::UnitFile;
use insta::assert_snapshot;
use support::{
    Cluster, Desk, GLOBAL, HELLO, MACHINE, OTHER, error,
    server::{Reply, Request},
};

fn hash(text: &str) -> String {
    UnitFile::parse(text.as_bytes()).unwrap().hash().to_string()
}

/// A state of `hello.service` with this content, and how its start went.
fn state(content: &str, active: &str, sub: &str, start: &str) -> String {
    let hash = hash(content);
    format!(
        r#"{{"hash":"{hash}","machineID":"{MACHINE}","name":"hello.service",{start}"systemdActiveState":"{active}","systemdLoadState":"loaded","systemdSubState":"{sub}"}}"#
    )
}

fn ok(body: &str) -> Option<Reply> {
    Some(Reply::Send(200, body.to_owned()))
}

fn list(states: &[String]) -> Option<Reply> {
    ok(&format!(r#"{{"states":[{}]}}"#, states.join(",")))
}

/// Answers questions about states one after the other, the last for ever.
fn telling(answers: Vec<String>) -> impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move |request| {
        let line = request.line();
        if !line.starts_with("GET state") {
            return None;
        }
        let place = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let answer = &answers[place];
        match (line.starts_with("GET state?"), &**answer) {
            (true, "") => list(&[]),
            (true, answer) => list(&[answer.to_owned()]),
            (false, "") => Some(error(404, "unit state does not exist")),
            (false, answer) => ok(answer),
        }
    }
}

const SETTLED: &str = r#""start":{"at":7,"settled":true},"#;
const OPEN: &str = r#""start":{"at":7},"#;
const FAILED: &str = r#""start":{"at":7,"failure":"systemd reports failed (failed): exit-code, status 1","settled":true},"#;

#[test]
fn a_start_counts_when_its_machine_knows_how_it_went() {
    let new = [("hello.service", HELLO, "inactive", "inactive")];
    let open = state(HELLO, "active", "running", OPEN);
    for (end, code) in [
        (state(HELLO, "active", "running", SETTLED), 0),
        (state(HELLO, "inactive", "dead", SETTLED), 0),
        (state(HELLO, "failed", "failed", FAILED), 1),
    ] {
        let answers = vec![open.clone(), open.clone(), open.clone(), end];
        let run = Desk::at(Cluster::ruled(&new, telling(answers))).run("start hello");
        assert_eq!(run.code, Some(code), "{}", run.transcript());
        let asked = run.requests.iter().filter(|line| *line == "GET state/hello.service").count();
        assert_eq!(asked, 4, "an open start is no start");
    }
    let failed = state(HELLO, "failed", "failed", FAILED);
    let desk = Desk::at(Cluster::ruled(&new, telling(vec![failed])));
    assert_snapshot!(desk.run("start hello").transcript(), @r"
    rc 1
    out|Unit hello.service launched on c31e44e1.../1.2.3.4
    err|Error waiting for units: Failed to find an active unit hello.service, err: systemd reports failed (failed): exit-code, status 1
    err|Error waiting for systemd unit states, err: Failed to find an active unit hello.service, err: systemd reports failed (failed): exit-code, status 1
    ");
}

#[test]
fn a_replaced_unit_is_judged_by_its_new_content() {
    let old = state(OTHER, "active", "running", SETTLED);
    for (end, code) in [
        (state(HELLO, "failed", "failed", FAILED), 1),
        (state(HELLO, "active", "running", SETTLED), 0),
        // A machine of an older fleetd doesn't say how it went.
        (state(HELLO, "active", "running", ""), 0),
    ] {
        let units = [("hello.service", OTHER, "launched", "launched")];
        let answers = vec![old.clone(), old.clone(), old.clone(), old.clone(), end];
        let desk = Desk::at(Cluster::ruled(&units, telling(answers))).file("hello.service", HELLO);
        let run = desk.run("start --replace hello");
        assert_eq!(run.code, Some(code), "{}", run.transcript());
    }
}

#[test]
fn a_unit_that_systemd_refuses_ends_the_wait() {
    let refused = format!(
        r#"{{"currentState":"loaded","desiredState":"launched","machineID":"{MACHINE}","name":"hello.service","pending":{{"machines":[{{"machineID":"{MACHINE}","message":"has not started it yet: Unit hello.service has a bad unit file setting.","reason":"not-launched","refused":true}}],"message":"machine {MACHINE} has not started it yet: Unit hello.service has a bad unit file setting.","reason":"not-launched"}}}}"#
    );
    let told = AtomicUsize::new(0);
    let units = [("hello.service", HELLO, "inactive", "inactive")];
    let desk = Desk::at(Cluster::ruled(&units, move |request| match &*request.method {
        "PUT" => {
            told.fetch_add(1, Ordering::Relaxed);
            None
        }
        _ if told.load(Ordering::Relaxed) > 0 => ok(&refused),
        _ => None,
    }));
    assert_snapshot!(desk.run("start hello").transcript(), @r"
    rc 1
    err|Error waiting for units: loaded: machine c31e44e1f858436e933e59c642517860 has not started it yet: Unit hello.service has a bad unit file setting.
    err|Error waiting for unit states, exit status: loaded: machine c31e44e1f858436e933e59c642517860 has not started it yet: Unit hello.service has a bad unit file setting.
    ");
}

#[test]
fn what_is_stopped_has_stopped() {
    let units = [("hello.service", HELLO, "launched", "launched")];
    let (runs, stops) =
        (state(HELLO, "active", "running", ""), state(HELLO, "deactivating", "stop-sigterm", ""));
    let (stopped, failed) =
        (state(HELLO, "inactive", "dead", ""), state(HELLO, "failed", "failed", ""));
    for (command, ends) in [
        ("stop", vec![stopped.clone(), failed, String::new()]),
        ("unload", vec![String::new()]),
        ("destroy", vec![String::new()]),
    ] {
        for end in ends {
            let mut answers = vec![runs.clone(), stops.clone(), stops.clone()];
            if command != "stop" {
                answers.push(stopped.clone()); // it is still there
            }
            let polls = answers.len() + 1;
            answers.push(end);
            let desk = Desk::at(Cluster::ruled(&units, telling(answers)));
            let run = desk.run(&format!("{command} hello"));
            assert_eq!(run.code, Some(0), "{}", run.transcript());
            let asked = run.requests.iter().filter(|line| line.starts_with("GET state?")).count();
            assert_eq!(asked, polls, "{command}");
        }
        let forever = Desk::at(Cluster::ruled(&units, telling(vec![stops.clone()])));
        let run = forever.run(&format!("{command} --no-block hello"));
        assert_eq!(run.code, Some(0), "{command}");
        assert!(!run.requests.iter().any(|line| line.starts_with("GET state")), "{command}");
    }
    let forever = |command: &str| {
        Desk::at(Cluster::ruled(&units, telling(vec![stops.clone()])))
            .run(&format!("{command} --block-attempts=2 hello"))
            .transcript()
    };
    assert_snapshot!(forever("stop"), @r"
    rc 1
    err|Still waiting for hello.service (loaded, but deactivating (stop-sigterm) on c31e44e1...) to report state loaded
    err|Error waiting for units: timed out waiting for unit hello.service to report state loaded
    err|Failed to stop units [hello.service]. err: timed out waiting for unit hello.service to report state loaded
    ");
    assert_snapshot!(forever("destroy"), @r"
    rc 1
    err|Still waiting for hello.service (deactivating (stop-sigterm) on c31e44e1...) to be destroyed
    err|Error destroying units: timed out waiting for unit hello.service to be destroyed
    ");
}

#[test]
fn units_that_stop_slowly_stop_together_and_are_told_of_in_their_order() {
    let units =
        ["a.service", "b.service", "c.service"].map(|name| (name, HELLO, "launched", "launched"));
    // The last one is the first to stop, and the others stop only once that was seen.
    let last_is_gone = AtomicBool::new(false);
    let slow = Cluster::ruled(&units, move |request| {
        let line = request.line();
        let name = line.strip_prefix("GET state?unitName=")?;
        if name.starts_with("c.") {
            last_is_gone.store(true, Ordering::Relaxed);
        }
        if last_is_gone.load(Ordering::Relaxed) {
            return list(&[]);
        }
        list(&[state(HELLO, "deactivating", "stop", "")])
    });
    let run = Desk::at(slow).run("destroy a b c");
    assert_eq!(run.out, "Destroyed a.service\nDestroyed b.service\nDestroyed c.service\n");
    assert_eq!(run.code, Some(0));
    let waited = run.requests.iter().position(|line| line.starts_with("GET state")).unwrap();
    let told = run.requests[..waited].iter().filter(|line| line.starts_with("DELETE")).count();
    assert_eq!(told, 3, "all are told before any is waited for");
}

/// A unit that is launched already, with what is said of it.
fn launched(pending: &str, state: String) -> Desk {
    let unit = format!(
        r#"{{"currentState":"launched","desiredState":"launched","machineID":"{MACHINE}","name":"hello.service"{pending}}}"#
    );
    let told = telling(vec![state]);
    let units = [("hello.service", HELLO, "launched", "launched")];
    Desk::at(Cluster::ruled(&units, move |request| match &*request.line() {
        "GET units/hello.service" => ok(&unit),
        _ => told(request),
    }))
}

#[test]
fn a_unit_that_is_launched_already_and_does_not_run_is_told_of() {
    let said = concat!(
        r#","pending":{"machines":[{"machineID":"c31e44e1f858436e933e59c642517860","message":"started it, and systemd reports failed (failed): exit-code, status 3","reason":"failed"}],"#,
        r#""message":"machine c31e44e1f858436e933e59c642517860 started it, and systemd reports failed (failed): exit-code, status 3","reason":"failed"}"#
    );
    let failed = || state(HELLO, "failed", "failed", FAILED);
    assert_snapshot!(launched(said, failed()).run("start hello").transcript(), @r"
    rc 1
    err|Unit hello.service is launched already: machine c31e44e1f858436e933e59c642517860 started it, and systemd reports failed (failed): exit-code, status 3. To run it again: fleetctl restart hello.service
    ");
    // A server that doesn't say why.
    assert_snapshot!(launched("", failed()).run("start hello").transcript(), @r"
    rc 1
    err|Unit hello.service is launched already: systemd reports failed (failed). To run it again: fleetctl restart hello.service
    ");
    let finished = state(HELLO, "inactive", "dead", SETTLED);
    assert_snapshot!(launched("", finished).run("start hello").transcript(), @r"
    rc 0
    err|Unit hello.service is launched already and has finished. To run it again: fleetctl restart hello.service
    ");
    assert_eq!(launched(said, failed()).run("start --no-block hello").transcript(), "rc 0\n");
    let runs = state(HELLO, "active", "running", SETTLED);
    assert_eq!(launched("", runs).run("start hello").transcript(), "rc 0\n");
}

#[test]
fn a_unit_that_is_to_be_launched_already_is_waited_for_as_a_new_one() {
    let asked = AtomicUsize::new(0);
    let unit = |current: &str| {
        format!(
            r#"{{"currentState":"{current}","desiredState":"launched","machineID":"{MACHINE}","name":"hello.service"}}"#
        )
    };
    let units = [("hello.service", HELLO, "launched", "inactive")];
    let desk = Desk::at(Cluster::ruled(&units, move |request| match &*request.line() {
        "GET units/hello.service" => {
            let late = asked.fetch_add(1, Ordering::Relaxed) > 5;
            ok(&unit(if late { "launched" } else { "inactive" }))
        }
        "GET state/hello.service" => ok(&state(HELLO, "active", "running", SETTLED)),
        _ => None,
    }));
    assert_snapshot!(desk.run("start hello").transcript(), @r"
    rc 0
    out|Unit hello.service launched on c31e44e1.../1.2.3.4
    err|Unit hello.service is to be launched already: it is inactive
    ");
}

const OTHER_MACHINE: &str = "595989bb4bd74d58b9a42aaf6b2e7a44";
const NEW_GLOBAL: &str = "[Service]\nExecStart=/bin/false\n[X-Fleet]\nGlobal=true\n";

/// A global unit on two machines whose new content ends so on each.
fn replaced_global(ends: [&'static str; 2]) -> Desk {
    let asked = AtomicUsize::new(0);
    let units = [("g.service", GLOBAL, "launched", "inactive")];
    let cluster = Cluster::ruled(&units, move |request| {
        request.line().strip_prefix("GET state?")?;
        let asked = asked.fetch_add(1, Ordering::Relaxed);
        let machines = [MACHINE, OTHER_MACHINE].into_iter().zip(ends);
        let states = machines.map(|(machine, end)| {
            let state = match (asked, end) {
                (0..4, _) => state(GLOBAL, "active", "running", SETTLED),
                (4..6, _) => state(NEW_GLOBAL, "active", "running", OPEN),
                (_, "failed") => state(NEW_GLOBAL, "failed", "failed", FAILED),
                _ => state(NEW_GLOBAL, "active", "running", SETTLED),
            };
            state.replace(MACHINE, machine)
        });
        list(&states.collect::<Vec<_>>())
    });
    Desk::at(cluster).file("g.service", NEW_GLOBAL)
}

#[test]
fn a_global_unit_that_is_replaced_is_waited_for_where_it_was() {
    assert_snapshot!(replaced_global(["failed", "failed"]).run("start --replace g").transcript(), @r"
    rc 1
    out|Unit g.service inactive
    out|Triggered global unit g.service start
    err|Error waiting for units: Failed to find an active unit g.service, err: c31e44e1..., 595989bb...: systemd reports failed (failed): exit-code, status 1
    err|Error waiting for systemd unit states, err: Failed to find an active unit g.service, err: c31e44e1..., 595989bb...: systemd reports failed (failed): exit-code, status 1
    ");
    let one = replaced_global(["failed", "runs"]).run("start --replace g");
    assert!(one.code == Some(1) && one.err.contains("err: c31e44e1...: systemd"), "{}", one.err);
    let none = replaced_global(["runs", "runs"]).run("start --replace g");
    assert_eq!((none.code, &*none.err), (Some(0), ""));
    let quick = replaced_global(["failed", "failed"]).run("start --replace --no-block g");
    assert_eq!((quick.code, &*quick.err), (Some(0), ""));
}

#[test]
fn a_restart_counts_when_the_start_is_another_one() {
    let answers = |end: String| {
        let before = state(HELLO, "active", "running", SETTLED);
        telling(vec![before.clone(), before.clone(), before, end])
    };
    let units = [("hello.service", HELLO, "launched", "launched")];
    let again = |start: &str| start.replace("\"at\":7", "\"at\":8");
    for (end, code) in [
        (state(HELLO, "active", "running", &again(SETTLED)), 0),
        (state(HELLO, "failed", "failed", &again(FAILED)), 1),
    ] {
        let run = Desk::at(Cluster::ruled(&units, answers(end))).run("restart hello");
        assert_eq!(run.code, Some(code), "{}", run.transcript());
        let asked = run.requests.iter().filter(|line| line.starts_with("GET state?")).count();
        assert_eq!(asked, 4, "{}", run.transcript());
    }
}

#[test]
fn an_original_fleetd_that_cannot_restart_is_said_to_be_one() {
    let units =
        [("hello.service", HELLO, "launched", "launched"), ("g.service", GLOBAL, "launched", "")];
    let original = || {
        Desk::at(Cluster::ruled(&units, |request| match &*request.method {
            "POST" => Some(Reply::Send(404, "404 page not found\n".to_owned())),
            _ if request.line().starts_with("GET state?unitName=g") => {
                list(&[state(GLOBAL, "active", "running", "").replace("hello", "g")])
            }
            _ => None,
        }))
    };
    assert_snapshot!(original().run("restart hello").transcript(), @r"
    rc 1
    err|Error restarting unit hello.service: this fleetd can't restart units: it is older than 2.0.0. Instead: fleetctl stop hello.service && fleetctl start hello.service (googleapi: got HTTP response code 404 with body: 404 page not found)
    ");
    let run = original().run("restart g");
    assert!(run.err.contains("this fleetd can't restart units"), "{}", run.err);
    // Ours doesn't know the unit any more, which was there a moment ago.
    let asked = AtomicUsize::new(0);
    let gone = Desk::at(Cluster::ruled(&units, move |request| {
        let again = request.line() == "GET units/hello.service"
            && asked.fetch_add(1, Ordering::Relaxed) > 0;
        (again || request.method == "POST").then(|| error(404, "unit does not exist"))
    }));
    assert_snapshot!(gone.run("restart hello").transcript(), @r"
    rc 1
    err|Error restarting unit hello.service: googleapi: Error 404: unit does not exist
    ");
}

#[test]
fn what_is_wrong_with_a_file_names_the_file() {
    let both = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\nMachineID=a\n";
    let desk = Desk::at(Cluster::empty()).file("app/both.service", both);
    assert_snapshot!(desk.run("submit app/both").transcript(), @r"
    rc 1
    err|Error creating units: MachineID cannot be used with Global (app/both.service)
    ");
}
