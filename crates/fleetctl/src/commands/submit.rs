//! `fleetctl submit` (`fleetctl.md` 5.2), and what it has in common with load and start.

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    units::{
        create::{Created, CreatingCommand, Existing, Remarks, create},
        name::UnitArg,
        wait::Block,
    },
};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Upload one or more units to the cluster without starting them")
        .override_usage("submit [--replace] [--no-warn] UNIT...")
        .long_about(
            "Upload one or more units to the cluster without starting them. Useful\n\
             for validating units before they are started.\n\
             \n\
             Units that the cluster has already stay as they are, unless --replace is given.\n\
             \n\
             Of what systemd will not run, or will ignore, in a file that is uploaded fleetctl\n\
             warns on stderr, naming the line, unless --no-warn is given.\n\
             \n\
             Submit a single unit:\n\
             \tfleetctl submit foo.service\n\
             \n\
             Submit all units of a folder:\n\
             \tfleetctl submit myservice/*",
        )
        .args(flags::creating())
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let Some((_, created)) =
        bring_in(matches, session, CreatingCommand::Submit, Block::Forever).await?
    else {
        return Ok(());
    };
    finish(&created)
}

/// Brings the units in that the words name. `None`: they name none, and the user was told.
pub(crate) async fn bring_in(
    matches: &ArgMatches,
    session: &Session<'_>,
    command: CreatingCommand,
    block: Block,
) -> Result<Option<(Vec<UnitArg>, Created)>, CliError> {
    let words = flags::words(matches);
    if words.is_empty() {
        session.ui.err("No units given");
        return Ok(None);
    }
    let arguments = UnitArg::all(&words)?;
    let replace = matches.get_flag("replace");
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    let remarks = if matches.get_flag("no-warn") { Remarks::Unsaid } else { Remarks::Said };
    let created = create(session, command, existing, remarks, block, &arguments).await?;
    Ok(Some((arguments, created)))
}

/// The end of a command in which units may have been refused.
pub(crate) fn finish(created: &Created) -> Result<(), CliError> {
    if created.refused.is_empty() { Ok(()) } else { Err(CliError::Reported) }
}
