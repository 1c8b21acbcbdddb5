//! Waiting for systemd to have started units, after the cluster reports them launched
//! (`fleetctl.md` 5.4, step 6).

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use fleet_schema::UnitState;

use super::{Block, Cause, Failure, OnFailure, Poll, Wait};
use crate::{error::CliError, session::Session};

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
            let poll = match session.api.state(name).await {
                Ok(Some(state)) => rest.judge(&state, since),
                Ok(None) => Poll::NotYet("no state published".to_owned()),
                Err(error) => Poll::NotYet(error.to_string()),
            };
            Ok(poll)
        })
        .await?;
    Ok(failures.into_iter().next().map(|failure| worded(&failure, limit)))
}

/// Since when units have been seen at rest.
#[derive(Debug, Default)]
pub(super) struct Rest(RefCell<BTreeMap<String, Duration>>);

impl Rest {
    /// What the state of a unit, seen at `since`, means for one that was launched.
    pub(super) fn judge(&self, state: &UnitState, since: Duration) -> Poll {
        judge(state, || {
            let mut seen = self.0.borrow_mut();
            since.saturating_sub(*seen.entry(state.name.clone()).or_insert(since))
        })
    }
}

/// What a state means for a unit that was launched; `at_rest_for` says for how long it has been
/// seen at rest.
fn judge(state: &UnitState, at_rest_for: impl Fn() -> Duration) -> Poll {
    let UnitState { systemd_load_state: load, systemd_active_state: active, .. } = state;
    let sub = &state.systemd_sub_state;
    let what = format!("{active} ({sub})");
    match (&**load, &**active, &**sub) {
        ("loaded", "active", _) => Poll::Reached,
        ("loaded", "inactive", "dead") if at_rest_for() >= SETTLED => Poll::Reached,
        (_, "failed", _) if at_rest_for() >= SETTLED => {
            Poll::Never(format!("systemd reports {what}"))
        }
        ("" | "loaded", ..) => Poll::NotYet(what),
        _ => Poll::NotYet(format!("{load}, {what}")),
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
            ("loaded", "inactive", "dead", 500, "reached"),
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
                Poll::Reached => "reached".to_owned(),
                Poll::NotYet(what) => what,
                Poll::Never(reason) => format!("never: {reason}"),
            };
            assert_eq!(poll, expected, "{load} {active} {sub}");
        }
    }
}
