//! Waiting for systemd to have started units, after the cluster reports them launched
//! (`fleetctl.md` 5.4, step 6).

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use fleet_client::ClientError;
use fleet_core::JobState;
use fleet_schema::{Unit, UnitStart, UnitState};

use super::{Block, Cause, Failure, OnFailure, Poll, Since, Wait};
use crate::{
    cluster::session::Session,
    error::CliError,
    ui::tame,
    units::{unit, why},
};

/// For how long a unit must have been seen at rest, to count as one that ran and ended well, or
/// failed: a machine may publish what it claims of a unit a little before what systemd made of it,
/// and then the state is still that of the unit's last run.
const SETTLED: Duration = Duration::from_millis(500);

/// A unit whose start is waited for.
#[derive(Clone, Debug)]
pub(crate) struct AwaitedUnit {
    pub(crate) name: String,
    /// The hash of the content that is to be started; empty when that isn't known.
    pub(crate) hash: String,
}

impl AwaitedUnit {
    /// `unit` with the content it has now.
    pub(crate) fn of(unit: &Unit) -> Self {
        let known = !unit.options.is_empty();
        let hash = known.then(|| unit::file(unit).hash().to_string());
        Self { name: unit.name.clone(), hash: hash.unwrap_or_default() }
    }

    /// Whether `state` is one of that content.
    pub(super) fn is_of(&self, state: &UnitState) -> bool {
        self.hash.is_empty() || state.hash.is_empty() || self.hash == state.hash
    }
}

/// Waits until systemd reports `units` active, or run to their end. Returns the first failure.
pub(crate) async fn for_systemd(
    session: &Session<'_>,
    units: &[AwaitedUnit],
    block: Block,
) -> Result<Option<String>, CliError> {
    let rest = RestingSince::default();
    let limit = block.limit();
    let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
    let asked = units.iter().map(|unit| (unit.name.clone(), unit.clone()));
    let asked = RefCell::new(asked.collect::<BTreeMap<_, _>>());
    let wait = Wait {
        ui: session.ui,
        goal: "to become active",
        units: &names,
        limit,
        on_failure: OnFailure::Stop,
    };
    let worth_a_look = async |most: usize| {
        let states = session.api.states_within(most).await.ok()??;
        // Of one that is on its way nothing is to be learnt by asking for it.
        let on_its_way = |state: &UnitState| {
            state.systemd_active_state == "activating"
                || (state.start != UnitStart::default() && !state.start.settled)
        };
        let worth = states.into_iter().filter(|state| !on_its_way(state));
        Some(worth.map(|state| state.name).collect())
    };
    let failures = wait
        .run_with_list(worth_a_look, async |name, since| {
            let look = look(session, name, &asked, &rest, since).await;
            Ok(look.unwrap_or_else(|error| Poll::NotYet(error.to_string())))
        })
        .await?;
    Ok(failures.into_iter().next().map(|failure| worded(&failure, limit)))
}

async fn look(
    session: &Session<'_>,
    name: &str,
    asked: &RefCell<BTreeMap<String, AwaitedUnit>>,
    rest: &RestingSince,
    since: Duration,
) -> Result<Poll, ClientError> {
    let is_of = |state: &UnitState| asked.borrow().get(name).is_none_or(|it| it.is_of(state));
    let mut state = session.api.state(name).await?;
    if !state.as_ref().is_some_and(is_of) {
        // It may have been replaced meanwhile, or another machine still has the old content.
        let unit = match wanted(session, name).await? {
            Ok(unit) => unit,
            Err(reason) => return Ok(Poll::Never(reason)),
        };
        asked.borrow_mut().insert(name.to_owned(), AwaitedUnit::of(&unit));
        if state.is_some() && !unit.machine_id.is_empty() {
            let states = session.api.states_of(name, Some(&unit.machine_id)).await?;
            state = states.into_iter().find(|state| state.machine_id == unit.machine_id);
        }
    }
    let Some(state) = state else { return Ok(Poll::NotYet("no state published".to_owned())) };
    if !is_of(&state) {
        return Ok(Poll::NotYet(format!("its machine has its old content, {}", shown(&state))));
    }
    Ok(match rest.judge(&state, since) {
        Judged::Ended => match wanted(session, name).await? {
            Ok(unit) => ended(&unit, &state.machine_id),
            Err(reason) => Poll::Never(reason),
        },
        Judged::Is(poll) => poll,
    })
}

/// The unit, if it is still to be launched; else why it isn't.
pub(super) async fn wanted(
    session: &Session<'_>,
    name: &str,
) -> Result<Result<Unit, String>, ClientError> {
    Ok(match session.api.unit(name).await? {
        None => Err(format!("unit {name} does not exist any more")),
        Some(unit) if unit.desired_state != JobState::Launched.as_str() => {
            Err(format!("unit {name} is not to be launched any more"))
        }
        Some(unit) => Ok(unit),
    })
}

/// What it means that a unit doesn't run on a machine, a while after it was launched there: a
/// service may have done its work. What can't end, and what the machine has trouble with, has not
/// been started.
pub(super) fn ended(unit: &Unit, machine: &str) -> Poll {
    match why::of_machine(&unit.pending, machine) {
        Some(why) if unit::is_global(unit) || unit.current_state == "launched" => Poll::Never(why),
        Some(why) => Poll::NotYet(why), // it is on its way again
        None if unit.name.ends_with(".service") => Poll::Reached,
        None => Poll::Never("systemd reports inactive (dead)".to_owned()),
    }
}

/// What a state means for a unit that was launched.
#[derive(Debug)]
pub(super) enum Judged {
    /// It is at rest: it has ended well, or was never started.
    Ended,
    /// Its state says it.
    Is(Poll),
}

