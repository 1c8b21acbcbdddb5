//! `fleetctl status` (`ssh.md` 7.4, `spec/README.md` 15, 17).

use std::{cell::Cell, collections::BTreeSet};

use clap::{ArgMatches, Command};
use fleet_schema::UnitState;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    hosts::{Hosts, Trouble, program::Program},
    ui::tame,
    units::{name::UnitArg, unit},
};

/// What is said of flags that other commands wait by.
const IGNORED: &str = "Accepted and ignored: status waits for nothing";

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Output the status of one or more units in the cluster")
        .override_usage("status [--ssh-port=N] [--machine=ID] UNIT...")
        .long_about(
            "Print what systemctl status says of each unit on its machine: over SSH, or directly when\n\
             that is this machine. Goes on through all units; the exit code is the first that isn't 0.\n\
             \n\
             A unit that runs on all machines has a block for each, headed by the machine. Where a\n\
             machine can't be reached its block says what the registry knows, and stderr says why.",
        )
        .args([
            flags::ssh_port(),
            flags::text("machine", "Show global units only on the machine whose id begins with this"),
            flags::flag("no-block", IGNORED),
            flags::int("block-attempts", IGNORED),
        ])
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let arguments = UnitArg::all(&flags::words(matches))?;
    let status = Status {
        session,
        hosts: Hosts::new(session, flags::given_ssh_port(matches)),
        machine: flags::machine(matches),
        blocks: Cell::new(0),
        code: Cell::new(0),
    };
    let mut globals = BTreeSet::new();
    for UnitArg { name, .. } in &arguments {
        let known = match session.api.unit(name).await {
            Ok(known) => known,
            // It would say the same of the others.
            Err(error) => {
                status.fail(format_args!("Error retrieving unit: {error}"), 1);
                return CliError::ended(status.code.get());
            }
        };
        match known {
            None => status.fail(format_args!("Unit {name} does not exist."), 1),
            Some(unit) if unit::is_global(&unit) => {
                globals.insert(name);
            }
            Some(unit) if unit.current_state == "inactive" => {
                status.fail(format_args!("Unit {name} does not appear to be loaded."), 1);
            }
            Some(unit) => status.of_scheduled(name, &unit.machine_id).await?,
        }
    }
    for name in globals {
        status.of_global(name).await?;
    }
    CliError::ended(status.code.get())
}

/// One run of the command.
struct Status<'a> {
    session: &'a Session<'a>,
    hosts: Hosts<'a>,
    /// The beginning of the id of the only machine that is wanted.
    machine: Option<&'a str>,
    /// How many blocks were printed.
    blocks: Cell<usize>,
    /// The first exit code that isn't 0.
    code: Cell<u8>,
}

impl Status<'_> {
    async fn of_scheduled(&self, name: &str, machine: &str) -> Result<(), CliError> {
        if let Some(wanted) = self.machine.filter(|wanted| !machine.starts_with(wanted)) {
            self.fail(
                format_args!("Unit {name} is not on a machine whose id begins with {wanted}."),
                1,
            );
            return Ok(());
        }
        self.begin_block()?;
        let program = systemctl(&["status", "-l"], name);
        match self.hosts.run(machine, &program).await {
            Ok(code) => self.note(code),
            Err(Trouble::Failed(text, code)) => self.fail(text, code),
            Err(Trouble::Stopped(code)) => return Err(CliError::Ended(code)),
        }
        Ok(())
    }

    async fn of_global(&self, name: &str) -> Result<(), CliError> {
        let mut states = match self.session.api.states_of(name, None).await {
            Ok(states) => states,
            Err(error) => {
                let text = format_args!("Error retrieving machine state for global units: {error}");
                self.fail(text, 1);
                return Ok(());
            }
        };
        states.retain(|state| self.machine.is_none_or(|id| state.machine_id.starts_with(id)));
        states.sort_by(|a, b| a.machine_id.cmp(&b.machine_id));
        if states.is_empty() {
            let whose = self.machine.map(|id| format!(" whose id begins with {id}"));
            let whose = whose.unwrap_or_default();
            let text = format!(
                "Unable to retrieve status of global unit {name}: no machine{whose} reports a state."
            );
            self.fail(text, 1);
        }
        let mut runs = states.is_empty();
        for state in &states {
            runs |= self.on_machine(name, state).await? == 0;
        }
        if !runs {
            self.note(1);
        }
        Ok(())
    }

    /// A block about a global unit; returns its code. When all machines are shown, what counts is
    /// that it runs on one of them; when one is picked, its systemctl is.
    async fn on_machine(&self, name: &str, state: &UnitState) -> Result<u8, CliError> {
        self.begin_block()?;
        let legend = self.hosts.legend(&state.machine_id).await;
        self.session.ui.out(format_args!("==> {legend} <=="))?;
        let program = systemctl(&["status"], name);
        let code = match self.hosts.run(&state.machine_id, &program).await {
            Ok(code) => code,
            Err(Trouble::Failed(text, code)) => {
                self.session.ui.err(format_args!("{legend}: {text}"));
                self.session.ui.text(&known(state))?;
                code
            }
            Err(Trouble::Stopped(code)) => return Err(CliError::Ended(code)),
        };
        if self.machine.is_some() {
            self.note(code);
        }
        Ok(code)
    }

    /// An empty line between blocks.
    fn begin_block(&self) -> Result<(), CliError> {
        let before = self.blocks.replace(self.blocks.get() + 1);
        if before > 0 { self.session.ui.text("\n") } else { Ok(()) }
    }

    fn fail(&self, text: impl std::fmt::Display, code: u8) {
        self.session.ui.err(text);
        self.note(code);
    }

    fn note(&self, code: u8) {
        if self.code.get() == 0 {
            self.code.set(code);
        }
    }
}

/// What the registry knows of a unit on a machine, in the manner of systemctl.
fn known(state: &UnitState) -> String {
    let word = |text: &str| {
        let text = tame(text);
        if text.is_empty() { "-".to_owned() } else { text }
    };
    format!(
        "{} (from the registry)\n     Loaded: {}\n     Active: {} ({})\n",
        word(&state.name),
        word(&state.systemd_load_state),
        word(&state.systemd_active_state),
        word(&state.systemd_sub_state)
    )
}

/// The unit's name stands behind `--`: it may begin as an option does.
fn systemctl(arguments: &[&str], unit: &str) -> Program {
    let arguments = arguments.iter().chain(&["--", unit]).map(ToString::to_string).collect();
    Program { name: "systemctl", arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_no_options_of_systemctl() {
        let command = systemctl(&["status", "-l"], "-Hroot@evil.service").for_shell();
        assert_eq!(command, r#"systemctl "status" "-l" "--" "-Hroot@evil.service""#);
    }
}
