//! What to do so that what is here is what should be here (`units.md` 7.5, `cluster.md` 5).
//!
//! One unit's way; `Halt`, `Stop` and `Restart` take time, everything else is done within its
//! pass:
//!
//! ```text
//! absent ──Load──▶ loaded ──Start──▶ launched       hash differs, text at hand, or not wanted:
//!                    ▲                   │
//!                    └───────Stop────────┘            Halt … stopped ──Unload──▶ absent (──Load──▶)
//! ```
//!
//! One whose name turns out to be the host's is never loaded, started or restarted. What is fleet's of
//! it goes: at once where something of the host's may run under that name, else once it isn't wanted
//! here any more, as the engine sees to.
//!
//! One whose file is gone, or which systemd wasn't told of, is loaded once more and stays what it is.
//! A restart that is asked for takes the place of a start that is due anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use fleet_core::{JobState, Pauses, UnitFile, UnitHash, UnitName, UnitState};
use fleet_registry::Start;
use fleet_runtime::clock;
use fleet_store::Revision;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Taken, desired::Wanted};

/// The first pause after a failure, and the longest.
const PAUSES: Pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(60));

/// What is here.
#[derive(Clone, Debug, Default)]
pub struct Current {
    /// Fleet's unit files on this machine, and what was done about them.
    pub units: BTreeMap<UnitName, Here>,
    /// Contents at hand.
    pub texts: BTreeMap<UnitName, Text>,
    /// Units something failed for, here or not.
    pub retries: BTreeMap<UnitName, Retry>,
    /// Requests for a restart that systemd has been told of.
    pub restarts: BTreeMap<UnitName, Revision>,
    /// Units of which nobody knows what is wanted: nothing is done to them.
    pub unclear: BTreeSet<UnitName>,
    /// Units whose names aren't fleet's to use here, here or not.
    pub taken: BTreeMap<UnitName, Taken>,
}

impl Current {
    /// Whether a unit can't be here for its name, and doesn't run on all the same.
    pub(crate) fn is_kept_off(&self, unit: &UnitName) -> bool {
        let is_off = |taken: &Taken| !taken.runs_ours || !self.units.contains_key(unit);
        self.taken.get(unit).is_some_and(is_off)
    }
}

/// A unit that is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// The hash of what is on disk; `None` when that can't be read.
    pub hash: Option<UnitHash>,
    /// What this agent, or the one before it, asked systemd to do with this content; `inactive`
    /// is nothing yet.
    pub claim: JobState,
    /// Whether it must be loaded once more, as it was: its file is gone, or systemd wasn't told of
    /// it. It runs on meanwhile.
    pub unfinished: bool,
    /// Whether it was stopped to be unloaded, just now.
    pub stopped: bool,
    /// The job that is on its way.
    pub busy: Option<Busy>,
    /// Why its last start came to nothing, as far as that is known. Fleet doesn't start it again
    /// (`cluster.md` 1): it only says so.
    pub not_started: Option<&'static str>,
    /// How the last start that this agent asked for went; `None` where that isn't known.
    pub start: Option<Start>,
}

impl Here {
    /// Notes that systemd has been told to start it, just now.
    pub(crate) fn begin_start(&mut self) {
        let now = i64::try_from(clock::since_1970().as_millis()).unwrap_or(i64::MAX);
        // Two starts differ, whatever the clock says.
        let at = self.start.as_ref().map_or(now, |before| now.max(before.at.saturating_add(1)));
        self.start = Some(Start { at, ..Start::default() });
    }

    /// Notes that systemd would not start it.
    pub(crate) fn start_refused(&mut self, why: &str) {
        self.begin_start();
        if let Some(start) = &mut self.start {
            (start.settled, start.failure) = (true, why.to_owned());
        }
    }

    /// Whether it was loaded with this content before.
    pub(crate) fn is_loaded(&self, hash: Option<UnitHash>) -> bool {
        self.hash == hash && self.claim != JobState::Inactive
    }
}

/// What a job that is on its way does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It starts the unit. A stop may take its place: some starts never end.
    Starting,
    /// It restarts the unit. A stop may take its place.
    Restarting,
    /// It stops the unit. Nothing is done to the unit until it has ended.
    Stopping,
}

/// A content with its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The hash.
    pub hash: UnitHash,
    /// The content.
    pub file: UnitFile,
}

/// A failure to be tried again. It counts for as long as the same is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What was wanted when it failed.
    pub wanted: Option<Wanted>,
    /// How often it failed in a row.
    pub attempts: u32,
    /// When to try again.
    pub at: Instant,
    /// What went wrong the last time.
    pub error: String,
    /// Whether systemd refused it, and would again as things are.
    pub refused: bool,
}

impl Retry {
    /// The failure after `earlier`, for the same thing wanted.
    #[must_use]
    pub fn after(
        earlier: Option<&Self>,
        wanted: Option<Wanted>,
        error: &str,
        now: Instant,
    ) -> Self {
        let before = earlier.filter(|retry| retry.wanted == wanted).map_or(0, |r| r.attempts);
        let at = now + PAUSES.after(before);
        Self {
            wanted,
            attempts: before.saturating_add(1),
            at,
            error: error.to_owned(),
            refused: false,
        }
    }
}

