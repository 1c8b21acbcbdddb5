use super::*;
use crate::manager::Uptime;

fn id(id: &str) -> RunId {
    RunId(id.to_owned())
}

/// A run, written `state`, `state id`, or `state id job`.
fn run(text: &str) -> Option<Run> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let active = words.next()?.to_owned();
    let id = words.next().map(id);
    let job = words.next().map(|job| match job {
        "start" => JobKind::Start,
        "stop" => JobKind::Stop,
        "restart" => JobKind::Restart,
        _ => JobKind::Other,
    });
    Some(Run { id, active, job })
}

/// What is on record: words of `complete`, `stopped`, and ids of runs.
fn past(text: &str) -> Past {
    let mut past = Past::default();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "complete" => past.complete = true,
            "stopped" => past.stopped = true,
            run => drop(past.runs.insert(id(run))),
        }
    }
    past
}

fn intent(act: Action, about: &str) -> Intent {
    let run = run(about);
    Intent {
        act,
        load: false,
        claim: JobState::Launched,
        up: run.as_ref().is_some_and(Run::is_up),
        run: run.and_then(|run| run.id),
        since: Moment { of_day: 1, uptime: None },
        request: None,
    }
}

#[test]
fn what_systemd_has_in_memory_decides_then_what_is_on_record() {
    use Action::{Halt, Load, Restart, Start, Stop, Unload};
    use Found::{Ended, NotStarted, Runs, Started, Stopped, Unknown};
    // What was intended about what, what is in memory now, what is on record (-: not asked).
    let rows = [
        (Start, "", "active 1", "-", Started),
        (Start, "", "failed 1", "-", Started),
        (Start, "", "inactive", "complete 1", Started),
        (Start, "", "", "complete 1", Started),
        (Start, "", "", "1", Started),
        (Start, "", "", "complete", NotStarted),
        (Start, "", "", "", Unknown),
        (Start, "", "inactive - start", "-", Started),
        (Start, "failed 1", "failed 1", "complete", NotStarted),
        (Start, "failed 1", "failed 2", "-", Started),
        (Start, "failed 1", "activating 2", "-", Started),
        (Start, "active 1", "active 1", "-", Runs),
        (Start, "active 1", "active 1 stop", "-", NotStarted),
        (Start, "deactivating 1", "deactivating 1", "-", NotStarted),
        (Start, "deactivating 1", "", "complete stopped", NotStarted),
        (Start, "deactivating 1", "deactivating 1 start", "-", Started),
        (Stop, "active 1", "active 1", "-", Runs),
        (Stop, "active 1", "active 2", "-", Runs),
        (Stop, "active 1", "active 1 stop", "-", Stopped),
        (Stop, "active 1", "deactivating 1 stop", "-", Stopped),
        (Stop, "active 1", "", "complete stopped", Stopped),
        (Stop, "active 1", "failed 1", "stopped", Stopped),
        (Stop, "active 1", "", "complete", Ended),
        (Stop, "active 1", "failed 1", "complete", Ended),
        (Stop, "active 1", "", "", Unknown),
        (Stop, "", "", "-", Stopped),
        (Halt, "active 1", "", "complete stopped", Stopped),
        (Halt, "active 1", "", "complete", Ended),
        (Halt, "active 1", "", "", Unknown),
        (Halt, "", "", "-", Ended),
        (Halt, "failed 1", "failed 1", "-", Ended),
        (Unload, "active 1", "", "complete stopped", Stopped),
        (Unload, "active 1", "active 2", "-", Runs),
        (Unload, "", "", "-", Ended),
        (Restart, "active 1", "active 2", "-", Started),
        (Restart, "active 1", "failed 2", "-", Started),
        (Restart, "active 1", "active 1", "-", Runs),
        (Restart, "active 1", "active 1 restart", "-", Started),
        (Restart, "active 1", "deactivating 1 restart", "-", Started),
        (Restart, "active 1", "deactivating 1 stop", "-", NotStarted),
        (Restart, "active 1", "", "complete stopped 1", NotStarted),
        (Restart, "active 1", "", "complete stopped 1 2", Started),
        (Restart, "active 1", "", "complete 1", Ended),
        (Restart, "active 1", "", "", Unknown),
        (Restart, "", "active 2", "-", Started),
        (Restart, "", "", "complete 2", Started),
        (Load, "", "active 1", "-", Runs),
        (Load, "", "", "-", NotStarted),
    ];
    for (act, about, now, record, expected) in rows {
        let row = format!("{act:?} about {about:?}, now {now:?}, on record {record:?}");
        let intent = intent(act, about);
        let now = run(now).map(|run| Run { id: run.id.filter(|id| id.0 != "-"), ..run });
        let asked = intent.found(now.as_ref(), None);
        if record == "-" {
            assert_eq!(asked, Some(expected), "{row}");
        } else {
            assert_eq!(asked, None, "{row}: the record isn't asked");
            assert_eq!(intent.found(now.as_ref(), Some(&past(record))), Some(expected), "{row}");
        }
    }
}

#[test]
fn what_may_have_run_once_is_not_started_again_and_all_else_is() {
    use Found::{Ended, NotStarted, Runs, Started, Stopped, Unknown};
    use JobState::{Inactive, Launched, Loaded};
    for (found, once, claim) in [
        (Unknown, true, Launched),
        (Unknown, false, Loaded),
        (NotStarted, true, Loaded),
        (Stopped, true, Loaded),
        (Started, false, Launched),
        (Runs, false, Launched),
        (Ended, false, Launched),
    ] {
        let start = intent(Action::Start, "");
        assert_eq!(start.claim_when(found, once), claim, "{found:?} {once}");
        let first = Intent { load: true, claim: Inactive, ..start };
        let claim = match found {
            NotStarted => Inactive,
            Unknown if !once => Inactive,
            Ended => Inactive,
            Stopped => Loaded,
            _ => Launched,
        };
        assert_eq!(first.claim_when(found, once), claim, "first load: {found:?} {once}");
    }
}

#[test]
fn a_restart_counts_as_told_when_it_happened_or_must_not_happen_again() {
    let restart = Intent { request: Some(7), ..intent(Action::Restart, "active 1") };
    for (found, once, told) in [
        (Found::Started, false, Some(7)),
        (Found::Runs, false, None),
        (Found::NotStarted, true, None),
        (Found::Unknown, true, Some(7)),
        (Found::Unknown, false, None),
    ] {
        assert_eq!(restart.told(found, once), told, "{found:?} {once}");
    }
}

#[test]
fn an_intent_is_read_back_and_by_a_reader_that_knows_more_or_less() {
    let uptime = Uptime { boot: "fedcba98-7654".to_owned(), micros: 9 };
    let full = Intent {
        load: true,
        request: Some(7),
        since: Moment { of_day: 8, uptime: Some(uptime) },
        ..intent(Action::Restart, "active 0123456789abcdef0123456789abcdef")
    };
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<Intent>(&text).unwrap(), full);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["since"], 8, "an earlier version reads a number there");
    let least: Intent =
        serde_json::from_str(r#"{"act":"stop","since":5,"what":"comes later"}"#).unwrap();
    let since = Moment { of_day: 5, uptime: None };
    assert_eq!((least.act, &least.since, least.up), (Action::Stop, &since, false));
    assert_eq!(since.since_boot(), None, "what an earlier version wrote isn't of this clock");
}
