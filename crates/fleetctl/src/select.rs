//! Picking the units that arguments name out of all that exist (`fleetctl.md` 5.5, steps 1 to 3).

use std::collections::BTreeMap;

use fleet_schema::Unit;

use crate::{error::CliError, name::UnitArg, session::Session};

/// The units of `arguments` that exist, in their order. When there are none, the user is told.
pub(crate) async fn select(
    session: &Session<'_>,
    arguments: &[UnitArg],
) -> Result<Vec<Unit>, CliError> {
    let units = session.api.units().await.map_err(|error| CliError::failed(error.to_string()))?;
    let known: BTreeMap<&str, &Unit> = units.iter().map(|unit| (&*unit.name, unit)).collect();
    let (found, missing): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| known.contains_key(&*argument.name));
    if found.is_empty() {
        session.ui.err("Units not found in registry");
        return Ok(Vec::new());
    }
    for UnitArg { name, .. } in missing {
        session.ui.err(format_args!("WARNING: Unit {name} not found in registry"));
    }
    Ok(found
        .into_iter()
        .filter_map(|argument| known.get(&*argument.name))
        .copied()
        .cloned()
        .collect())
}