/// What is done with one unit. In execution order: the derived `Ord` is the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Stop it, so that it can be unloaded by a later pass.
    Halt,
    /// Forget it and remove its file.
    Unload,
    /// Write and link its file.
    Load,
    /// Stop it.
    Stop,
    /// Restart it, or start it if it doesn't run.
    Restart,
    /// Start it.
    Start,
}

impl Action {
    /// The type of task in log lines. Halting is the first half of unloading.
    #[must_use]
    pub fn task(self) -> &'static str {
        match self {
            Self::Halt | Self::Unload => "UnloadUnit",
            Self::Load => "LoadUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
            Self::Start => "StartUnit",
        }
    }
}

/// Why something is done; displayed with the specification's texts (`cluster.md` 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It should be here.
    NotLoaded,
    /// It shouldn't.
    NotScheduled,
    /// It should with other content.
    HashDiffers,
    /// It should be started.
    NotLaunched,
    /// It should be stopped.
    Launched,
    /// Its name is the host's.
    NameTaken,
    /// A restart was asked for.
    Requested,
    /// fleetd leaves.
    Purge,
    /// Files have changed.
    Reload,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLoaded => "unit scheduled here but not loaded",
            Self::NotScheduled => "unit loaded but not scheduled here",
            Self::HashDiffers => "unit loaded but hash differs to expected",
            Self::NotLaunched => "unit currently loaded but desired state is launched",
            Self::Launched => "unit currently launched but desired state is loaded",
            Self::NameTaken => "unit loaded but its name is that of another here",
            Self::Requested => "restart requested",
            Self::Purge => "purging agent",
            Self::Reload => "always reload unit files",
        })
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The unit.
    pub unit: UnitName,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do now, and when to look again at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In execution order: by phase, and by name within each.
    pub steps: Vec<Step>,
    /// When the first of those that failed is to be tried again.
    pub retry_at: Option<Instant>,
}

/// Returns the steps that bring `current` to `desired`.
#[must_use]
pub fn plan(desired: &BTreeMap<UnitName, Wanted>, current: &Current, now: Instant) -> Plan {
    let mut plan = Plan::default();
    for (unit, todo) in todo(desired, current) {
        if needs_text(&todo) && !has_text(current, unit, desired.get(unit)) {
            continue; // its content isn't known (yet): leave what is here alone
        }
        if let Some(at) = held_until(current, unit, desired.get(unit), now) {
            plan.retry_at = Some(plan.retry_at.map_or(at, |other| other.min(at)));
            continue;
        }
        let steps =
            todo.into_iter().map(|(action, reason)| Step { unit: unit.clone(), action, reason });
        plan.steps.extend(steps);
    }
    plan.steps.sort_by_key(|step| step.action); // stable: names stay sorted within a phase
    plan
}

/// Returns the steps that leave nothing here (`units.md` 7.6).
#[must_use]
pub fn plan_purge(current: &Current, now: Instant) -> Plan {
    let mut plan = plan(&BTreeMap::new(), current, now);
    for step in &mut plan.steps {
        step.reason = Reason::Purge;
    }
    plan
}

/// The units whose content a plan needs and hasn't.
#[must_use]
pub fn texts_needed(desired: &BTreeMap<UnitName, Wanted>, current: &Current) -> BTreeSet<UnitName> {
    todo(desired, current)
        .filter(|(unit, todo)| needs_text(todo) && !has_text(current, unit, desired.get(*unit)))
        .map(|(unit, _)| unit.clone())
        .collect()
}

/// The units there is something to do for, possible now or not.
#[must_use]
pub fn open(desired: &BTreeMap<UnitName, Wanted>, current: &Current) -> BTreeSet<UnitName> {
    todo(desired, current).map(|(unit, _)| unit.clone()).collect()
}

/// The requests for a restart that are to be acknowledged: systemd has been told of them and its
/// job has ended, however, or the unit isn't launched here any more.
#[must_use]
pub fn settled(
    requests: &BTreeMap<UnitName, Revision>,
    desired: &BTreeMap<UnitName, Wanted>,
    current: &Current,
) -> BTreeMap<UnitName, Revision> {
    let is_settled = |unit: &UnitName, at: Revision| {
        let wanted = desired.get(unit).is_some_and(|wanted| wanted.restart == Some(at));
        let is_sent = current.restarts.get(unit) == Some(&at);
        let here = current.units.get(unit);
        let unclear = current.unclear.contains(unit);
        (!wanted && !unclear)
            || (is_sent && here.is_none_or(|here| here.busy != Some(Busy::Restarting)))
    };
    let settled = requests.iter().filter(|(unit, at)| is_settled(unit, **at));
    settled.map(|(unit, at)| (unit.clone(), *at)).collect()
}

