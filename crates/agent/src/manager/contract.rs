//! The promises every [`UnitManager`] keeps, one function each.
//!
//! [`FakeManager`](crate::fake::FakeManager) runs them in `cargo test`, the real one against a
//! real systemd. Each takes a manager whose [`changed`](UnitManager::changed) nobody else waits
//! for, and a `prefix` for the names of its units; each leaves none of them behind. A promise
//! that isn't kept panics.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet_core::{UnitFile, UnitName, UnitState};
use tokio::time;

use super::{Changed, JobKind, JobResult, Listed, ManagerError, Moment, Past, UnitManager, Uptime};

/// How long anything here may take. Generous: it only ends what would never end.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs until it is stopped.
pub const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
/// Finishes at once and is inactive then.
pub const FINISHES: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
/// Fails at once.
pub const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
/// Is started, and fails at once.
pub const CRASHES: &str = "[Service]\nExecStart=/bin/false\n";
/// Can't be started, and is tried again before long.
pub const LOOPS: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStartPre=/bin/false\n\
                         ExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=0.2\n";
/// Its start never ends.
pub const HANGS: &str =
    "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n";
/// Takes a second to stop.
pub const STOPS_SLOWLY: &str = "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 1\n";
/// Has an `[Install]` section that says nothing about installing.
pub const BAD_INSTALL: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nX-Nothing=1\n";

/// Runs every function of this suite that needs nothing of the host, one after the other.
///
/// # Panics
/// A promise isn't kept.
pub async fn all(manager: &dyn UnitManager, prefix: &str) {
    what_is_loaded_is_listed(manager, prefix).await;
    loading_again_replaces_the_content(manager, prefix).await;
    unloading_what_is_not_here_is_no_error(manager, prefix).await;
    a_bad_unit_costs_only_itself(manager, prefix).await;
    a_unit_starts_and_stops(manager, prefix).await;
    starting_what_runs_is_done(manager, prefix).await;
    starting_an_unknown_unit_is_refused(manager, prefix).await;
    stopping_what_does_not_run_is_done(manager, prefix).await;
    a_restart_runs_the_unit_anew(manager, prefix).await;
    a_restart_starts_what_does_not_run(manager, prefix).await;
    restarting_an_unknown_unit_is_refused(manager, prefix).await;
    a_finished_unit_is_inactive(manager, prefix).await;
    a_failing_unit_ends_failed(manager, prefix).await;
    what_went_wrong_is_told(manager, prefix).await;
    what_is_started_again_by_itself_is_told(manager, prefix).await;
    a_stop_ends_a_start_that_hangs(manager, prefix).await;
    a_stop_asked_for_twice_ends_for_both(manager, prefix).await;
    a_unit_says_how_long_its_stop_may_take(manager, prefix).await;
    every_unit_asked_for_has_a_state(manager, prefix).await;
    whoever_is_there_answers(manager).await;
    changes_are_told(manager, prefix).await;
    each_run_has_an_id_of_its_own(manager, prefix).await;
    what_happened_is_on_record_after_it_is_forgotten(manager, prefix).await;
}

/// [`UnitManager::ping`] is answered, whatever units there are.
///
/// # Panics
/// A promise isn't kept.
pub async fn whoever_is_there_answers(manager: &dyn UnitManager) {
    time::timeout(LIMIT, manager.ping()).await.expect("an answer in time").expect("it is there");
}

/// [`UnitManager::load`] puts a unit where [`UnitManager::units`] finds it, with its hash;
/// [`UnitManager::unload`] takes it away.
///
/// # Panics
/// The promise isn't kept.
pub async fn what_is_loaded_is_listed(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "listed");
    load(manager, &unit, RUNS).await;
    assert_eq!(manager.units().await.unwrap().get(&unit), Some(&listed(RUNS)));
    remove(manager, &unit).await;
    assert_eq!(manager.units().await.unwrap().get(&unit), None);
}

/// Loading a unit that is here replaces its content.
///
/// # Panics
/// The promise isn't kept.
pub async fn loading_again_replaces_the_content(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "again");
    load(manager, &unit, RUNS).await;
    load(manager, &unit, FINISHES).await;
    assert_eq!(manager.units().await.unwrap().get(&unit), Some(&listed(FINISHES)));
    start(manager, &unit).await;
    assert_eq!(active(manager, &unit).await, "inactive", "the old content was started");
    remove(manager, &unit).await;
}

/// Unloading is idempotent.
///
/// # Panics
/// The promise isn't kept.
pub async fn unloading_what_is_not_here_is_no_error(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "nowhere");
    for _ in 0..2 {
        remove(manager, &unit).await;
    }
}

