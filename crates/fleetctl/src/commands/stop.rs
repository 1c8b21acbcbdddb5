//! `fleetctl stop` (`fleetctl.md` 5.5), and what it has in common with unload.

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    units::{halt::halt, name::UnitArg, wait::Change},
};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Instruct systemd to stop one or more units in the cluster.")
        .override_usage("stop [--no-block|--block-attempts=N] UNIT...")
        .long_about(
            "Stop one or more units in the cluster. They stay on their machines, from where they\n\
             can be started again.\n\
             \n\
             Waits until the units are stopped, unless --no-block is given; --block-attempts bounds\n\
             the wait. Units that run on all machines are not waited for.",
        )
        .args(flags::blocking())
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    change(matches, session, Change::Stop).await
}

/// Makes the units that the words name less than they were.
pub(crate) async fn change(
    matches: &ArgMatches,
    session: &Session<'_>,
    change: Change,
) -> Result<(), CliError> {
    let words = flags::words(matches);
    if words.is_empty() {
        session.ui.err("No units given");
        return Ok(());
    }
    halt(session, change, &UnitArg::all(&words)?, flags::block(matches)).await
}
