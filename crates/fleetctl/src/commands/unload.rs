//! `fleetctl unload` (`fleetctl.md` 5.6).

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session, commands::stop, error::CliError, flags, units::wait::Change,
};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Unschedule one or more units in the cluster.")
        .override_usage("unload [--no-block|--block-attempts=N] UNIT...")
        .long_about(
            "Take one or more units off their machines, stopping them first. They stay in the\n\
             cluster, from where they can be loaded or started again.\n\
             \n\
             Waits until the units are unloaded, unless --no-block is given; --block-attempts bounds\n\
             the wait. Units that run on all machines are not waited for.",
        )
        .args(flags::blocking())
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    stop::change(matches, session, Change::Unload).await
}
