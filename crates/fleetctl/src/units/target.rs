//! Setting what is desired of units, and waiting for it: the second half of load and start
//! (`fleetctl.md` 5.3).

use fleet_schema::Unit;
use tracing::debug;

use crate::{
    cluster::session::Session,
    error::CliError,
    units::{
        many, unit,
        wait::{AwaitedUnit, Block, Change, OnFailure, for_state},
    },
};

/// The units of a command that sets what is desired of them.
#[derive(Debug, Default)]
pub(crate) struct Triggered {
    /// Those that run on one machine and were told to change.
    pub(crate) units: Vec<AwaitedUnit>,
    /// Those that run on all machines and were.
    pub(crate) globals: Vec<AwaitedUnit>,
    /// Those that are desired so already.
    pub(crate) already: Vec<Unit>,
}

/// Sets the desired state of those of `names` that have another one, of many at a time. Global units are
/// reported as triggered; the others can be waited for. The first failure ends it: those before it are
/// set, and of those behind it only what was under way.
pub(crate) async fn trigger(
    session: &Session<'_>,
    change: Change,
    names: &[String],
) -> Result<Triggered, CliError> {
    let failed = |text: String| CliError::Failed(format!("Error {} units: {text}", change.doing()));
    let mut done = Triggered::default();
    // One that was given before is set by then.
    for run in many::runs(names, |name| name, |_| None) {
        set_all(session, change, run, &mut done).await.map_err(failed)?;
    }
    for AwaitedUnit { name, .. } in &done.globals {
        session.ui.out(format_args!("Triggered global unit {name} {}", change.as_str()))?;
    }
    Ok(done)
}

async fn set_all(
    session: &Session<'_>,
    change: Change,
    names: &[String],
    done: &mut Triggered,
) -> Result<(), String> {
    let (known, failure) = many::looked_up(names, async |name| {
        let known = session.api.unit(name).await;
        let known = known
            .map_err(|error| format!("error retrieving unit {name} from registry: {error}"))?
            .ok_or_else(|| format!("unable to find unit {name}"))?;
        Ok(Unit { name: name.clone(), ..known })
    })
    .await;
    let (already, others): (Vec<Unit>, Vec<Unit>) =
        known.into_iter().partition(|unit| unit.desired_state == change.state().as_str());
    for Unit { name, .. } in &already {
        debug!("Unit({name}) already {}, skipping.", change.state());
    }
    done.already.extend(already);
    let (set, refused) = many::in_order(others, async |unit: Unit| {
        let set = session.api.set_state(&unit.name, change.state()).await;
        set.map(|()| unit).map_err(|error| error.to_string())
    })
    .await;
    for unit in set {
        let asked = AwaitedUnit::of(&unit);
        let which = if unit::is_global(&unit) { &mut done.globals } else { &mut done.units };
        which.push(asked);
    }
    refused.or(failure).map_or(Ok(()), Err)
}

/// Waits until `units` are what `change` wants them to be, or just says that they were told to.
/// Returns the first failure, after printing it.
pub(crate) async fn settle(
    session: &Session<'_>,
    change: Change,
    units: &[String],
    block: Block,
) -> Result<Option<String>, CliError> {
    if block == Block::No {
        for name in units {
            session.ui.out(format_args!("Triggered unit {name} {}", change.as_str()))?;
        }
        return Ok(None);
    }
    let failed = for_state(session, units, change.goal(), block, OnFailure::Stop).await?;
    let first = failed.into_iter().next().map(|(_, error)| error);
    if let Some(error) = &first {
        session.ui.err(format_args!("Error waiting for units: {error}"));
    }
    Ok(first)
}
