//! `fleetctl ssh` (`ssh.md` 6). Its words are split in [`crate::args`].

use clap::{ArgMatches, Command};
use fleet_ssh::Job;

use crate::{cluster::session::Session, error::CliError, flags};

mod lookup;

/// The exit code when a command could not be run, or its connection broke.
const LOST: u8 = 255;

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Open interactive shell on a machine in the cluster")
        .override_usage("ssh [-A|--forward-agent] [--ssh-port=N] [--machine|--unit] {MACHINE|UNIT}")
        .long_about(
            "Open a shell on a machine of the cluster, or run a command there. The machine is named by\n\
             the beginning of its id, or by a unit that it runs. The exit code is the shell's or the\n\
             command's.\n\
             \n\
             Open a shell on the machine that runs a unit:\n\
             \tfleetctl ssh foo.service\n\
             \n\
             Run a command; what follows it is its own, flags too:\n\
             \tfleetctl ssh 2444264c uname -a",
        )
        .args([
            flags::text("machine", "Open SSH connection to a specific machine."),
            flags::text("unit", "Open SSH connection to machine running provided unit."),
            flags::short_flag("forward-agent", 'A', "Forward local ssh-agent to target machine."),
            flags::ssh_port(),
        ])
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let (machine, unit) = (flags::machine(matches), flags::given(matches, "unit"));
    let mut words = flags::words(matches);
    let found = match (machine, unit) {
        (Some(_), Some(_)) => {
            let text = "Both machine and unit flags provided, please specify only one.";
            return Err(CliError::failed(text));
        }
        (Some(prefix), None) => lookup::machine(session, prefix).await,
        (None, Some(name)) => lookup::unit(session, name).await,
        (None, None) if words.is_empty() => {
            Err("one machine or unit must be provided".to_owned().into())
        }
        (None, None) => lookup::either(session, &words.remove(0)).await,
    };
    let address = found.map_err(|why| CliError::Failed(format!("Unable to proceed: {why}")))?;
    if address.is_empty() {
        return Err(CliError::failed("Could not determine address of machine."));
    }
    let connection = session
        .ssh
        .machine(&address, flags::given_ssh_port(matches))
        .await
        .map_err(|error| CliError::Failed(format!("Failed building SSH client: {error}")))?;
    let command = (!words.is_empty()).then(|| words.join(" "));
    let forward_agent = matches.get_flag("forward-agent") && {
        let agent = connection.check_agent().await;
        let warn = |why| session.ui.err(format_args!("Warning: no agent is forwarded: {why}"));
        agent.map_err(warn).is_ok()
    };
    let is_shell = command.is_none();
    match session.ssh.run(&connection, &Job { command, forward_agent, shows: false }).await {
        Ok(end) => CliError::ended(end.status),
        Err(error) if is_shell && !error.started() => {
            Err(CliError::Failed(format!("Failed opening shell over SSH: {error}")))
        }
        Err(error) => {
            session.ui.err(format_args!("Failed running command over SSH: {error}"));
            Err(CliError::Ended(LOST))
        }
    }
}
