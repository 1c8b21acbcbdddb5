//! `fleetctl version` (`fleetctl.md` 1.5).

use clap::Command;

use crate::{error::CliError, ui::Ui};

pub(crate) fn describe(command: Command) -> Command {
    command.about("Print the version and exit").override_usage("version")
}

/// Prints the version.
pub(crate) fn run(ui: &Ui) -> Result<(), CliError> {
    ui.out(format_args!("fleetctl version {}", fleet_core::VERSION))
}
