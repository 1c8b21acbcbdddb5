//! `fleetctl load` (`fleetctl.md` 5.3), and what it has in common with start.

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session,
    commands::submit::{bring_in, finish},
    error::CliError,
    flags,
    units::{
        create::{Created, CreatingCommand},
        target::{Triggered, settle, trigger},
        wait::{Block, Change},
    },
};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Schedule one or more units in the cluster, first submitting them if necessary.")
        .override_usage("load [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT...")
        .long_about(
            "Load one or more units in the cluster: each gets a machine, on which it is known to\n\
             systemd but not started. Units that the cluster doesn't have are submitted first.\n\
             Instances of a template are made of the template in the cluster, else of the local one.\n\
             A unit that is running is stopped.\n\
             \n\
             Waits until the units are loaded, unless --no-block is given; --block-attempts bounds\n\
             the wait. Units that run on all machines are not waited for.",
        )
        .args(flags::creating())
        .args(flags::blocking())
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    match change(matches, session, CreatingCommand::Load, Change::Load).await? {
        Some(changed) => finish(&changed.created),
        None => Ok(()),
    }
}

/// What came of a command that brings units in and sets what is desired of them.
pub(crate) struct Changed {
    pub(crate) created: Created,
    pub(crate) triggered: Triggered,
}

/// Brings units in and makes them what `change` wants; returns when those that can be waited for got
/// there. `None`: there is nothing to do.
pub(crate) async fn change(
    matches: &ArgMatches,
    session: &Session<'_>,
    command: CreatingCommand,
    change: Change,
) -> Result<Option<Changed>, CliError> {
    let block: Block = flags::block(matches);
    let Some((arguments, created)) = bring_in(matches, session, command, block).await? else {
        return Ok(None);
    };
    let names = arguments.into_iter().map(|argument| argument.name);
    let names: Vec<String> = names.filter(|name| !created.refused.contains(name)).collect();
    let triggered = trigger(session, change, &names).await?;
    let units: Vec<String> = triggered.units.iter().map(|unit| unit.name.clone()).collect();
    launch(session, change, &units, block).await?;
    Ok(Some(Changed { created, triggered }))
}

/// Waits until `units` are what `change` wants.
pub(crate) async fn launch(
    session: &Session<'_>,
    change: Change,
    units: &[String],
    block: Block,
) -> Result<(), CliError> {
    match settle(session, change, units, block).await? {
        Some(error) => {
            let text = format!("Error waiting for unit states, exit status: {error}");
            Err(CliError::Failed(text))
        }
        None => Ok(()),
    }
}
