//! Waiting for the state that the cluster reports of units (`fleetctl.md` 4.7).

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet_core::JobState;
use fleet_schema::{Unit, UnitState};
use tracing::debug;

use super::{ATTEMPT, Block, Cause, Failure, OnFailure, Poll, Since, Wait};
use crate::{
    cluster::session::Session,
    error::CliError,
    legend::{self, Width},
    units::{unit, why},
};

/// A change of what is desired of units, as messages call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// `fleetctl load`.
    Load,
    /// `fleetctl start`.
    Start,
    /// `fleetctl stop`.
    Stop,
    /// `fleetctl unload`.
    Unload,
}

impl Change {
    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Unload => "unload",
        }
    }

    /// What doing it is called, where that is said.
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Self::Load => "loading",
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Unload => "unloading",
        }
    }

    /// What is said when it is done.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Load => "loaded",
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Unload => "unloaded",
        }
    }

    /// What is waited for.
    pub(crate) fn goal(self) -> Goal {
        match self {
            Self::Load | Self::Start => Goal::Is(self.state()),
            Self::Stop | Self::Unload => Goal::Stopped(self.state()),
        }
    }

    /// What it wants units to become.
    pub(crate) fn state(self) -> JobState {
        match self {
            Self::Load | Self::Stop => JobState::Loaded,
            Self::Start => JobState::Launched,
            Self::Unload => JobState::Inactive,
        }
    }
}

/// For how long a machine must have said that a unit is refused: what it says may be of an earlier
/// attempt, and is taken back soon then.
const REFUSED: Duration = Duration::from_millis(300);

/// What units are to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// What the cluster reports.
    Is(JobState),
    /// The same, and systemd has stopped what ran.
    Stopped(JobState),
}

impl Goal {
    fn state(self) -> JobState {
        match self {
            Self::Is(state) | Self::Stopped(state) => state,
        }
    }
}

/// Waits until `units` are what they are to become, and prints a line for each. Returns who failed and
/// why.
pub(crate) async fn for_state(
    session: &Session<'_>,
    units: &[String],
    goal: Goal,
    block: Block,
    on_failure: OnFailure,
) -> Result<Vec<(String, String)>, CliError> {
    let state = goal.state();
    let seen = RefCell::new(BTreeSet::new());
    let refused = Since::default();
    let words = format!("to report state {state}");
    let limit = block.limit();
    let wait = Wait { ui: session.ui, goal: &words, units, limit, on_failure };
    // What the list says of those that are there; nothing more is asked of them.
    let listed = RefCell::new(BTreeMap::new());
    let look = async |most: usize| {
        let units = session.api.units_within(most).await.ok()??;
        let there = units.into_iter().filter(|unit| reported(unit) == state.as_str());
        let there: BTreeMap<String, Unit> = there.map(|unit| (unit.name.clone(), unit)).collect();
        let names = there.keys().cloned().collect();
        listed.replace(there);
        Some(names)
    };
    let failures = wait
        .run_with_list(look, async |name, since| {
            let found = listed.borrow_mut().remove(name);
            let found = match found {
                Some(unit) => Ok(Some(unit)),
                None => session.api.unit(name).await,
            };
            if matches!(found, Ok(Some(_))) {
                seen.borrow_mut().insert(name.to_owned());
            }
            match found {
                Ok(Some(unit)) if reported(&unit) == state.as_str() => {
                    if let Some(what) = still_runs(session, name, goal).await {
                        return Ok(Poll::NotYet(format!("{state}, but {what}")));
                    }
                    let place = session.place(&unit).await;
                    session.ui.out(format_args!("Unit {name} {state}{place}"))?;
                    Ok(Poll::Reached)
                }
                Ok(Some(unit)) if !is_refused(&unit, state) => {
                    refused.forget(name);
                    Ok(Poll::NotYet(describe(&unit)))
                }
                Ok(Some(unit)) if refused.lasts(name, since) < REFUSED => {
                    Ok(Poll::NotYet(describe(&unit)))
                }
                Ok(Some(unit)) => Ok(Poll::Never(describe(&unit))),
                Ok(None) => Ok(absent(name, seen.borrow().contains(name), since)),
                Err(error) => {
                    debug!("Retrying assertion of states. err: {error}");
                    Ok(Poll::NotYet(error.to_string()))
                }
            }
        })
        .await?;
    Ok(failures.into_iter().map(|failure| worded(failure, state)).collect())
}

/// What still runs of a unit that is to have stopped, on any machine. One that is taken off its
/// machine has stopped when nothing is said of it any more.
async fn still_runs(session: &Session<'_>, name: &str, goal: Goal) -> Option<String> {
    let Goal::Stopped(to) = goal else { return None };
    match session.api.states_of(name, None).await {
        Ok(states) => running(&states, to == JobState::Loaded),
        Err(error) => Some(error.to_string()),
    }
}

/// What runs according to `states`, in words. With `may_stay` what is at rest doesn't count.
pub(crate) fn running(states: &[UnitState], may_stay: bool) -> Option<String> {
    let at_rest = |state: &UnitState| {
        may_stay && matches!(&*state.systemd_active_state, "inactive" | "failed")
    };
    let state = states.iter().find(|state| !at_rest(state))?;
    let UnitState { systemd_active_state: active, systemd_sub_state: sub, .. } = state;
    Some(format!("{active} ({sub}) on {}", legend::id(&state.machine_id, Width::Short)))
}

/// Whether the service manager of the unit's machine refuses to make it `wanted`.
fn is_refused(unit: &Unit, wanted: JobState) -> bool {
    wanted != JobState::Inactive && why::is_refused(&unit.pending, &unit.machine_id)
}

/// The state that counts. Global units have no current one.
fn reported(unit: &Unit) -> &str {
    if unit::is_global(unit) { &unit.desired_state } else { &unit.current_state }
}

/// A unit that was there isn't coming back by itself. One that was never seen may be on its way
/// to the server that is asked, but not for long.
fn absent(name: &str, seen: bool, since: Duration) -> Poll {
    if seen || since > ATTEMPT {
        Poll::Never(format!("unit {name} does not exist any more"))
    } else {
        Poll::NotYet("does not exist".to_owned())
    }
}

fn describe(unit: &Unit) -> String {
    let state = if unit.current_state.is_empty() { "state unknown" } else { &unit.current_state };
    if let Some(why) = why::line(&unit.pending) {
        format!("{state}: {why}")
    } else if unit.machine_id.is_empty() {
        format!("{state}, on no machine")
    } else {
        format!("{state} on {}", legend::id(&unit.machine_id, Width::Short))
    }
}

fn worded(failure: Failure, state: JobState) -> (String, String) {
    let Failure { unit, cause } = failure;
    let text = match cause {
        Cause::TimedOut => format!("timed out waiting for unit {unit} to report state {state}"),
        Cause::Never(reason) => reason,
    };
    (unit, text)
}