/// What an earlier agent must have asked of a unit whose claim isn't known: one that runs, is
/// about to, or has failed was started (`cluster.md` 5, "after a restart").
#[must_use]
pub fn adopted_claim(state: &UnitState) -> JobState {
    match state.active.as_str() {
        "active" | "activating" | "reloading" | "refreshing" | "maintenance" | "failed" => {
            JobState::Launched
        }
        _ => JobState::Inactive,
    }
}

type Todo = Vec<(Action, Reason)>;

/// What there is to do, by unit, whether it is possible now or not.
fn todo<'a>(
    desired: &'a BTreeMap<UnitName, Wanted>,
    current: &'a Current,
) -> impl Iterator<Item = (&'a UnitName, Todo)> {
    let names: BTreeSet<&UnitName> = desired.keys().chain(current.units.keys()).collect();
    names
        .into_iter()
        .filter(|name| !current.unclear.contains(*name))
        .map(|name| {
            let wanted = desired.get(name);
            let request = wanted.and_then(|wanted| wanted.restart);
            let start = match request.filter(|at| current.restarts.get(name) != Some(at)) {
                Some(_) => (Action::Restart, Reason::Requested),
                None => (Action::Start, Reason::NotLaunched),
            };
            let here = current.units.get(name);
            match current.taken.get(name) {
                Some(taken) => {
                    (name, here.map_or_else(Vec::new, |here| give_way(wanted, here, taken)))
                }
                None => (name, todo_for(wanted, here, start)),
            }
        })
        .filter(|(_, todo)| !todo.is_empty())
}

/// The table of `units.md` 7.5. `start` is how the unit is started: by a restart, if one is due.
fn todo_for(wanted: Option<&Wanted>, here: Option<&Here>, start: (Action, Reason)) -> Todo {
    if here.is_some_and(|here| here.busy == Some(Busy::Stopping)) {
        return Vec::new();
    }
    match (wanted, here) {
        (None, None) => Vec::new(),
        (None, Some(here)) => unload(here, Reason::NotScheduled),
        (Some(wanted), None) => load(wanted, start),
        (Some(wanted), Some(here)) if here.hash != Some(wanted.hash) => {
            let mut todo = unload(here, Reason::HashDiffers);
            if here.stopped {
                todo.extend(load(wanted, start));
            }
            todo
        }
        (Some(wanted), Some(here)) if here.claim == JobState::Inactive => load(wanted, start),
        (Some(wanted), Some(here)) => {
            let load = here.unfinished.then_some((Action::Load, Reason::NotLoaded));
            load.into_iter().chain(to_state(wanted.state, here, start)).collect()
        }
    }
}

/// What is done with a unit that is here under a name that isn't fleet's. It may run on for as long as
/// it is wanted here as it is: where it goes is the engine's to say.
fn give_way(wanted: Option<&Wanted>, here: &Here, taken: &Taken) -> Todo {
    if here.busy == Some(Busy::Stopping) {
        return Vec::new();
    }
    if !taken.runs_ours {
        return vec![(Action::Unload, Reason::NameTaken)];
    }
    match wanted {
        Some(wanted) if here.is_loaded(Some(wanted.hash)) => {
            let stop = (wanted.state, here.claim) == (JobState::Loaded, JobState::Launched);
            stop.then_some((Action::Stop, Reason::Launched)).into_iter().collect()
        }
        _ => unload(here, Reason::NameTaken),
    }
}

/// What brings a unit that is loaded to the wanted state.
fn to_state(wanted: JobState, here: &Here, start: (Action, Reason)) -> Option<(Action, Reason)> {
    match (wanted, here.claim) {
        (JobState::Launched, JobState::Loaded) => Some(start),
        // One at a time: systemd would take a second for the first, which may have begun
        // before it was asked for.
        (JobState::Launched, JobState::Launched)
            if start.0 == Action::Restart && here.busy != Some(Busy::Restarting) =>
        {
            Some(start)
        }
        (JobState::Loaded, JobState::Launched) => Some((Action::Stop, Reason::Launched)),
        _ => None,
    }
}

fn unload(here: &Here, reason: Reason) -> Todo {
    vec![(if here.stopped { Action::Unload } else { Action::Halt }, reason)]
}

fn load(wanted: &Wanted, start: (Action, Reason)) -> Todo {
    let mut todo = vec![(Action::Load, Reason::NotLoaded)];
    if wanted.state == JobState::Launched {
        todo.push(start);
    }
    todo
}

/// Whether this loads something, now or once it has stopped.
fn needs_text(todo: &[(Action, Reason)]) -> bool {
    todo.iter().any(|(action, reason)| *action == Action::Load || *reason == Reason::HashDiffers)
}

fn has_text(current: &Current, unit: &UnitName, wanted: Option<&Wanted>) -> bool {
    wanted.is_some_and(|w| current.texts.get(unit).is_some_and(|text| text.hash == w.hash))
}

fn held_until(
    current: &Current,
    unit: &UnitName,
    wanted: Option<&Wanted>,
    now: Instant,
) -> Option<Instant> {
    let retry = current.retries.get(unit)?;
    (retry.wanted.as_ref() == wanted && now < retry.at).then_some(retry.at)
}

#[cfg(test)]
mod tests;
