use super::*;

use Action::{Halt, Load, Restart, Start, Stop, Unload};

fn name(name: &str) -> UnitName {
    name.parse().unwrap()
}

fn file(text: &str) -> UnitFile {
    UnitFile::parse(text.as_bytes()).unwrap()
}

fn text(text: &str) -> Text {
    let file = file(text);
    Text { hash: file.hash(), file }
}

const OLD: &str = "[Service]\nExecStart=/bin/old\n";
const NEW: &str = "[Service]\nExecStart=/bin/new\n";

fn wanted(state: JobState) -> Option<Wanted> {
    Some(Wanted { hash: text(NEW).hash, state, restart: None })
}

fn asked(revision: i64) -> Option<Wanted> {
    wanted(JobState::Launched).map(|w| Wanted { restart: Some(Revision(revision)), ..w })
}

fn here(content: &str, claim: JobState) -> Here {
    Here { hash: Some(text(content).hash), claim, ..Here::default() }
}

fn stopped(content: &str) -> Option<Here> {
    Some(Here { stopped: true, ..here(content, JobState::Loaded) })
}

fn unfinished(claim: JobState) -> Option<Here> {
    Some(Here { unfinished: true, ..here(NEW, claim) })
}

fn busy(claim: JobState, busy: Busy) -> Option<Here> {
    Some(Here { busy: Some(busy), ..here(NEW, claim) })
}

/// A registry and a host with this one unit, its new content at hand.
fn one(wanted: Option<Wanted>, here: Option<Here>) -> (BTreeMap<UnitName, Wanted>, Current) {
    let unit = name("a.service");
    let desired = wanted.map(|wanted| (unit.clone(), wanted)).into_iter().collect();
    let units = here.map(|here| (unit.clone(), here)).into_iter().collect();
    let texts = BTreeMap::from([(unit, text(NEW))]);
    (desired, Current { units, texts, ..Current::default() })
}

fn actions(plan: &Plan) -> Vec<(Action, &'static str)> {
    let reason = |reason| match reason {
        Reason::NotLoaded => "unit scheduled here but not loaded",
        Reason::NotScheduled => "unit loaded but not scheduled here",
        Reason::HashDiffers => "unit loaded but hash differs to expected",
        Reason::NotLaunched => "unit currently loaded but desired state is launched",
        Reason::Launched => "unit currently launched but desired state is loaded",
        Reason::Requested => "restart requested",
        Reason::Purge => "purging agent",
        Reason::NameTaken => "unit loaded but its name is that of another here",
        Reason::Reload => "always reload unit files",
    };
    for step in &plan.steps {
        assert_eq!(step.reason.to_string(), reason(step.reason));
    }
    plan.steps.iter().map(|step| (step.action, reason(step.reason))).collect()
}

#[tokio::test]
async fn what_is_unclear_stays_as_it_is_and_keeps_its_request() {
    let unit = name("a.service");
    let requests = BTreeMap::from([(unit.clone(), Revision(7))]);
    for launched in [JobState::Loaded, JobState::Launched] {
        let (desired, mut current) = one(None, Some(here(OLD, launched)));
        assert_ne!(plan(&desired, &current, Instant::now()).steps, vec![]);
        assert_eq!(settled(&requests, &desired, &current), requests);
        current.unclear.insert(unit.clone());
        assert_eq!(plan(&desired, &current, Instant::now()), Plan::default());
        assert_eq!(open(&desired, &current), BTreeSet::new());
        assert_eq!(settled(&requests, &desired, &current), BTreeMap::new());
    }
}

