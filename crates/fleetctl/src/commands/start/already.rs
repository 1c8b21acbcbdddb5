//! What start says of units that are to run already: which of them failed, have finished, or are on
//! their way.

use std::convert::Infallible;

use fleet_schema::{Unit, UnitStart, UnitState};

use crate::{
    cluster::session::Session,
    commands::load::launch,
    error::CliError,
    ui::tame,
    units::{
        many, unit,
        wait::{AwaitedUnit, Block, Change},
        why,
    },
};

/// What there is to do about them.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Those whose start is waited for.
    pub(super) waited_for: Vec<AwaitedUnit>,
    /// Whether one of them has failed.
    pub(super) failed: bool,
}

/// How a unit stands that was launched before.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It runs, or nothing is known to the contrary.
    Well,
    /// It has run to its end.
    Finished,
    /// It was started and did not come to run.
    Failed(String),
    /// It is being started.
    Starting,
    /// Its machine hasn't started it yet, or it has none.
    Pending(String),
}

/// Looks at units that were launched before, tells the user of those that don't run, and waits for
/// those that nobody has started yet.
pub(super) async fn look(
    session: &Session<'_>,
    units: &[Unit],
    block: Block,
) -> Result<Outcome, CliError> {
    let mut outcome = Outcome::default();
    let mut pending = Vec::new();
    let (standings, _) = many::looked_up(units, async |unit: &Unit| {
        Ok::<_, Infallible>(standing(session, unit).await)
    })
    .await;
    for (unit, standing) in units.iter().zip(standings) {
        let name = &unit.name;
        let again = format!("To run it again: fleetctl restart {name}");
        match standing {
            Standing::Well => {}
            Standing::Finished => session
                .ui
                .err(format_args!("Unit {name} is launched already and has finished. {again}")),
            Standing::Failed(why) => {
                outcome.failed = true;
                session.ui.err(format_args!("Unit {name} is launched already: {why}. {again}"));
            }
            Standing::Starting => outcome.waited_for.push(AwaitedUnit::of(unit)),
            Standing::Pending(why) => {
                session.ui.err(format_args!("Unit {name} is to be launched already: {why}"));
                pending.push(name.clone());
                outcome.waited_for.push(AwaitedUnit::of(unit));
            }
        }
    }
    launch(session, Change::Start, &pending, block).await?;
    Ok(outcome)
}

async fn standing(session: &Session<'_>, unit: &Unit) -> Standing {
    let why = why::line(&unit.pending);
    if let Some(why) = why.as_ref().filter(|_| why::has_failed(&unit.pending)) {
        return Standing::Failed(why.clone());
    }
    if unit::is_global(unit) {
        return Standing::Well;
    }
    if unit.current_state != "launched" {
        return Standing::Pending(why.unwrap_or_else(|| format!("it is {}", unit.current_state)));
    }
    match session.api.state(&unit.name).await {
        Ok(Some(state)) => of_state(&state),
        Ok(None) | Err(_) => Standing::Well,
    }
}

/// How a unit stands that its machine reports so.
fn of_state(state: &UnitState) -> Standing {
    let UnitState { systemd_active_state: active, systemd_sub_state: sub, start, .. } = state;
    let reported = || Standing::Failed(tame(&format!("systemd reports {active} ({sub})")));
    let is_known = *start != UnitStart::default();
    match &**active {
        _ if is_known && !start.settled => Standing::Starting,
        "failed" => reported(),
        "inactive" if is_known && !start.failure.is_empty() => {
            Standing::Failed(tame(&start.failure))
        }
        // Only a service can end well.
        "inactive" if state.name.ends_with(".service") => Standing::Finished,
        "inactive" => reported(),
        "activating" if sub.starts_with("auto-restart") => reported(),
        "activating" => Standing::Starting,
        _ => Standing::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_stands_as_its_machine_says() {
        let failed = |why: &str| Standing::Failed(why.to_owned());
        for (name, active, sub, start, expected) in [
            ("a.service", "active", "running", Some((true, "")), Standing::Well),
            ("a.service", "active", "running", None, Standing::Well),
            ("a.service", "active", "running", Some((false, "")), Standing::Starting),
            ("a.service", "activating", "start-pre", None, Standing::Starting),
            (
                "a.service",
                "activating",
                "auto-restart",
                None,
                failed("systemd reports activating (auto-restart)"),
            ),
            ("a.service", "failed", "failed", None, failed("systemd reports failed (failed)")),
            ("a.service", "inactive", "dead", None, Standing::Finished),
            ("a.service", "inactive", "dead", Some((true, "no device")), failed("no device")),
            ("a.timer", "inactive", "dead", None, failed("systemd reports inactive (dead)")),
        ] {
            let start = start.map(|(settled, failure): (bool, &str)| UnitStart {
                at: 1,
                failure: failure.into(),
                settled,
            });
            let state = UnitState {
                name: name.into(),
                systemd_active_state: active.into(),
                systemd_sub_state: sub.into(),
                start: start.unwrap_or_default(),
                ..UnitState::default()
            };
            assert_eq!(of_state(&state), expected, "{active} {sub}");
        }
    }
}
