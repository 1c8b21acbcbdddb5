//! `fleetctl start` (`fleetctl.md` 5.4).

use clap::{ArgMatches, Command};

use crate::{
    args::flags,
    commands::{load, submit::finish},
    create::For,
    error::CliError,
    session::Session,
    wait::{Block, Change, for_systemd},
};

/// What clap has to know of it.
pub(crate) fn describe(command: Command) -> Command {
    command
        .about(
            "Instruct systemd to start one or more units in the cluster, first submitting and \
             loading if necessary.",
        )
        .override_usage("start [--no-block|--block-attempts=N] UNIT...")
        .long_about(
            "Start one or more units in the cluster. Units that the cluster doesn't have are\n\
             submitted first, and units without a machine get one. Instances of a template are\n\
             made of the template in the cluster, else of the local one.\n\
             \n\
             Waits until systemd reports the units active, unless --no-block is given;\n\
             --block-attempts bounds the wait. Units that run on all machines are not waited for.\n\
             \n\
             Start a single unit:\n\
             \tfleetctl start foo.service\n\
             \n\
             Start an instance of a template:\n\
             \tfleetctl start foo@1.service",
        )
        .args(flags::creating())
        .args(flags::blocking())
}

/// Runs it.
pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let started = load::change(matches, session, For::Start, Change::Start).await?;
    let Some((started, created)) = started else { return Ok(()) };
    let block = flags::block(matches);
    if block != Block::No
        && let Some(error) = for_systemd(session, &started, block).await?
    {
        session.ui.err(format_args!("Error waiting for units: {error}"));
        let text = format!("Error waiting for systemd unit states, err: {error}");
        return Err(CliError::Failed(text));
    }
    finish(&created)
}
