//! `fleetctl cat` (`fleetctl.md` 5.9).

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    units::{name::UnitArg, unit},
};

pub(crate) fn describe(command: Command) -> Command {
    command.about("Output the contents of a submitted unit").override_usage("cat UNIT").long_about(
        "Print the unit file that the cluster has, to stdout. It has the options of what was\n\
             submitted, grouped by section, and none of the comments.",
    )
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let words = flags::words(matches);
    let [word] = &*words else {
        return Err(CliError::failed("One unit file must be provided"));
    };
    let UnitArg { name, .. } = UnitArg::new(word)?;
    let known = session
        .api
        .unit(&name)
        .await
        .map_err(|error| CliError::Failed(format!("Error retrieving Unit {name}: {error}")))?;
    let known = known.ok_or_else(|| CliError::Failed(format!("Unit {name} not found")))?;
    session.ui.text(&unit::file(&known).to_text())
}
