//! `fleetctl destroy` (`fleetctl.md` 5.7).

use clap::{ArgMatches, Command};
use fleet_client::Removal;

use crate::{
    args::flags,
    error::CliError,
    name::UnitArg,
    select::select,
    session::Session,
    wait::{Block, Cause, OnFailure, Poll, Wait},
};

/// What clap has to know of it.
pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Destroy one or more units in the cluster")
        .override_usage("destroy UNIT...")
        .long_about(
            "Remove one or more units from the cluster, stopping them where they run. Units that\n\
             don't exist are ignored. Templates and their instances are destroyed separately.\n\
             \n\
             Waits until the cluster doesn't have the units any more, unless --no-block is given;\n\
             --block-attempts bounds the wait. Machines may take a moment longer to stop them.",
        )
        .args(flags::blocking())
}

/// Runs it.
pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let words = flags::words(matches);
    if words.is_empty() {
        session.ui.err("No units given");
        return Ok(());
    }
    let block = flags::block(matches);
    let mut result = Ok(());
    for unit in select(session, &UnitArg::all(&words)?).await? {
        match destroy(session, unit.name, block).await {
            Err(CliError::Failed(error)) => {
                session.ui.err(format_args!("Error destroying units: {error}"));
                result = Err(CliError::Reported);
            }
            other => other?,
        }
    }
    result
}

/// Destroys one unit. One that somebody else destroyed meanwhile is no failure.
async fn destroy(session: &Session<'_>, name: String, block: Block) -> Result<(), CliError> {
    let removal = session.api.destroy(&name).await;
    match removal.map_err(|error| CliError::failed(error.to_string()))? {
        Removal::Absent => return Ok(()),
        Removal::Removed => {}
    }
    if block != Block::No {
        gone(session, &name, block).await?;
    }
    session.ui.out(format_args!("Destroyed {name}"))
}

/// Waits until the cluster doesn't have the unit any more; the first poll is the rule.
async fn gone(session: &Session<'_>, name: &str, block: Block) -> Result<(), CliError> {
    let units = [name.to_owned()];
    let wait = Wait {
        ui: session.ui,
        goal: "to be destroyed",
        units: &units,
        limit: block.limit(),
        on_failure: OnFailure::Stop,
    };
    let failures = wait
        .run(async |name, _| {
            Ok(match session.api.unit(name).await {
                Ok(None) => Poll::Reached,
                Ok(Some(unit)) => Poll::NotYet(format!("still there, {}", unit.desired_state)),
                Err(error) => Poll::NotYet(error.to_string()),
            })
        })
        .await?;
    match failures.into_iter().next().map(|failure| failure.cause) {
        None => Ok(()),
        Some(Cause::TimedOut) => {
            Err(CliError::Failed(format!("timed out waiting for unit {name} to be destroyed")))
        }
        Some(Cause::Never(reason)) => Err(CliError::Failed(reason)),
    }
}