/// In one call a unit that can't be loaded leaves the others alone, and nothing of it stays.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_bad_unit_costs_only_itself(manager: &dyn UnitManager, prefix: &str) {
    let (bad, good) = (name(prefix, "bad"), name(prefix, "good"));
    let units = BTreeMap::from([(bad.clone(), file(BAD_INSTALL)), (good.clone(), file(RUNS))]);
    let answers = manager.load(&units).await;
    assert!(answers[&bad].is_err(), "{answers:?}");
    assert!(answers[&good].is_ok(), "{answers:?}");
    let here = manager.units().await.unwrap();
    assert_eq!(here.get(&bad), None);
    assert!(here.contains_key(&good));
    remove(manager, &good).await;
}

/// A started unit is active when its job has ended, and a stopped one isn't.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_unit_starts_and_stops(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "runs");
    load(manager, &unit, RUNS).await;
    assert_eq!(start(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "active");
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "inactive");
    remove(manager, &unit).await;
}

/// Starting a unit that runs does nothing to it.
///
/// # Panics
/// The promise isn't kept.
pub async fn starting_what_runs_is_done(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "twice");
    load(manager, &unit, RUNS).await;
    assert_eq!(start(manager, &unit).await, JobResult::Done);
    assert_eq!(start(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "active");
    stop(manager, &unit).await;
    remove(manager, &unit).await;
}

/// Starting what doesn't exist is refused, not queued.
///
/// # Panics
/// The promise isn't kept.
pub async fn starting_an_unknown_unit_is_refused(manager: &dyn UnitManager, prefix: &str) {
    let answer = manager.start(&name(prefix, "unknown")).await;
    assert!(matches!(answer, Err(ManagerError::Refused(_))), "{answer:?}");
}

/// Stopping a unit that doesn't run, or that systemd doesn't know, is done.
///
/// # Panics
/// The promise isn't kept.
pub async fn stopping_what_does_not_run_is_done(manager: &dyn UnitManager, prefix: &str) {
    assert_eq!(stop(manager, &name(prefix, "unknown")).await, JobResult::Done);
    let unit = name(prefix, "idle");
    load(manager, &unit, RUNS).await;
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    remove(manager, &unit).await;
}

/// A restart stops what runs and starts what is loaded now.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_restart_runs_the_unit_anew(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "anew");
    load(manager, &unit, RUNS).await;
    start(manager, &unit).await;
    assert_eq!(restart(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "active");
    load(manager, &unit, FINISHES).await;
    assert_eq!(restart(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "inactive", "the old run goes on");
    remove(manager, &unit).await;
}

/// A restart of a unit that doesn't run starts it.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_restart_starts_what_does_not_run(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "idle-restarted");
    load(manager, &unit, RUNS).await;
    assert_eq!(restart(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "active");
    stop(manager, &unit).await;
    remove(manager, &unit).await;
}

/// Restarting what doesn't exist is refused, not queued.
///
/// # Panics
/// The promise isn't kept.
pub async fn restarting_an_unknown_unit_is_refused(manager: &dyn UnitManager, prefix: &str) {
    let answer = manager.restart(&name(prefix, "unknown")).await;
    assert!(matches!(answer, Err(ManagerError::Refused(_))), "{answer:?}");
}

/// A unit that has finished is inactive, and its job is done.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_finished_unit_is_inactive(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "finishes");
    load(manager, &unit, FINISHES).await;
    assert_eq!(start(manager, &unit).await, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "inactive");
    remove(manager, &unit).await;
}

/// A unit that fails ends its job as failed, is failed, and can be unloaded.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_failing_unit_ends_failed(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "fails");
    load(manager, &unit, FAILS).await;
    assert_eq!(start(manager, &unit).await, JobResult::Failed);
    assert_eq!(active(manager, &unit).await, "failed");
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    remove(manager, &unit).await;
    assert_ne!(active(manager, &unit).await, "failed", "unloading forgets the failure");
}

