//! `fleetctl verify`, which was given up long ago (`fleetctl.md` 5.16).

use clap::Command;

use super::NO_SIGNATURES;
use crate::error::CliError;

pub(crate) fn describe(command: Command) -> Command {
    command.override_usage("verify UNIT")
}

/// Says that it does nothing.
pub(crate) fn run() -> Result<(), CliError> {
    Err(CliError::GivenUp(format!(
        "Command \"verify\" is deprecated, DEPRECATED - No longer works\n{NO_SIGNATURES}"
    )))
}
