//! The transcripts of `fleetctl.md` 7 that start and load units and wait for them, from the real
//! binary.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use insta::assert_snapshot;
use support::{Cluster, Desk, GLOBAL, HELLO, MACHINE, error, server::Reply};

const TEMPLATE: &str = "[Service]\nExecStart=/bin/sleep %i\n";

#[test]
fn start_brings_a_new_unit_up() {
    let desk = Desk::at(Cluster::empty()).file("hello.service", HELLO);
    assert_snapshot!(desk.run("start hello").with_requests(), @r#"
    rc 0
    out|Unit hello.service inactive
    out|Unit hello.service launched on c31e44e1.../1.2.3.4
    req|GET units/hello.service
    req|PUT units/hello.service {"name":"hello.service","options":[{"name":"Description","section":"Unit","value":"Hello"},{"name":"ExecStart","section":"Service","value":"/bin/sleep 1d"}]}
    req|GET units/hello.service
    req|GET units/hello.service
    req|PUT units/hello.service {"desiredState":"launched","name":"hello.service"}
    req|GET machines
    req|GET state/hello.service
    req|GET units/hello.service
    "#);
    assert_snapshot!(desk.run("start hello").with_requests(), @r"
    rc 0
    req|GET state/hello.service
    req|GET units/hello.service
    req|GET units/hello.service
    ");
}

#[test]
fn without_blocking_units_are_only_told() {
    let desk =
        Desk::at(Cluster::empty()).file("hello.service", HELLO).file("web@.service", TEMPLATE);
    assert_snapshot!(desk.run("start --no-block hello").with_requests(), @r#"
    rc 0
    out|Unit hello.service inactive
    out|Triggered unit hello.service start
    req|GET units/hello.service
    req|PUT units/hello.service {"name":"hello.service","options":[{"name":"Description","section":"Unit","value":"Hello"},{"name":"ExecStart","section":"Service","value":"/bin/sleep 1d"}]}
    req|GET units/hello.service
    req|PUT units/hello.service {"desiredState":"launched","name":"hello.service"}
    "#);
    assert_snapshot!(desk.run("--no-block start web@1 web@2 --block-attempts=7").transcript(), @r"
    rc 0
    out|Unit web@1.service inactive
    out|Unit web@2.service inactive
    out|Triggered unit web@1.service start
    out|Triggered unit web@2.service start
    ");
    assert_snapshot!(desk.run("load --no-block web@1").transcript(), @r"
    rc 0
    out|Triggered unit web@1.service load
    ");
}

#[test]
fn global_units_are_not_waited_for() {
    let desk =
        Desk::at(Cluster::empty()).file("global.service", GLOBAL).file("hello.service", HELLO);
    let run = desk.run("start global hello");
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    let mut created: Vec<_> = run.out.lines().take(2).collect();
    created.sort_unstable();
    assert_eq!(created, ["Unit global.service inactive", "Unit hello.service inactive"]);
    let rest: Vec<_> = run.out.lines().skip(2).collect();
    assert_eq!(
        rest,
        [
            "Triggered global unit global.service start",
            "Unit hello.service launched on c31e44e1.../1.2.3.4"
        ]
    );
    assert_snapshot!(desk.run("load global").transcript(), @r"
    rc 0
    out|Triggered global unit global.service load
    ");
}

#[test]
fn every_unit_shows_its_machine() {
    let names: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let desk = names.iter().fold(Desk::at(Cluster::empty()), |desk, name| {
        desk.file(&format!("{name}.service"), HELLO)
    });
    let run = desk.run(&format!("start {}", names.join(" ")));
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    for name in &names {
        let line = format!("Unit {name}.service launched on c31e44e1.../1.2.3.4\n");
        assert!(run.out.contains(&line), "{}", run.out);
    }
    let asked = run.requests.iter().filter(|line| *line == "GET machines").count();
    assert_eq!(asked, 1);
}

#[test]
fn attempts_that_run_out_are_reported() {
    let stuck = Cluster::ruled(&[], |request| {
        (request.line()
            == r#"PUT units/hello.service {"desiredState":"launched","name":"hello.service"}"#)
            .then(|| Reply::Send(204, String::new()))
    });
    let desk = Desk::at(stuck).file("hello.service", HELLO);
    assert_snapshot!(desk.run("start --block-attempts=1 hello").transcript(), @r"
    rc 1
    out|Unit hello.service inactive
    err|Error waiting for units: timed out waiting for unit hello.service to report state launched
    err|Error waiting for unit states, exit status: timed out waiting for unit hello.service to report state launched
    ");
}

#[test]
fn units_that_never_become_inactive_are_all_reported() {
    let stuck = Cluster::ruled(&[], |request| {
        (request.method == "PUT").then(|| Reply::Send(201, String::new()))
    });
    let desk = Desk::at(stuck).file("hello.service", HELLO).file("a.service", HELLO);
    assert_snapshot!(desk.run("load --block-attempts=1 hello a").transcript(), @r"
    rc 1
    err|Error waiting on unit creation: timed out waiting for unit hello.service to report state inactive
    err|Error waiting on unit creation: timed out waiting for unit a.service to report state inactive
    err|Error creating units: One or more errors creating units
    ");
}

#[test]
fn a_refused_state_ends_the_command() {
    let boom = || {
        Cluster::ruled(
            &[
                ("hello.service", HELLO, "inactive", "inactive"),
                ("tm@.service", TEMPLATE, "inactive", "inactive"),
            ],
            |request| {
                let set = request.body.contains("desiredState");
                match set && request.target.contains("tm%40.") {
                    true => Some(error(400, "cannot activate template \"tm@.service\"")),
                    false => set.then(|| error(500, "boom")),
                }
            },
        )
    };
    assert_snapshot!(Desk::at(boom()).run("start hello").transcript(), @r"
    rc 1
    err|Error starting units: googleapi: Error 500: boom
    ");
    assert_snapshot!(Desk::at(boom()).run("load tm@").transcript(), @r#"
    rc 1
    err|Error loading units: googleapi: Error 400: cannot activate template "tm@.service"
    "#);
}

#[test]
fn a_missing_unit_among_others_changes_no_state() {
    for command in ["start", "load", "submit"] {
        let desk = Desk::at(Cluster::with(&[("c.service", HELLO, "inactive", "inactive")]))
            .file("a.service", HELLO)
            .file("b.service", HELLO);
        let run = desk.run(&format!("{command} c a nope b"));
        assert_eq!(run.code, Some(1), "{command}");
        assert_eq!(run.err, MISSING);
        assert_eq!(desk.cluster.desired(), ["a.service=inactive", "c.service=inactive"]);
    }
    let desk = Desk::at(Cluster::empty()).file("a.service", HELLO).file("b.service", HELLO);
    let run = desk.run("start a nope b");
    assert_eq!((run.code, &*run.err), (Some(1), MISSING));
    assert_eq!(desk.cluster.desired(), ["a.service=inactive"]);
}

/// What is said when the third of four units isn't there, and the second was new.
const MISSING: &str = "\
Submitted before the error, and kept: a.service
Error creating units: unable to find Unit(nope.service) in Registry or on filesystem
";

#[test]
fn systemd_has_the_last_word_on_a_start() {
    let with_state = |active: &'static str, sub: &'static str| {
        Cluster::ruled(&[("hello.service", HELLO, "inactive", "inactive")], move |request| {
            (request.line() == "GET state/hello.service").then(|| match active {
                "" => error(404, "unit state does not exist"),
                _ => Reply::Send(200, format!(r#"{{"name":"hello.service","systemdLoadState":"loaded","systemdActiveState":"{active}","systemdSubState":"{sub}"}}"#)),
            })
        })
    };
    let head = "Unit hello.service launched on c31e44e1.../1.2.3.4\n";
    let late = "Failed to find an active unit hello.service within 2s, err: Failed to fetch states within 2s";
    let failed =
        "Failed to find an active unit hello.service, err: systemd reports failed (failed)";
    for (active, sub, error) in [
        ("active", "running", ""),
        ("inactive", "dead", ""),
        ("failed", "failed", failed),
        ("activating", "start", late),
        ("", "", late),
    ] {
        let desk = Desk::at(with_state(active, sub));
        let run = desk.run("start --block-attempts=1 hello");
        assert_eq!(run.out, head, "{active}");
        if error.is_empty() {
            assert_eq!((run.code, &*run.err), (Some(0), ""), "{active}");
        } else {
            let text = format!(
                "Error waiting for units: {error}\nError waiting for systemd unit states, err: {error}\n"
            );
            assert_eq!((run.code, &*run.err), (Some(1), &*text), "{active}");
        }
    }
}

#[test]
fn a_unit_at_rest_has_started_only_if_it_could_end_and_nothing_is_said_of_it() {
    let at_rest = |name: &'static str, pending: &'static str| {
        let unit = format!(
            r#"{{"currentState":"launched","desiredState":"launched","machineID":"{MACHINE}","name":"{name}"{pending}}}"#
        );
        let state = format!(
            r#"{{"machineID":"{MACHINE}","name":"{name}","systemdActiveState":"inactive","systemdLoadState":"loaded","systemdSubState":"dead"}}"#
        );
        let launched = AtomicBool::new(false);
        let units = [(name, HELLO, "inactive", "inactive")];
        Desk::at(Cluster::ruled(&units, move |request| match &*request.method {
            "PUT" => {
                launched.store(true, Ordering::Relaxed);
                None
            }
            _ if request.line() == format!("GET state/{name}") => {
                Some(Reply::Send(200, state.clone()))
            }
            _ if request.line() == format!("GET units/{name}")
                && launched.load(Ordering::Relaxed) =>
            {
                Some(Reply::Send(200, unit.clone()))
            }
            _ => None,
        }))
    };
    assert_eq!(at_rest("once.service", "").run("start once").code, Some(0));
    assert_snapshot!(at_rest("t.timer", "").run("start t.timer").transcript(), @r"
    rc 1
    out|Unit t.timer launched on c31e44e1.../1.2.3.4
    err|Error waiting for units: Failed to find an active unit t.timer, err: systemd reports inactive (dead)
    err|Error waiting for systemd unit states, err: Failed to find an active unit t.timer, err: systemd reports inactive (dead)
    ");
    let said = concat!(
        r#","pending":{"machines":[{"machineID":"c31e44e1f858436e933e59c642517860","message":"could not start it: no such device","reason":"not-started"}],"#,
        r#""message":"machine c31e44e1f858436e933e59c642517860 could not start it: no such device","reason":"not-started"}"#
    );
    assert_snapshot!(at_rest("dep.service", said).run("start dep").transcript(), @r"
    rc 1
    out|Unit dep.service launched on c31e44e1.../1.2.3.4
    err|Error waiting for units: Failed to find an active unit dep.service, err: could not start it: no such device
    err|Error waiting for systemd unit states, err: Failed to find an active unit dep.service, err: could not start it: no such device
    ");
}

#[test]
fn waiting_for_systemd_ends_when_the_unit_is_destroyed_or_taken_back() {
    for (name, reason) in [
        ("gone.service", "unit gone.service does not exist any more"),
        ("back.service", "unit back.service is not to be launched any more"),
    ] {
        let polls = AtomicUsize::new(0);
        let units = [(name, HELLO, "inactive", "inactive")];
        let cluster = Cluster::ruled(&units, move |request| {
            if request.line() == format!("GET state/{name}") {
                polls.fetch_add(1, Ordering::Relaxed);
                return Some(error(404, "unit state does not exist"));
            }
            let is_over =
                request.line() == format!("GET units/{name}") && polls.load(Ordering::Relaxed) > 3;
            is_over.then(|| match name {
                "gone.service" => error(404, "unit does not exist"),
                _ => Reply::Send(200, format!(r#"{{"desiredState":"loaded","name":"{name}"}}"#)),
            })
        });
        let run = Desk::at(cluster).run(&format!("start {name}"));
        let told = format!("Failed to find an active unit {name}, err: {reason}\n");
        assert_eq!(run.code, Some(1), "{name}");
        assert!(run.err.ends_with(&told), "{}", run.err);
    }
}

#[test]
fn what_a_server_says_is_one_line_where_fleetctl_waits() {
    let units = [("hello.service", HELLO, "inactive", "inactive")];
    let told = AtomicBool::new(false);
    let broken = Cluster::ruled(&units, move |request| {
        told.fetch_or(request.method == "PUT", Ordering::Relaxed);
        (request.method == "GET" && told.load(Ordering::Relaxed))
            .then(|| Reply::Send(502, "<html>\n\x1b[31mbad\n</html>".to_owned()))
    });
    let run = Desk::at(broken).run("start --block-attempts=2 hello");
    let (first, rest) = run.err.split_once('\n').unwrap();
    assert!(first.starts_with("Still waiting for hello.service (googleapi: "), "{first}");
    assert!(first.ends_with(" <html>  [31mbad </html>) to report state launched"), "{first}");
    assert!(rest.starts_with("Error waiting for units: timed out"), "{rest}");
}

#[test]
fn a_slow_start_is_waited_for_and_said_to_be_slow() {
    let polls = AtomicUsize::new(0);
    let slow = Cluster::ruled(
        &[("hello.service", HELLO, "inactive", "inactive")],
        move |request| {
            let early = request.line() == "GET state/hello.service"
                && polls.fetch_add(1, Ordering::Relaxed) < 16;
            early.then(|| {
            let state = r#"{"name":"hello.service","systemdLoadState":"loaded","systemdActiveState":"activating","systemdSubState":"start-pre"}"#;
            Reply::Send(200, state.to_owned())
        })
        },
    );
    assert_snapshot!(Desk::at(slow).run("start hello").transcript(), @r"
    rc 0
    out|Unit hello.service launched on c31e44e1.../1.2.3.4
    err|Still waiting for hello.service (activating (start-pre)) to become active
    ");
}

#[test]
fn waiting_ends_when_the_unit_is_destroyed() {
    let polls = AtomicUsize::new(0);
    let doomed = Cluster::ruled(
        &[("hello.service", HELLO, "inactive", "inactive")],
        move |request| match (&*request.method, request.target.contains("units/")) {
            ("PUT", _) => Some(Reply::Send(204, String::new())),
            ("GET", true) if polls.fetch_add(1, Ordering::Relaxed) > 4 => {
                Some(error(404, "unit does not exist"))
            }
            _ => None,
        },
    );
    assert_snapshot!(Desk::at(doomed).run("start hello").transcript(), @r"
    rc 1
    err|Error waiting for units: unit hello.service does not exist any more
    err|Error waiting for unit states, exit status: unit hello.service does not exist any more
    ");
}

#[test]
fn waiting_goes_on_while_the_server_fails() {
    let polls = AtomicUsize::new(0);
    let shaky =
        Cluster::ruled(&[("hello.service", HELLO, "inactive", "inactive")], move |request| {
            let poll = request.method == "GET" && request.target.contains("units/");
            let turn = if poll { polls.fetch_add(1, Ordering::Relaxed) } else { 0 };
            match turn {
                2 => Some(Reply::Send(503, "no etcd".to_owned())),
                3 => Some(Reply::Close),
                _ => None,
            }
        });
    assert_snapshot!(Desk::at(shaky).run("start hello").transcript(), @r"
    rc 0
    out|Unit hello.service launched on c31e44e1.../1.2.3.4
    ");
}

#[test]
fn a_unit_named_three_times_is_one_unit() {
    for command in ["start", "load", "submit"] {
        let desk = Desk::at(Cluster::with(&[("tm@.service", TEMPLATE, "inactive", "inactive")]))
            .file("a.service", HELLO);
        let run = desk.run(
            &format!("{command} --no-block a a a tm@1 tm@1").replace("submit --no-block", "submit"),
        );
        assert_eq!((run.code, &*run.err), (Some(0), ""), "{command}");
        let puts = run.requests.iter().filter(|line| line.contains("options")).count();
        assert_eq!(puts, 2, "{command}");
    }
}