/// [`UnitManager::outcome`] says how a unit failed, and nothing of one that runs or isn't known.
///
/// # Panics
/// The promise isn't kept.
pub async fn what_went_wrong_is_told(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "crashes");
    assert_eq!(manager.outcome(&unit).await.unwrap().how(), "");
    load(manager, &unit, RUNS).await;
    start(manager, &unit).await;
    let run = manager.outcome(&unit).await.unwrap();
    assert_eq!((&*run.state.active, &*run.how(), run.restarts), ("active", "", 0));
    stop(manager, &unit).await;
    load(manager, &unit, CRASHES).await;
    assert_eq!(start(manager, &unit).await, JobResult::Done, "a process was begun");
    let failed = async {
        while active(manager, &unit).await != "failed" {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    time::timeout(LIMIT, failed).await.expect("it fails");
    let run = manager.outcome(&unit).await.unwrap();
    assert_eq!((&*run.how(), run.restarts), ("exit-code, status 1", 0));
    remove(manager, &unit).await;
}

/// [`UnitManager::outcome`] says how often a unit was started again, and why that was necessary.
///
/// # Panics
/// The promise isn't kept.
pub async fn what_is_started_again_by_itself_is_told(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "loops");
    load(manager, &unit, LOOPS).await;
    assert_eq!(start(manager, &unit).await, JobResult::Failed);
    let told = async {
        loop {
            let run = manager.outcome(&unit).await.unwrap();
            if run.restarts > 1 && run.restarts_soon() {
                break run;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    let run = time::timeout(LIMIT, told).await.expect("it is started again");
    assert_eq!(run.how(), "exit-code, status 1");
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    remove(manager, &unit).await;
}

/// A stop takes the place of a start that doesn't end.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_stop_ends_a_start_that_hangs(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "hangs");
    load(manager, &unit, HANGS).await;
    manager.reload_if_needed(&BTreeSet::from([unit.clone()])).await.unwrap();
    let hanging = manager.start(&unit).await.unwrap();
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    let ended = time::timeout(LIMIT, hanging.wait()).await.expect("the start has ended");
    assert_ne!(ended, JobResult::Done);
    remove(manager, &unit).await;
}

/// A stop that is on its way is joined by a second one; both end when the unit has stopped.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_stop_asked_for_twice_ends_for_both(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "slow");
    load(manager, &unit, STOPS_SLOWLY).await;
    assert_eq!(start(manager, &unit).await, JobResult::Done);
    let first = manager.stop(&unit).await.expect("the first stop is queued");
    // Queued isn't begun: a question may overtake the job.
    let begun = async {
        while active(manager, &unit).await == "active" {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    time::timeout(LIMIT, begun).await.expect("the stop begins");
    assert_eq!(active(manager, &unit).await, "deactivating");
    assert_eq!(stop(manager, &unit).await, JobResult::Done);
    let ended = time::timeout(LIMIT, first.wait()).await.expect("the first has ended as well");
    assert_eq!(ended, JobResult::Done);
    assert_eq!(active(manager, &unit).await, "inactive");
    remove(manager, &unit).await;
}

/// [`UnitManager::stop_limit`] is what the unit's content says.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_unit_says_how_long_its_stop_may_take(manager: &dyn UnitManager, prefix: &str) {
    for (stem, says, limit) in
        [("patient", "200", Some(Duration::from_secs(200))), ("endless", "infinity", None)]
    {
        let unit = name(prefix, stem);
        load(manager, &unit, &format!("{RUNS}TimeoutStopSec={says}\n")).await;
        assert_eq!(start(manager, &unit).await, JobResult::Done);
        assert_eq!(manager.stop_limit(&unit).await.unwrap(), limit, "{says}");
        stop(manager, &unit).await;
        remove(manager, &unit).await;
    }
}

/// [`UnitManager::states`] answers for each unit it is asked for, known or not, and no other.
///
/// # Panics
/// The promise isn't kept.
pub async fn every_unit_asked_for_has_a_state(manager: &dyn UnitManager, prefix: &str) {
    assert_eq!(manager.states(&BTreeSet::new()).await.unwrap(), BTreeMap::new());
    let (loaded, unknown) = (name(prefix, "loaded"), name(prefix, "unknown"));
    load(manager, &loaded, RUNS).await;
    let asked = BTreeSet::from([loaded.clone(), unknown.clone()]);
    let states = manager.states(&asked).await.unwrap();
    assert_eq!(states.keys().cloned().collect::<BTreeSet<_>>(), asked);
    assert_eq!(states[&loaded], state("loaded", "inactive", "dead"));
    assert_eq!(states[&unknown], state("not-found", "inactive", "dead"));
    remove(manager, &loaded).await;
}

/// A unit that starts is told of by [`UnitManager::changed`].
///
/// # Panics
/// The promise isn't kept.
pub async fn changes_are_told(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "told");
    load(manager, &unit, RUNS).await;
    start(manager, &unit).await;
    // What was told before the unit was active may be about anything, itself included.
    let told = async {
        loop {
            match manager.changed().await {
                Changed::All | Changed::Reloaded => break,
                Changed::Units(units) if units.contains(&unit) => break,
                Changed::Units(_) => {}
            }
        }
    };
    time::timeout(LIMIT, told).await.expect("the start is told of");
    assert_eq!(active(manager, &unit).await, "active");
    stop(manager, &unit).await;
    remove(manager, &unit).await;
}

/// [`UnitManager::runs`] tells one run from the next, and nothing of a unit that isn't in memory.
///
/// # Panics
/// The promise isn't kept.
pub async fn each_run_has_an_id_of_its_own(manager: &dyn UnitManager, prefix: &str) {
    let unit = name(prefix, "numbered");
    let run = async || {
        let runs = manager.runs(&BTreeSet::from([unit.clone()])).await.expect("there are runs");
        runs.get(&unit).cloned()
    };
    load(manager, &unit, RUNS).await;
    assert_eq!(run().await.and_then(|run| run.id), None);
    start(manager, &unit).await;
    let first = run().await.expect("it is in memory");
    assert_eq!((first.active.as_str(), first.is_up(), first.job), ("active", true, None));
    assert!(first.id.is_some());
    start(manager, &unit).await;
    assert_eq!(run().await, Some(first.clone()), "starting what runs is no new run");
    restart(manager, &unit).await;
    let second = run().await.expect("it is in memory");
    assert!(second.id.is_some() && second.id != first.id, "{second:?}");
    stop(manager, &unit).await;
    assert!(run().await.is_none_or(|run| !run.is_up()));
    remove(manager, &unit).await;

    load(manager, &unit, HANGS).await;
    manager.reload_if_needed(&BTreeSet::from([unit.clone()])).await.expect("reload is possible");
    let _hanging = manager.start(&unit).await.expect("the start is queued");
    assert_eq!(run().await.and_then(|run| run.job), Some(JobKind::Start));
    stop(manager, &unit).await;
    remove(manager, &unit).await;
}

/// [`UnitManager::past`] tells of a unit that is no longer in memory which runs it had and whether it
/// was stopped, since a moment.
///
/// # Panics
/// The promise isn't kept.
pub async fn what_happened_is_on_record_after_it_is_forgotten(
    manager: &dyn UnitManager,
    prefix: &str,
) {
    let past = async |unit: &UnitName, since: &Moment| {
        let past = manager.past(&BTreeMap::from([(unit.clone(), since.clone())])).await;
        past.get(unit).cloned().expect("there is an answer for what is asked")
    };
    let (once, runs, idle) =
        (name(prefix, "past-once"), name(prefix, "past-runs"), name(prefix, "past-idle"));
    let begun = Moment::now();
    load(manager, &once, FINISHES).await;
    start(manager, &once).await;
    load(manager, &runs, RUNS).await;
    start(manager, &runs).await;
    let it_ran = past(&once, &begun).await;
    assert_eq!(
        (it_ran.runs.len(), it_ran.stopped, it_ran.complete),
        (1, false, true),
        "{it_ran:?}"
    );
    let before_stop = Moment::now();
    stop(manager, &runs).await;
    let it_stopped = past(&runs, &before_stop).await;
    assert!(it_stopped.stopped && it_stopped.complete, "{it_stopped:?}");
    let it_was_left = past(&once, &before_stop).await;
    assert!(!it_was_left.stopped && it_was_left.runs.is_empty(), "{it_was_left:?}");
    let nothing = past(&idle, &begun).await;
    assert_eq!((nothing.runs.len(), nothing.stopped, nothing.complete), (0, false, true));
    for set in set_since(&begun) {
        assert_eq!(past(&once, &set).await, it_ran, "{set:?}");
    }
    for set in set_since(&before_stop) {
        assert_eq!(past(&runs, &set).await, it_stopped, "{set:?}");
        assert_eq!(past(&once, &set).await, it_was_left, "{set:?}");
    }
    for nowhere in not_of_this_boot(&begun) {
        assert_eq!(past(&once, &nowhere).await, Past::default(), "{nowhere:?}");
    }
    let restarted = Moment::now();
    restart(manager, &runs).await;
    restart(manager, &runs).await;
    let it_restarted = past(&runs, &restarted).await;
    assert!(it_restarted.stopped && it_restarted.runs.len() == 2, "{it_restarted:?}");
    stop(manager, &runs).await;
    for unit in [&once, &runs] {
        remove(manager, unit).await;
    }
}

/// The moment as it was written down where the time of day has been set since, back or forward.
fn set_since(moment: &Moment) -> [Moment; 2] {
    const HOUR: u64 = 3_600_000_000;
    [moment.of_day + HOUR, moment.of_day - HOUR].map(|of_day| Moment { of_day, ..moment.clone() })
}

/// The moment as an earlier version wrote it, and one of another boot.
fn not_of_this_boot(moment: &Moment) -> [Moment; 2] {
    let another = moment.uptime.clone().map(|at| Uptime { boot: "another".to_owned(), ..at });
    [None, another].map(|uptime| Moment { uptime, ..moment.clone() })
}

/// What the host has of its own, and what would be called so, is left alone. `own` runs and is the
/// host's.
///
/// # Panics
/// The promise isn't kept.
pub async fn a_unit_of_the_hosts_is_left_alone(
    manager: &dyn UnitManager,
    prefix: &str,
    own: &UnitName,
) {
    let (plain, called_so) = (name(prefix, "plain"), name(prefix, "called-so"));
    let alias = format!("{RUNS}[Install]\nAlias={own}\n");
    let units = [(own.clone(), file(RUNS)), (called_so.clone(), file(&alias))];
    let units = BTreeMap::from(units).into_iter().chain([(plain.clone(), file(RUNS))]);
    let answers = manager.load(&units.collect()).await;
    for refused in [own, &called_so] {
        assert!(matches!(answers[refused], Err(ManagerError::Taken(_))), "{answers:?}");
    }
    assert!(answers[&plain].is_ok(), "{answers:?}");
    let here: BTreeSet<UnitName> = manager.units().await.unwrap().into_keys().collect();
    assert!(here.contains(&plain) && !here.contains(own) && !here.contains(&called_so), "{here:?}");
    let aliases = |aliases: &[&UnitName]| aliases.iter().map(ToString::to_string).collect();
    let others = BTreeMap::from([
        (own.clone(), aliases(&[])),
        (called_so.clone(), aliases(&[own])),
        (name(prefix, "free"), aliases(&[])),
    ]);
    let taken: BTreeSet<UnitName> = manager.taken(&others).await.unwrap().into_keys().collect();
    assert_eq!(taken, BTreeSet::from([own.clone(), called_so.clone()]));
    for answer in [manager.start(own).await, manager.restart(own).await, manager.stop(own).await] {
        assert!(matches!(answer, Err(ManagerError::Taken(_))), "{answer:?}");
    }
    for unit in [own, &called_so, &plain] {
        remove(manager, unit).await;
    }
    manager.reload_if_needed(&BTreeSet::new()).await.unwrap();
    assert_eq!(active(manager, own).await, "active");
}

fn name(prefix: &str, stem: &str) -> UnitName {
    format!("{prefix}-{stem}.service").parse().expect("the prefix is part of a name")
}

fn file(text: &str) -> UnitFile {
    UnitFile::parse(text.as_bytes()).expect("the texts above lex")
}

fn listed(text: &str) -> Listed {
    Listed::of(&file(text))
}

fn state(load: &str, active: &str, sub: &str) -> UnitState {
    UnitState { load: load.into(), active: active.into(), sub: sub.into() }
}

async fn load(manager: &dyn UnitManager, unit: &UnitName, text: &str) {
    let answers = manager.load(&BTreeMap::from([(unit.clone(), file(text))])).await;
    assert!(answers[unit].is_ok(), "{answers:?}");
}

/// Unloads a unit and insists that it worked.
async fn remove(manager: &dyn UnitManager, unit: &UnitName) {
    let answers = manager.unload(&BTreeSet::from([unit.clone()])).await;
    assert!(answers[unit].is_ok(), "{answers:?}");
}

async fn start(manager: &dyn UnitManager, unit: &UnitName) -> JobResult {
    manager.reload_if_needed(&BTreeSet::from([unit.clone()])).await.expect("reload is possible");
    let job = manager.start(unit).await.expect("the start is queued");
    time::timeout(LIMIT, job.wait()).await.expect("the start ends")
}

async fn restart(manager: &dyn UnitManager, unit: &UnitName) -> JobResult {
    manager.reload_if_needed(&BTreeSet::from([unit.clone()])).await.expect("reload is possible");
    let job = manager.restart(unit).await.expect("the restart is queued");
    time::timeout(LIMIT, job.wait()).await.expect("the restart ends")
}

async fn stop(manager: &dyn UnitManager, unit: &UnitName) -> JobResult {
    let job = manager.stop(unit).await.expect("the stop is queued");
    time::timeout(LIMIT, job.wait()).await.expect("the stop ends")
}

async fn active(manager: &dyn UnitManager, unit: &UnitName) -> String {
    let states = manager.states(&BTreeSet::from([unit.clone()])).await.expect("there are states");
    states[unit].active.clone()
}
