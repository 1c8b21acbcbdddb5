//! Every reason, in the words that users see.

use fleet_core::{UnitHash, eligibility::Refusal};

use super::*;

const DOCUMENTED: &str = include_str!("../../../../../docs/api-v1.md");

fn id(machine: &str) -> MachineId {
    machine.parse().unwrap()
}

fn hash() -> UnitHash {
    UnitHash::of(b"content")
}

fn trouble(error: &str) -> Trouble {
    Trouble { error: error.to_owned(), refused: None }
}

fn state((active, sub, failure): (&str, &str, &str)) -> PublishedState {
    let systemd = UnitState { load: "loaded".into(), active: active.into(), sub: sub.into() };
    let failure = failure.to_owned();
    PublishedState { failure, ..PublishedState::new(systemd, hash(), JobState::Launched) }
}

/// What is said of `facts`: each reason with its message, that of the unit first.
fn said(facts: Facts) -> Vec<String> {
    judge(facts).map(|finding| in_words(&finding)).unwrap_or_default()
}

fn in_words(finding: &Finding) -> Vec<String> {
    let word = finding.word();
    assert!(DOCUMENTED.contains(&format!("| `{word}` |")), "{word}");
    let machines = finding.remarks().iter().map(|remark| {
        let (machine, word) = (&remark.machine, remark.word());
        assert!(DOCUMENTED.contains(&format!("`{word}`")), "{word}");
        let refused = if remark.refused { " (refused)" } else { "" };
        format!("{machine} {word}: {remark}{refused}")
    });
    std::iter::once(format!("{word}: {finding}")).chain(machines).collect()
}

/// What is said of a unit that has to do with `m1` alone.
fn said_of_one(facts: Facts) -> (String, String) {
    let said: [String; 2] = said(facts).try_into().expect("the unit and its machine");
    let [of_unit, of_machine] = said;
    (of_unit, of_machine)
}

fn explanation(engine: Engine, machines: &[(&str, Option<Obstacle>)]) -> Explanation {
    let machines = machines.iter().map(|(machine, obstacle)| (id(machine), obstacle.clone()));
    Explanation { engine, machines: machines.collect() }
}

#[test]
fn each_machine_says_what_it_refuses_a_unit_for() {
    let refused = |refusal| Some(Obstacle::Refused(refusal));
    let other = Refusal::OtherMachine { machine: "m4".into(), required: "mX".into() };
    let facts = Facts::Unplaced(explanation(
        Engine::Leads,
        &[
            ("m1", refused(Refusal::Metadata)),
            ("m2", refused(Refusal::Conflict("b.service".parse().unwrap()))),
            ("m3", refused(Refusal::PeerAbsent("c.service".into()))),
            ("m4", refused(other)),
            ("m5", refused(Refusal::Leaving)),
            ("m6", refused(Refusal::Silent)),
            ("m7", refused(Refusal::NameTaken("taken".into()))),
            ("m8", Some(Obstacle::Replaced("d.service".parse().unwrap()))),
            ("m9", Some(Obstacle::Unclear)),
        ],
    ));
    let expected = [
        "refused: no machine takes it",
        "m1 metadata: local Machine metadata insufficient",
        "m2 conflict: found conflict with locally-scheduled Unit([b.service])",
        "m3 peer-absent: required peer Unit(c.service) is not scheduled locally",
        "m4 other-machine: agent ID \"m4\" does not match required \"mX\"",
        "m5 leaving: machine is leaving",
        "m6 silent: its systemd does not answer",
        "m7 name-taken: taken",
        "m8 replaced: found replace with locally-scheduled Unit(d.service)",
        "m9 machine-unclear: is there, but its entry in etcd can't be read",
    ];
    assert_eq!(said(facts), expected);
}

