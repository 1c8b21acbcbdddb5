//! Waiting for systemd to have started units, after the cluster reports them launched
//! (`fleetctl.md` 5.4, step 6).

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use fleet_core::JobState;
use fleet_schema::{Unit, UnitState};

use super::{Block, Cause, Failure, OnFailure, Poll, Wait};
use crate::{api::ApiError, error::CliError, session::Session, ui::tame, unit};

/// For how long a unit must have been seen at rest, to count as one that ran and ended well, or
/// failed: a machine may publish what it claims of a unit a little before what systemd made of it,
/// and then the state is still that of the unit's last run.
const SETTLED: Duration = Duration::from_millis(500);

/// Waits until systemd reports `units` active, or run to their end. Returns the first failure.
pub(crate) async fn for_systemd(
    session: &Session<'_>,
    units: &[String],
    block: Block,
) -> Result<Option<String>, CliError> {
    let rest = Rest::default();
    let limit = block.limit();
    let wait = Wait {
        ui: session.ui,
        goal: "to become active",
        units,
        limit,
        on_failure: OnFailure::Stop,
    };
    let failures = wait
        .run(async |name, since| {
            let look = look(session, name, &rest, since).await;
            Ok(look.unwrap_or_else(|error| Poll::NotYet(error.to_string())))
        })
        .await?;
    Ok(failures.into_iter().next().map(|failure| worded(&failure, limit)))
}

async fn look(
    session: &Session<'_>,
    name: &str,
    rest: &Rest,
    since: Duration,
) -> Result<Poll, ApiError> {
    let Some(state) = session.api.state(name).await? else {
        return Ok(match wanted(session, name).await? {
            Ok(_) => Poll::NotYet("no state published".to_owned()),
            Err(reason) => Poll::Never(reason),
        });
    };
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
) -> Result<Result<Unit, String>, ApiError> {
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
    let said = unit.pending.machines.iter().find(|said| said.machine_id == machine);
    match said.map(|said| tame(&said.message)) {
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
pub(super) struct Rest(RefCell<BTreeMap<String, Duration>>);

impl Rest {
    /// What the state of a unit, seen at `since`, means for one that was launched.
    pub(super) fn judge(&self, state: &UnitState, since: Duration) -> Judged {
        judge(state, || {
            let mut seen = self.0.borrow_mut();
            since.saturating_sub(*seen.entry(state.name.clone()).or_insert(since))
        })
    }
}

/// What a state means for a unit that was launched; `at_rest_for` says for how long it has been
/// seen at rest.
fn judge(state: &UnitState, at_rest_for: impl Fn() -> Duration) -> Judged {
    let UnitState { systemd_load_state: load, systemd_active_state: active, .. } = state;
    let sub = &state.systemd_sub_state;
    let what = format!("{active} ({sub})");
    Judged::Is(match (&**load, &**active, &**sub) {
        ("loaded", "active", _) => Poll::Reached,
        ("loaded", "inactive", "dead") if at_rest_for() >= SETTLED => return Judged::Ended,
        (_, "failed", _) if at_rest_for() >= SETTLED => {
            Poll::Never(format!("systemd reports {what}"))
        }
        ("" | "loaded", ..) => Poll::NotYet(what),
        _ => Poll::NotYet(format!("{load}, {what}")),
    })
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
            let poll = match judge(&state, || Duration::from_millis(at_rest)) {
                Judged::Ended => "ended".to_owned(),
                Judged::Is(Poll::Reached) => "reached".to_owned(),
                Judged::Is(Poll::NotYet(what)) => what,
                Judged::Is(Poll::Never(reason)) => format!("never: {reason}"),
            };
            assert_eq!(poll, expected, "{load} {active} {sub}");
        }
    }
}
