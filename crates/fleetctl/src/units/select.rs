//! Picking the units that arguments name out of all that exist (`fleetctl.md` 5.5, steps 1 to 3).

use std::collections::BTreeMap;

use fleet_client::ClientError;
use fleet_schema::Unit;

use crate::{
    cluster::session::Session,
    error::CliError,
    units::{
        many::{self, FEW, LIST_COSTS},
        name::UnitArg,
    },
};

/// The units of `arguments` that exist, in their order, and the names of those that don't.
pub(crate) async fn pick(
    session: &Session<'_>,
    arguments: &[UnitArg],
) -> Result<(Vec<Unit>, Vec<String>), CliError> {
    let units = candidates(session, arguments).await;
    let units = units.map_err(|error| CliError::failed(error.to_string()))?;
    let known: BTreeMap<&str, &Unit> = units.iter().map(|unit| (&*unit.name, unit)).collect();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for UnitArg { name, .. } in arguments {
        match known.get(&**name) {
            Some(unit) => found.push((*unit).clone()),
            None => missing.push(name.clone()),
        }
    }
    Ok((found, missing))
}

/// Units among which are all those of `arguments` that exist.
async fn candidates(
    session: &Session<'_>,
    arguments: &[UnitArg],
) -> Result<Vec<Unit>, ClientError> {
    if arguments.len() > FEW
        && let Some(units) = session.api.units_within(arguments.len() * LIST_COSTS).await?
    {
        return Ok(units);
    }
    let (units, error) =
        many::looked_up(arguments, async |argument| session.api.unit(&argument.name).await).await;
    match error {
        None => Ok(units.into_iter().flatten().collect()),
        Some(error) => Err(error),
    }
}

/// The units of `arguments` that exist, in their order. When there are none, the user is told.
pub(crate) async fn select(
    session: &Session<'_>,
    arguments: &[UnitArg],
) -> Result<Vec<Unit>, CliError> {
    let (found, missing) = pick(session, arguments).await?;
    if found.is_empty() {
        session.ui.err("Units not found in registry");
        return Ok(Vec::new());
    }
    for name in missing {
        session.ui.err(format_args!("WARNING: Unit {name} not found in registry"));
    }
    Ok(found)
}
