//! Waiting for a restart: acknowledged by the machine, and active there (`spec/README.md` 14).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use fleet_client::ClientError;
use fleet_schema::{Unit, UnitState};

use super::{
    AwaitedUnit, Block, Cause, OnFailure, Poll, Wait,
    launched::{Judged, RestingSince, ended, wanted},
};
use crate::{
    cluster::session::Session,
    error::CliError,
    legend::{self, Width},
    units::why,
};

/// For how long a restart must have been acknowledged before its unit's state counts: a machine
/// may publish what systemd made of it a little later.
const SETTLED: Duration = Duration::from_millis(100);

/// The starts of a unit before it was asked to restart, by machine: those that are known of.
#[derive(Debug, Default)]
pub(crate) struct EarlierStarts(BTreeMap<String, i64>);

impl EarlierStarts {
    /// What is known now. Without an answer it is nothing.
    pub(crate) async fn of(session: &Session<'_>, name: &str, machine: Option<&str>) -> Self {
        let states = session.api.states_of(name, machine).await.unwrap_or_default();
        Self(states.into_iter().map(|state| (state.machine_id, state.start.at)).collect())
    }

    /// Whether `state` is that of a restart since; `None` where it doesn't say.
    fn is_over(&self, state: &UnitState) -> Option<bool> {
        let at = Some(state.start.at).filter(|at| *at != 0)?;
        Some(self.0.get(&state.machine_id) != Some(&at))
    }
}

/// Waits until a unit has been restarted and is active: on `machine`, or on the one it has, which
/// may be another one meanwhile. Prints where; returns why it failed.
pub(crate) async fn for_restart(
    session: &Session<'_>,
    name: &str,
    machine: Option<&str>,
    before: &EarlierStarts,
    block: Block,
) -> Result<Option<String>, CliError> {
    let rest = RestingSince::default();
    let (place, acknowledged) = (RefCell::new(String::new()), Cell::new(None));
    let wait = Wait {
        ui: session.ui,
        goal: "to be restarted",
        units: &[name.to_owned()],
        limit: block.limit(),
        on_failure: OnFailure::Stop,
    };
    let failures = wait
        .run(async |name, since| {
            Ok(match look(session, name, machine).await {
                Ok(RestartProgress::At(state, unit)) => {
                    let first = acknowledged.get().unwrap_or(since);
                    acknowledged.set(Some(first));
                    // One that says nothing of its start may be a little late.
                    let is_over = before.is_over(&state).unwrap_or(since - first >= SETTLED);
                    if !is_over {
                        Poll::NotYet("just acknowledged".to_owned())
                    } else if !AwaitedUnit::of(&unit).is_of(&state) {
                        Poll::NotYet("its machine has its old content".to_owned())
                    } else {
                        place.replace(state.machine_id.clone());
                        match rest.judge(&state, since) {
                            Judged::Ended => ended(&unit, &state.machine_id),
                            Judged::Is(poll) => poll,
                        }
                    }
                }
                Ok(RestartProgress::NotYet(what)) => Poll::NotYet(what),
                Ok(RestartProgress::Never(reason)) => Poll::Never(reason),
                Err(error) => Poll::NotYet(error.to_string()),
            })
        })
        .await?;
    if let Some(failure) = failures.into_iter().next() {
        return Ok(Some(match failure.cause {
            Cause::TimedOut => format!("timed out waiting for unit {name} to be restarted"),
            Cause::Never(reason) => format!("Failed to find an active unit {name}, err: {reason}"),
        }));
    }
    let unit = Unit { machine_id: place.take(), ..Unit::default() };
    let place = session.place(&unit).await;
    session.ui.out(format_args!("Unit {name} launched{place}"))?;
    Ok(None)
}

/// What is known of a restart.
enum RestartProgress {
    /// It has been acknowledged, and this is the unit's state there.
    At(UnitState, Box<Unit>),
    NotYet(String),
    Never(String),
}

async fn look(
    session: &Session<'_>,
    name: &str,
    machine: Option<&str>,
) -> Result<RestartProgress, ClientError> {
    let unit = match wanted(session, name).await? {
        Ok(unit) => unit,
        Err(reason) => return Ok(RestartProgress::Never(reason)),
    };
    let machine = machine.unwrap_or(&unit.machine_id);
    if machine.is_empty() {
        let why = why::line(&unit.pending).unwrap_or_else(|| "on no machine".to_owned());
        return Ok(RestartProgress::NotYet(why));
    }
    let pending = session.api.pending_restarts(name, Some(machine)).await?;
    let states = session.api.states_of(name, Some(machine)).await?;
    let state = states.into_iter().find(|state| state.machine_id == machine);
    let short = legend::id(machine, Width::Short);
    match state {
        Some(_) if !pending.is_empty() => {
            Ok(RestartProgress::NotYet(format!("under way on {short}")))
        }
        Some(state) => Ok(RestartProgress::At(state, Box::new(unit))),
        None if unit.machine_id.is_empty() && !is_present(session, machine).await? => {
            Ok(RestartProgress::Never(format!("machine {machine} is not present any more")))
        }
        None => Ok(RestartProgress::NotYet(format!("no state published by {short}"))),
    }
}

async fn is_present(session: &Session<'_>, machine: &str) -> Result<bool, ClientError> {
    // Not from the session: that one remembers.
    Ok(session.api.machines().await?.iter().any(|known| known.id == machine))
}
