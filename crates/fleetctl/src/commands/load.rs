//! `fleetctl load` (`fleetctl.md` 5.3), and what it has in common with start.

use clap::{ArgMatches, Command};

use crate::{
    args::flags,
    commands::submit::{bring_in, finish},
    create::{Created, For},
    error::CliError,
    session::Session,
    target::{settle, trigger},
    wait::{Block, Change},
};

/// What clap has to know of it.
pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Schedule one or more units in the cluster, first submitting them if necessary.")
        .override_usage("load [--no-block|--block-attempts=N] UNIT...")
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

/// Runs it.
pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    match change(matches, session, For::Load, Change::Load).await? {
        Some((_, created)) => finish(&created),
        None => Ok(()),
    }
}

/// Brings units in and makes them what `change` wants. Returns those that were waited for and
/// got there. `None`: there is nothing to do.
pub(crate) async fn change(
    matches: &ArgMatches,
    session: &Session<'_>,
    command: For,
    change: Change,
) -> Result<Option<(Vec<String>, Created)>, CliError> {
    let block: Block = flags::block(matches);
    let Some((arguments, created)) = bring_in(matches, session, command, block).await? else {
        return Ok(None);
    };
    let names = arguments.into_iter().map(|argument| argument.name);
    let names: Vec<String> = names.filter(|name| !created.refused.contains(name)).collect();
    let triggered = trigger(session, change, &names).await?;
    if let Some(error) = settle(session, change, &triggered, block).await? {
        let text = format!("Error waiting for unit states, exit status: {error}");
        return Err(CliError::Failed(text));
    }
    Ok(Some((triggered, created)))
}