#[tokio::test]
async fn what_has_a_name_of_the_hosts_is_cleared_away_and_nothing_else_is_done_to_it() {
    use JobState::{Launched, Loaded};
    let taken = "unit loaded but its name is that of another here";
    let launched = "unit currently launched but desired state is loaded";
    let restart = asked(7);
    // What is wanted, what is here, what is done where the host's runs, and where fleet's runs.
    type Case = (Option<Wanted>, Option<Here>, Vec<Action>, Vec<(Action, &'static str)>);
    let cases: Vec<Case> = vec![
        (wanted(Launched), None, vec![], vec![]),
        (wanted(Launched), Some(here(NEW, Launched)), vec![Unload], vec![]),
        (restart, Some(here(NEW, Launched)), vec![Unload], vec![]),
        (wanted(Launched), Some(here(NEW, Loaded)), vec![Unload], vec![]),
        (wanted(Launched), unfinished(Launched), vec![Unload], vec![]),
        (wanted(Loaded), Some(here(NEW, Launched)), vec![Unload], vec![(Stop, launched)]),
        (wanted(Launched), Some(here(OLD, Launched)), vec![Unload], vec![(Halt, taken)]),
        (wanted(Launched), stopped(OLD), vec![Unload], vec![(Unload, taken)]),
        (None, Some(here(NEW, Launched)), vec![Unload], vec![(Halt, taken)]),
        (None, stopped(NEW), vec![Unload], vec![(Unload, taken)]),
        (None, busy(Launched, Busy::Stopping), vec![], vec![]),
    ];
    for (wanted, here, of_the_host, of_fleet) in cases {
        let (desired, mut current) = one(wanted, here);
        for (runs_ours, expected) in [
            (false, of_the_host.into_iter().map(|action| (action, taken)).collect()),
            (true, of_fleet),
        ] {
            let why = Taken { why: "taken".into(), runs_ours, aliases: BTreeSet::new() };
            current.taken = BTreeMap::from([(name("a.service"), why)]);
            let found = actions(&plan(&desired, &current, Instant::now()));
            assert_eq!(found, expected, "{desired:?} {current:?}");
        }
    }
}

/// A name, what is wanted, what is here, what is to be done and why.
type Row = (&'static str, Option<Wanted>, Option<Here>, Vec<(Action, &'static str)>);

#[tokio::test]
async fn every_row_of_the_table_has_its_steps() {
    use JobState::{Inactive, Launched, Loaded};
    let (not_loaded, not_here) =
        ("unit scheduled here but not loaded", "unit loaded but not scheduled here");
    let differs = "unit loaded but hash differs to expected";
    let start = (Start, "unit currently loaded but desired state is launched");
    let unreadable = |stopped| Some(Here { stopped, ..Here::default() });
    let rows: Vec<Row> = vec![
        ("none, absent", None, None, vec![]),
        ("none, launched", None, Some(here(NEW, Launched)), vec![(Halt, not_here)]),
        ("none, loaded", None, Some(here(NEW, Loaded)), vec![(Halt, not_here)]),
        ("none, unknown", None, Some(here(NEW, Inactive)), vec![(Halt, not_here)]),
        ("none, unreadable", None, unreadable(false), vec![(Halt, not_here)]),
        ("none, stopped", None, stopped(NEW), vec![(Unload, not_here)]),
        ("loaded, absent", wanted(Loaded), None, vec![(Load, not_loaded)]),
        ("launched, absent", wanted(Launched), None, vec![(Load, not_loaded), start]),
        ("loaded, differs", wanted(Loaded), Some(here(OLD, Loaded)), vec![(Halt, differs)]),
        ("launched, differs", wanted(Launched), Some(here(OLD, Launched)), vec![(Halt, differs)]),
        ("launched, unreadable", wanted(Launched), unreadable(false), vec![(Halt, differs)]),
        (
            "loaded, differs, stopped",
            wanted(Loaded),
            stopped(OLD),
            vec![(Unload, differs), (Load, not_loaded)],
        ),
        (
            "launched, differs, stopped",
            wanted(Launched),
            stopped(OLD),
            vec![(Unload, differs), (Load, not_loaded), start],
        ),
        (
            "launched, unreadable, stopped",
            wanted(Launched),
            unreadable(true),
            vec![(Unload, differs), (Load, not_loaded), start],
        ),
        ("loaded, unknown", wanted(Loaded), Some(here(NEW, Inactive)), vec![(Load, not_loaded)]),
        (
            "launched, unknown",
            wanted(Launched),
            Some(here(NEW, Inactive)),
            vec![(Load, not_loaded), start],
        ),
        ("launched, loaded", wanted(Launched), Some(here(NEW, Loaded)), vec![start]),
        (
            "loaded, launched",
            wanted(Loaded),
            Some(here(NEW, Launched)),
            vec![(Stop, "unit currently launched but desired state is loaded")],
        ),
        ("loaded, loaded", wanted(Loaded), Some(here(NEW, Loaded)), vec![]),
        ("launched, launched", wanted(Launched), Some(here(NEW, Launched)), vec![]),
        ("launched, stopped for another content", wanted(Launched), stopped(NEW), vec![start]),
        ("launched, unfinished", wanted(Launched), unfinished(Launched), vec![(Load, not_loaded)]),
        (
            "launched, unfinished, loaded",
            wanted(Launched),
            unfinished(Loaded),
            vec![(Load, not_loaded), start],
        ),
        ("loaded, unfinished", wanted(Loaded), unfinished(Loaded), vec![(Load, not_loaded)]),
        ("none, unfinished", None, unfinished(Launched), vec![(Halt, not_here)]),
        ("none, stopping", None, busy(Loaded, Busy::Stopping), vec![]),
        ("launched, stopping", wanted(Launched), busy(Loaded, Busy::Stopping), vec![]),
        ("launched, starting", wanted(Launched), busy(Launched, Busy::Starting), vec![]),
        ("none, starting for ever", None, busy(Launched, Busy::Starting), vec![(Halt, not_here)]),
    ];
    for (row, wanted, here, expected) in rows {
        let (desired, current) = one(wanted, here);
        assert_eq!(actions(&plan(&desired, &current, Instant::now())), expected, "{row}");
    }
}

#[tokio::test]
async fn a_restart_takes_the_place_of_a_start_and_comes_once() {
    use JobState::{Inactive, Launched, Loaded};
    let restart = (Restart, "restart requested");
    let load = (Load, "unit scheduled here but not loaded");
    let differs = "unit loaded but hash differs to expected";
    let rows: Vec<Row> = vec![
        ("absent", asked(7), None, vec![load, restart]),
        ("unknown", asked(7), Some(here(NEW, Inactive)), vec![load, restart]),
        ("loaded", asked(7), Some(here(NEW, Loaded)), vec![restart]),
        ("launched", asked(7), Some(here(NEW, Launched)), vec![restart]),
        ("starting", asked(7), busy(Launched, Busy::Starting), vec![restart]),
        ("stopping", asked(7), busy(Loaded, Busy::Stopping), vec![]),
        ("restarting for an earlier one", asked(7), busy(Launched, Busy::Restarting), vec![]),
        ("differs", asked(7), Some(here(OLD, Launched)), vec![(Halt, differs)]),
        ("differs, stopped", asked(7), stopped(OLD), vec![(Unload, differs), load, restart]),
        (
            "not wanted",
            None,
            busy(Launched, Busy::Restarting),
            vec![(Halt, "unit loaded but not scheduled here")],
        ),
        (
            "wanted loaded",
            wanted(Loaded),
            busy(Launched, Busy::Restarting),
            vec![(Stop, "unit currently launched but desired state is loaded")],
        ),
    ];
    for (row, wanted, here, expected) in rows {
        let (desired, mut current) = one(wanted, here);
        current.restarts.insert(name("a.service"), Revision(6));
        assert_eq!(actions(&plan(&desired, &current, Instant::now())), expected, "{row}");
    }
    let (desired, mut current) = one(asked(7), Some(here(NEW, Launched)));
    current.restarts.insert(name("a.service"), Revision(7));
    assert_eq!(plan(&desired, &current, Instant::now()).steps, vec![], "systemd was told");
}

#[test]
fn a_request_is_acknowledged_when_its_job_has_ended_or_it_is_void() {
    use JobState::{Launched, Loaded};
    for (row, wanted, here, told, expected) in [
        ("not told yet", asked(7), Some(here(NEW, Launched)), None, false),
        ("told of an earlier one", asked(7), Some(here(NEW, Launched)), Some(6), false),
        ("under way", asked(7), busy(Launched, Busy::Restarting), Some(7), false),
        ("done", asked(7), Some(here(NEW, Launched)), Some(7), true),
        ("done, then removed", asked(7), None, Some(7), true),
        ("not wanted launched", wanted(Loaded), Some(here(NEW, Launched)), None, true),
        ("not wanted here", None, None, None, true),
        ("not wanted while under way", None, busy(Launched, Busy::Restarting), Some(7), true),
    ] {
        let (desired, mut current) = one(wanted, here);
        let unit = name("a.service");
        current.restarts = told.map(|at| (unit.clone(), Revision(at))).into_iter().collect();
        let requests = BTreeMap::from([(unit, Revision(7))]);
        let acknowledged = settled(&requests, &desired, &current);
        assert_eq!(acknowledged == requests, expected, "{row}: {acknowledged:?}");
    }
}

#[tokio::test]
async fn steps_come_by_phase_and_by_name_within_each() {
    let desired = BTreeMap::from([
        (name("b.service"), wanted(JobState::Launched).unwrap()),
        (name("c.service"), wanted(JobState::Loaded).unwrap()),
        (name("d.service"), wanted(JobState::Launched).unwrap()),
    ]);
    let units = BTreeMap::from([
        (name("a.service"), here(NEW, JobState::Launched)),
        (name("c.service"), here(NEW, JobState::Launched)),
        (name("e.service"), stopped(NEW).unwrap()),
    ]);
    let texts = desired.keys().map(|name| (name.clone(), text(NEW))).collect();
    let current = Current { units, texts, ..Current::default() };
    let steps = plan(&desired, &current, Instant::now()).steps;
    let steps: Vec<_> = steps.iter().map(|step| (step.action, step.unit.as_str())).collect();
    let expected = [
        (Halt, "a.service"),
        (Unload, "e.service"),
        (Load, "b.service"),
        (Load, "d.service"),
        (Stop, "c.service"),
        (Start, "b.service"),
        (Start, "d.service"),
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn a_unit_whose_content_is_not_at_hand_is_left_alone() {
    for here in [None, Some(here(OLD, JobState::Launched)), stopped(OLD)] {
        let (desired, mut current) = one(wanted(JobState::Launched), here);
        current.texts.clear();
        assert_eq!(plan(&desired, &current, Instant::now()).steps, vec![]);
        assert_eq!(texts_needed(&desired, &current), BTreeSet::from([name("a.service")]));
        current.texts.insert(name("a.service"), text(NEW));
        assert_ne!(plan(&desired, &current, Instant::now()).steps, vec![]);
        assert_eq!(texts_needed(&desired, &current), BTreeSet::new());
    }
}

#[tokio::test]
async fn what_failed_waits_unless_something_else_is_wanted() {
    let now = Instant::now();
    let (mut desired, mut current) = one(wanted(JobState::Launched), None);
    let retry = Retry::after(None, wanted(JobState::Launched), "no", now);
    current.retries.insert(name("a.service"), retry.clone());
    let held = plan(&desired, &current, now);
    assert_eq!(held, Plan { steps: vec![], retry_at: Some(retry.at) });
    assert_ne!(plan(&desired, &current, retry.at).steps, vec![]);
    desired.get_mut(&name("a.service")).unwrap().state = JobState::Loaded;
    assert_ne!(plan(&desired, &current, now).steps, vec![]);
}

#[tokio::test]
async fn pauses_double_up_to_a_minute_and_begin_anew_with_another_wish() {
    let now = Instant::now();
    let mut retry = None;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let next = Retry::after(retry.as_ref(), None, "no", now);
        assert_eq!(next.at - now, Duration::from_secs(seconds));
        retry = Some(next);
    }
    let other = Retry::after(retry.as_ref(), wanted(JobState::Loaded), "no", now);
    assert_eq!((other.attempts, other.at - now), (1, Duration::from_secs(1)));
}

#[tokio::test]
async fn a_purge_unloads_everything_for_its_own_reason() {
    let (_, mut current) = one(None, Some(here(NEW, JobState::Launched)));
    current.units.insert(name("b.service"), stopped(NEW).unwrap());
    let plan = plan_purge(&current, Instant::now());
    assert_eq!(actions(&plan), [(Halt, "purging agent"), (Unload, "purging agent")]);
}

#[test]
fn what_runs_or_has_failed_was_launched() {
    let claim =
        |active: &str| adopted_claim(&UnitState { active: active.into(), ..UnitState::default() });
    for active in ["active", "activating", "reloading", "failed"] {
        assert_eq!(claim(active), JobState::Launched, "{active}");
    }
    for active in ["inactive", "deactivating", ""] {
        assert_eq!(claim(active), JobState::Inactive, "{active}");
    }
}