/// Since when units have been seen at rest.
#[derive(Debug, Default)]
pub(super) struct RestingSince(Since);

impl RestingSince {
    /// What the state of a unit, seen at `since`, means for one that was launched.
    pub(super) fn judge(&self, state: &UnitState, since: Duration) -> Judged {
        if state.start == UnitStart::default() {
            return by_state(state, || self.0.lasts(&state.name, since));
        }
        by_start(state)
    }
}

/// What a state means whose machine says how the start went.
fn by_start(state: &UnitState) -> Judged {
    let UnitState { systemd_load_state: load, systemd_active_state: active, start, .. } = state;
    Judged::Is(match (&**load, &**active) {
        _ if !start.settled => Poll::NotYet(shown(state)),
        _ if !start.failure.is_empty() => Poll::Never(tame(&start.failure)),
        ("loaded", "active") => Poll::Reached,
        ("loaded", "inactive") => return Judged::Ended,
        (_, "failed") => Poll::Never(format!("systemd reports {}", shown(state))),
        // It has run to its end, and is started anew by its own rule.
        _ if state.systemd_sub_state.starts_with("auto-restart") => Poll::Reached,
        _ => Poll::NotYet(shown(state)),
    })
}

/// The same where the machine doesn't say it, being of an older version: `at_rest_for` says for how
/// long the unit has been seen at rest.
fn by_state(state: &UnitState, at_rest_for: impl Fn() -> Duration) -> Judged {
    let UnitState { systemd_load_state: load, systemd_active_state: active, .. } = state;
    let what = format!("{active} ({})", state.systemd_sub_state);
    Judged::Is(match (&**load, &**active, &*state.systemd_sub_state) {
        ("loaded", "active", _) => Poll::Reached,
        ("loaded", "inactive", "dead") if at_rest_for() >= SETTLED => return Judged::Ended,
        (_, "failed", _) if at_rest_for() >= SETTLED => {
            Poll::Never(format!("systemd reports {what}"))
        }
        _ => Poll::NotYet(shown(state)),
    })
}

/// What systemd says, in short.
pub(super) fn shown(state: &UnitState) -> String {
    let UnitState { systemd_load_state: load, systemd_active_state: active, .. } = state;
    let what = format!("{active} ({})", state.systemd_sub_state);
    match &**load {
        "" | "loaded" => what,
        load => format!("{load}, {what}"),
    }
}

fn worded(Failure { unit, cause }: &Failure, limit: Option<Duration>) -> String {
    let seconds = limit.map(|limit| limit.as_secs()).unwrap_or_default();
    match cause {
        Cause::TimedOut => format!(
            "Failed to find an active unit {unit} within {seconds}s, \
             err: Failed to fetch states within {seconds}s"
        ),
        Cause::Never(reason) => format!("Failed to find an active unit {unit}, err: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_and_ended_units_have_started_and_failed_ones_never_will() {
        for (load, active, sub, at_rest, expected) in [
            ("loaded", "active", "running", 0, "reached"),
            ("loaded", "active", "exited", 0, "reached"),
            ("loaded", "activating", "start-pre", 0, "activating (start-pre)"),
            ("loaded", "inactive", "dead", 0, "inactive (dead)"),
            ("loaded", "inactive", "dead", 499, "inactive (dead)"),
            ("loaded", "inactive", "dead", 500, "ended"),
            ("loaded", "failed", "failed", 0, "failed (failed)"),
            ("loaded", "failed", "failed", 500, "never: systemd reports failed (failed)"),
            ("not-found", "inactive", "dead", 900, "not-found, inactive (dead)"),
            ("masked", "active", "running", 0, "masked, active (running)"),
            ("", "", "", 0, " ()"),
        ] {
            let state = UnitState {
                systemd_load_state: load.into(),
                systemd_active_state: active.into(),
                systemd_sub_state: sub.into(),
                ..UnitState::default()
            };
            let judged = by_state(&state, || Duration::from_millis(at_rest));
            assert_eq!(words(judged), expected, "{load} {active} {sub}");
        }
    }

    fn words(judged: Judged) -> String {
        match judged {
            Judged::Ended => "ended".to_owned(),
            Judged::Is(Poll::Reached) => "reached".to_owned(),
            Judged::Is(Poll::NotYet(what)) => what,
            Judged::Is(Poll::Never(reason)) => format!("never: {reason}"),
        }
    }

    #[test]
    fn a_machine_that_says_how_the_start_went_is_believed() {
        for (active, sub, settled, failure, expected) in [
            ("active", "running", false, "", "active (running)"),
            ("active", "running", true, "", "reached"),
            ("inactive", "dead", false, "", "inactive (dead)"),
            ("inactive", "dead", true, "", "ended"),
            ("activating", "start", true, "", "activating (start)"),
            ("failed", "failed", false, "", "failed (failed)"),
            ("failed", "failed", true, "", "never: systemd reports failed (failed)"),
            ("failed", "failed", true, "exit-code,\nstatus 1", "never: exit-code, status 1"),
            ("activating", "auto-restart", true, "it loops", "never: it loops"),
            ("activating", "auto-restart", true, "", "reached"),
            // For a moment: it is in a loop.
            ("active", "running", true, "it loops", "never: it loops"),
        ] {
            let state = UnitState {
                systemd_load_state: "loaded".into(),
                systemd_active_state: active.into(),
                systemd_sub_state: sub.into(),
                start: UnitStart { at: 1, failure: failure.into(), settled },
                ..UnitState::default()
            };
            let judged = RestingSince::default().judge(&state, Duration::ZERO);
            assert_eq!(words(judged), expected, "{active} {sub} {settled} {failure}");
        }
    }
}
