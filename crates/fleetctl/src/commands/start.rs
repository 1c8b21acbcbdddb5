//! `fleetctl start` (`fleetctl.md` 5.4).

use clap::{ArgMatches, Command};

use crate::{
    cluster::session::Session,
    commands::{
        load::{self, Changed},
        submit::finish,
    },
    error::CliError,
    flags,
    units::{
        create::{Created, CreatingCommand},
        target::Triggered,
        wait::{AwaitedUnit, Block, Change, Everywhere, for_everywhere, for_systemd},
    },
};

mod already;

pub(crate) fn describe(command: Command) -> Command {
    command
        .about(
            "Instruct systemd to start one or more units in the cluster, first submitting and \
             loading if necessary.",
        )
        .override_usage("start [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT...")
        .long_about(
            "Start one or more units in the cluster. Units that the cluster doesn't have are\n\
             submitted first, and units without a machine get one. Instances of a template are\n\
             made of the template in the cluster, else of the local one.\n\
             \n\
             Waits until systemd reports the units active, unless --no-block is given;\n\
             --block-attempts bounds the wait. Units that run on all machines are only waited for\n\
             where their content was replaced. Fails when a unit fails, also one that was started\n\
             before: restart runs such a unit again.\n\
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

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let changed = load::change(matches, session, CreatingCommand::Start, Change::Start).await?;
    let Some(Changed { created, triggered }) = changed else { return Ok(()) };
    let block = flags::block(matches);
    if block == Block::No {
        return finish(&created);
    }
    let Triggered { units: mut started, globals, already } = triggered;
    let outcome = already::look(session, &already, block).await?;
    started.extend(outcome.waited_for);
    let failed = match for_systemd(session, &started, block).await? {
        None => for_everywhere(session, &replaced(&created, globals), block).await?,
        failed => failed,
    };
    if let Some(error) = failed {
        session.ui.err(format_args!("Error waiting for units: {error}"));
        let text = format!("Error waiting for systemd unit states, err: {error}");
        return Err(CliError::Failed(text));
    }
    if outcome.failed { Err(CliError::Reported) } else { finish(&created) }
}

/// Those of `globals` that machines had before their content was replaced.
fn replaced(created: &Created, globals: Vec<AwaitedUnit>) -> Vec<Everywhere> {
    let machines = |asked: &AwaitedUnit| created.machines.get(&asked.name).cloned();
    let everywhere = globals.into_iter().filter_map(|asked| {
        let machines = machines(&asked)?;
        Some(Everywhere { asked, machines })
    });
    everywhere.collect()
}
