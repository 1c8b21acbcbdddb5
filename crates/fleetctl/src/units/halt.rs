//! Stopping and unloading units (`fleetctl.md` 5.5, 5.6).

use fleet_schema::Unit;

use crate::{
    cluster::session::Session,
    error::CliError,
    units::{
        many,
        name::UnitArg,
        select::select,
        target::settle,
        unit,
        wait::{Block, Change},
    },
};

/// What to do about one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: it is where it should be.
    Skip,
    /// Nothing, and the command ends: this can't be done to it.
    Refuse,
    /// Set its desired state, and wait for it if it runs on one machine only.
    Set,
}

/// Stops or unloads the units of `arguments` and waits for them.
pub(crate) async fn halt(
    session: &Session<'_>,
    change: Change,
    arguments: &[UnitArg],
    block: Block,
) -> Result<(), CliError> {
    let units = select(session, arguments).await?;
    if units.is_empty() {
        return Ok(());
    }
    let steps: Vec<(&Unit, Step)> = units.iter().map(|unit| (unit, step(change, unit))).collect();
    let refused = steps.iter().position(|(_, step)| *step == Step::Refuse);
    let before = &steps[..refused.unwrap_or(steps.len())];
    let to_set = before.iter().filter(|(_, step)| *step == Step::Set).map(|(unit, _)| *unit);
    let (set, failure) = many::in_order(to_set, async |unit: &Unit| {
        let name = &unit.name;
        let set = session.api.set_state(name, change.state()).await;
        set.map(|()| unit).map_err(|error| {
            CliError::Failed(format!("Error setting target state for unit {name}: {error}"))
        })
    })
    .await;
    let (globals, halted): (Vec<&Unit>, Vec<&Unit>) =
        set.into_iter().partition(|unit| unit::is_global(unit));
    for Unit { name, .. } in globals {
        session.ui.out(format_args!("Triggered global unit {name} {}", change.as_str()))?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Some(Unit { name, current_state, .. }) = refused.map(|refused| steps[refused].0) {
        let text = format!("Unable to stop unit {name} in state {current_state}");
        return Err(CliError::Failed(text));
    }
    let halted: Vec<String> = halted.into_iter().map(|unit| unit.name.clone()).collect();
    let names = halted.join(" ");
    if let Some(error) = settle(session, change, &halted, block).await? {
        let text = format!("Failed to {} units [{names}]. err: {error}", change.as_str());
        return Err(CliError::Failed(text));
    }
    session.ui.err(format_args!("Successfully {} units [{names}].", change.done()));
    Ok(())
}

/// Decides on the states at the beginning.
fn step(change: Change, unit: &Unit) -> Step {
    let (desired, current) = (&*unit.desired_state, &*unit.current_state);
    let wanted = match change {
        Change::Unload => desired != "inactive",
        _ => desired == "launched",
    };
    if unit::is_global(unit) {
        return if wanted { Step::Set } else { Step::Skip };
    }
    match (change, current) {
        (Change::Unload, "inactive") if !wanted => Step::Skip,
        (Change::Unload, _) => Step::Set,
        (_, "inactive") => Step::Refuse,
        (_, "loaded") if !wanted => Step::Skip,
        _ => Step::Set,
    }
}

#[cfg(test)]
mod tests {
    use fleet_schema::UnitOption;

    use super::*;

    fn unit(desired: &str, current: &str, global: bool) -> Unit {
        let option = UnitOption {
            section: "X-Fleet".into(),
            name: "Global".into(),
            value: global.to_string(),
        };
        Unit {
            name: "a.service".into(),
            desired_state: desired.into(),
            current_state: current.into(),
            options: vec![option],
            ..Unit::default()
        }
    }

    #[test]
    fn only_what_has_to_change_is_told_to() {
        use Step::{Refuse, Set, Skip};
        for (desired, current, stop, unload) in [
            ("launched", "launched", Set, Set),
            ("launched", "loaded", Set, Set),
            ("launched", "inactive", Refuse, Set),
            ("loaded", "launched", Set, Set),
            ("loaded", "loaded", Skip, Set),
            ("loaded", "inactive", Refuse, Set),
            ("inactive", "launched", Set, Set),
            ("inactive", "loaded", Skip, Set),
            ("inactive", "inactive", Refuse, Skip),
        ] {
            let unit = unit(desired, current, false);
            assert_eq!(step(Change::Stop, &unit), stop, "stop {desired} {current}");
            assert_eq!(step(Change::Unload, &unit), unload, "unload {desired} {current}");
        }
    }

    #[test]
    fn global_units_go_by_what_is_desired() {
        use Step::{Set, Skip};
        for (desired, stop, unload) in
            [("launched", Set, Set), ("loaded", Skip, Set), ("inactive", Skip, Skip)]
        {
            let unit = unit(desired, "inactive", true);
            assert_eq!(step(Change::Stop, &unit), stop, "stop {desired}");
            assert_eq!(step(Change::Unload, &unit), unload, "unload {desired}");
        }
    }
}