#[test]
fn a_unit_that_nobody_has_waits_for_whoever_decides() {
    let metadata = || Some(Obstacle::Refused(Refusal::Metadata));
    let refuses = "m1 metadata: local Machine metadata insufficient";
    for (engine, machines, expected) in [
        (Engine::Missing, vec![], vec!["no-machine: no machine is present"]),
        (
            Engine::Leads,
            vec![("m1", metadata()), ("m2", None)],
            vec![
                "unscheduled: the engine has not given it a machine yet",
                refuses,
                "m2 eligible: takes it",
            ],
        ),
        (
            Engine::Missing,
            vec![("m1", metadata()), ("m2", None)],
            vec!["no-engine: no engine leads the cluster", refuses, "m2 eligible: takes it"],
        ),
        (Engine::Missing, vec![("m1", metadata())], vec!["refused: no machine takes it", refuses]),
    ] {
        assert_eq!(said(Facts::Unplaced(explanation(engine, &machines))), expected);
    }
}

#[test]
fn no_more_machines_are_named_than_an_answer_holds() {
    let ids: Vec<String> = (0..2 * NAMED).map(|machine| format!("m{machine}")).collect();
    let machines: Vec<_> = ids.iter().map(|machine| (&**machine, None)).collect();
    let all = || explanation(Engine::Leads, &machines);
    assert_eq!(said(Facts::Unplaced(all())).len(), 1 + NAMED);
    let (troubles, states) = (BTreeMap::new(), BTreeMap::new());
    let facts = Facts::Global { troubles, states, explanation: Some(all()) };
    assert_eq!(said(facts).len(), 1 + NAMED);
}

#[test]
fn a_global_unit_that_nobody_reports_waits_for_the_machines_that_take_it() {
    let global = |machines: Option<&[_]>| Facts::Global {
        troubles: BTreeMap::from([(id("m1"), trouble("bad setting"))]),
        states: BTreeMap::new(),
        explanation: machines.map(|machines| explanation(Engine::Leads, machines)),
    };
    let metadata = Some(Obstacle::Refused(Refusal::Metadata));
    let expected = [
        "not-loaded: machines that take it have not loaded it yet",
        "m1 not-loaded: has not loaded it yet: bad setting",
        "m2 not-loaded: has not loaded it yet",
        "m3 metadata: local Machine metadata insufficient",
    ];
    let machines = [("m1", None), ("m2", None), ("m3", metadata.clone())];
    assert_eq!(said(global(Some(&machines))), expected);
    let refused = said(global(Some(&[("m3", metadata)])));
    assert_eq!(refused, ["refused: no machine takes it", expected[3]]);
    assert_eq!(said(global(Some(&[]))), ["no-machine: no machine is present"]);
    assert_eq!(said(global(None)), [""; 0], "nobody can tell");
}

