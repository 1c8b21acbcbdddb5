//! `fleetctl help` (`fleetctl.md` 1.5); what it prints is made in [`crate::help`].

use clap::Command;

pub(crate) fn describe(command: Command) -> Command {
    command.about("Help about any command").override_usage("help [command]")
}
