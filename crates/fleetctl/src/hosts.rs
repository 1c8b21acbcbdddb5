//! Where the commands about a unit run: here if its machine is this one, else over SSH (`ssh.md`
//! 7.1).

use std::{fs, process::Stdio};

use fleet_core::error_text::plain;
use fleet_ssh::{Job, Local, Stop};
use tokio::process;

use crate::{
    cluster::{nobody::Manager, session::Session},
    hosts::program::Program,
    legend::{self, Width},
};

pub(crate) mod program;

/// Where this machine keeps its id.
const MACHINE_ID: &str = "/etc/machine-id";
/// The exit code when a program can't be run, or was killed here.
const NOT_RUN: u8 = 255;
/// The exit code when it isn't known where to run it.
const NOWHERE: u8 = 1;

/// What is said when a connection ends that nobody has closed.
const LOST: &str = "the connection was lost, the machine may be down";

/// The machines that the units of a command are on.
pub(crate) struct Hosts<'a> {
    session: &'a Session<'a>,
    port: Option<u16>,
    /// The id of this machine; empty when there is none.
    here: String,
}

/// Why a program was not run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It could not be run: what to say, and the exit code.
    Failed(String, u8),
    /// This process was told to end; the exit code.
    Stopped(u8),
}

impl<'a> Hosts<'a> {
    /// The cluster's machines, where SSH listens at `port` if the user says so.
    pub(crate) fn new(session: &'a Session<'a>, port: Option<u16>) -> Self {
        let here = fs::read_to_string(MACHINE_ID).unwrap_or_default().trim().to_owned();
        Self { session, port, here }
    }

    /// Runs `program` on the machine called `machine` and returns its exit status.
    pub(crate) async fn run(&self, machine: &str, program: &Program) -> Result<u8, Trouble> {
        if !self.here.is_empty() && machine == self.here {
            let program = match self.session.manager {
                Manager::System => program.clone(),
                Manager::User => program.of_user(),
            };
            return self.session.ssh.minding(run_here(&program)).await;
        }
        let address = self.address(machine).await?;
        let unreachable = |error: &dyn std::fmt::Display| {
            Trouble::Failed(format!("Unable to SSH to remote host: {error}"), NOT_RUN)
        };
        let ssh = self.session.ssh;
        let connection =
            ssh.machine(&address, self.port).await.map_err(|error| unreachable(&error))?;
        let job = Job { command: Some(program.for_shell()), forward_agent: false, shows: true };
        let end = ssh.run(&connection, &job).await.map_err(|error| {
            if connection.is_lost() {
                return unreachable(&format_args!("{error}: {LOST}"));
            }
            unreachable(&error)
        })?;
        if end.stopped.is_some() { Err(Trouble::Stopped(end.status)) } else { Ok(end.status) }
    }

    /// How a machine is shown.
    pub(crate) async fn legend(&self, machine: &str) -> String {
        legend::full(machine, self.session.machines().await, Width::Short)
    }

    async fn address(&self, machine: &str) -> Result<String, Trouble> {
        let failed =
            |why: String| Trouble::Failed(format!("Error getting machine IP: {why}"), NOWHERE);
        let machines = self.session.known_machines().await;
        let machines = machines.map_err(|error| failed(error.to_string()))?;
        let found = machines.get(machine).ok_or_else(|| failed("machine ID not found".into()))?;
        if found.primary_ip.is_empty() {
            let text = "Could not determine address of machine.".to_owned();
            return Err(Trouble::Failed(text, NOWHERE));
        }
        Ok(found.primary_ip.clone())
    }
}

/// Runs a program on this machine, without a stdin.
async fn run_here(program: &Program) -> Result<u8, Trouble> {
    let failed =
        |why: String| Trouble::Failed(format!("Error running local command: {why}"), NOT_RUN);
    let mut signals = Local::standard().map_err(|error| failed(plain(&error)))?;
    let mut child = process::Command::new(program.name)
        .args(&program.arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        // The system doesn't say which program.
        .map_err(|error| failed(format!("{}: {}", program.name, plain(&error))))?;
    let mut interrupted = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(|error| failed(plain(&error)))?,
            stop = signals.interrupted() => match stop {
                // Typed on the terminal, where the program sees it too: what it means is its
                // business, and that of its pager.
                Stop::Interrupt | Stop::Quit => interrupted = Some(stop),
                Stop::HangUp
                | Stop::User1
                | Stop::User2
                | Stop::Alarm
                | Stop::Terminate => {
                    // It may be gone by now, which is as good.
                    let _ = child.kill().await;
                    return Err(Trouble::Stopped(stop.status()));
                }
            },
        }
    };
    match (status.code(), interrupted) {
        (None, Some(stop)) => Err(Trouble::Stopped(stop.status())),
        (None, None) => Ok(NOT_RUN),
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(NOT_RUN)),
    }
}