#[test]
fn a_global_unit_that_is_reported_waits_where_it_is_not_what_it_should_be() {
    let reported = |troubles: &[(&str, &str)], states: &[(&str, JobState, (&str, &str, &str))]| {
        let troubles = troubles.iter().map(|(machine, error)| (id(machine), trouble(error)));
        let states = states.iter().map(|(machine, claim, is)| {
            (id(machine), PublishedState { claim: *claim, ..state(*is) })
        });
        let (troubles, states) = (troubles.collect(), states.collect());
        said(Facts::Global { troubles, states, explanation: None })
    };
    let (running, failed) = (("active", "running", ""), ("failed", "failed", "status 3"));
    let (launched, loaded) = (JobState::Launched, JobState::Loaded);
    assert_eq!(reported(&[], &[("m1", launched, running), ("m2", loaded, failed)]), [""; 0]);
    let found = reported(
        &[("m1", "its start failed"), ("m3", "no room")],
        &[("m1", launched, failed), ("m2", launched, running)],
    );
    let expected = [
        "failing: some machines can't make it what it should be",
        "m1 failed: started it, and systemd reports failed (failed): status 3",
        "m3 failing: no room",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_unit_with_a_machine_waits_for_what_that_one_has_not_done() {
    let refused = Trouble { refused: Some(hash()), ..trouble("no room") };
    let of_old = Trouble { refused: Some(UnitHash::of(b"old")), ..trouble("no room") };
    let not_loaded = |standing| Progress::NotLoaded(Entry::Present(standing));
    let in_service = || not_loaded(MachineStanding::InService);
    for (progress, trouble, reason, message) in [
        (in_service(), None, "not-loaded", "has not loaded it yet"),
        (in_service(), Some(of_old), "not-loaded", "has not loaded it yet: no room"),
        (in_service(), Some(refused), "not-loaded", "has not loaded it yet: no room (refused)"),
        (
            not_loaded(MachineStanding::Leaving),
            None,
            "not-loaded",
            "is leaving and will not load it",
        ),
        (
            not_loaded(MachineStanding::Silent),
            None,
            "not-loaded",
            "has not loaded it yet, its systemd does not answer",
        ),
        (Progress::NotLoaded(Entry::Absent), None, "machine-absent", "is not present"),
        (
            Progress::NotLoaded(Entry::Unclear),
            None,
            "machine-unclear",
            "is there, but its entry in etcd can't be read",
        ),
        (Progress::NotLaunched, None, "not-launched", "has not started it yet"),
        (
            Progress::NotLaunched,
            Some(trouble("no room")),
            "not-launched",
            "has not started it yet: no room",
        ),
    ] {
        let facts = Facts::Placed { machine: id("m1"), hash: hash(), progress, trouble };
        let (of_unit, of_machine) = said_of_one(facts);
        assert_eq!(of_machine, format!("m1 {reason}: {message}"));
        let plain = message.trim_end_matches(" (refused)");
        assert_eq!(of_unit, format!("{reason}: machine m1 {plain}"));
    }
}

#[test]
fn a_unit_that_was_started_is_told_of_when_it_failed_or_never_began() {
    for (is, error, expected) in [
        (("active", "running", ""), None, None),
        (("inactive", "dead", ""), None, None),
        (
            ("inactive", "dead", ""),
            Some("no such device"),
            Some(("not-started", "could not start it: no such device")),
        ),
        (
            ("failed", "failed", "exit-code, status 3"),
            None,
            Some((
                "failed",
                "started it, and systemd reports failed (failed): exit-code, status 3",
            )),
        ),
        // A machine of an older fleetd.
        (
            ("failed", "failed", ""),
            None,
            Some(("failed", "started it, and systemd reports failed (failed)")),
        ),
        (
            ("activating", "auto-restart", "exit-code, status 203"),
            None,
            Some(("restarting", "started it, and it is in a restart loop: exit-code, status 203")),
        ),
        // What ends well may be started anew for ever.
        (("activating", "auto-restart", ""), None, None),
    ] {
        let progress = Progress::Launched(state(is));
        let trouble = error.map(trouble);
        let facts = Facts::Placed { machine: id("m1"), hash: hash(), progress, trouble };
        let Some((reason, message)) = expected else {
            assert_eq!(said(facts), [""; 0], "{is:?}");
            continue;
        };
        let (of_unit, of_machine) = said_of_one(facts);
        assert_eq!(of_machine, format!("m1 {reason}: {message}"));
        assert_eq!(of_unit, format!("{reason}: machine m1 {message}"));
    }
}

#[test]
fn a_unit_that_leaves_a_machine_says_where_it_stops() {
    for (is_present, error, of_unit, of_machine) in [
        (true, None, "where it still stops", "still stops it"),
        (true, Some("no way"), "where it still stops: no way", "still stops it: no way"),
        (false, None, "which is not present", "is not present, and may still have it"),
    ] {
        let trouble = error.map(trouble);
        let found = said_of_one(Facts::Leaving { machine: id("m1"), is_present, trouble });
        assert_eq!(found.0, format!("stopping: it is leaving machine m1, {of_unit}"));
        assert_eq!(found.1, format!("m1 stopping: {of_machine}"));
    }
}

#[test]
fn a_content_that_its_record_does_not_speak_of_is_named() {
    let (content, recorded) = (hash(), UnitHash::of(b"recorded"));
    let expected =
        format!("content-differs: its content has the hash {content}, its record says {recorded}");
    assert_eq!(said(Facts::Contradictory { content, recorded }), [expected]);
}

#[test]
fn where_nothing_can_be_written_that_is_why_and_what_it_keeps_is_told() {
    let finding = judge(Facts::Unplaced(explanation(Engine::Missing, &[("m1", None)]))).unwrap();
    let [unit, machine] = in_words(&Finding::OutOfSpace(Box::new(finding))).try_into().unwrap();
    assert!(unit.starts_with("out-of-space: "), "{unit}");
    assert!(unit.ends_with(" (no engine leads the cluster)"), "{unit}");
    assert_eq!(machine, "m1 eligible: takes it");
}
