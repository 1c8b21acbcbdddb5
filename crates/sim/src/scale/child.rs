//! A process of a run, seen from outside: this program, started again for a role.

use std::{io, process::Stdio, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
    time,
};

use super::role::{Ask, Setup};

/// How long a process may take to answer: it may have much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this program for `role`.
    pub(super) fn start(program: &std::path::Path, role: &str, setup: &Setup) -> io::Result<Self> {
        let mut process = Command::new(program)
            .arg(role)
            .arg(serde_json::to_string(setup)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lost = || io::Error::other("it was given no pipe");
        let input = process.stdin.take().ok_or_else(lost)?;
        let output = BufReader::new(process.stdout.take().ok_or_else(lost)?).lines();
        Ok(Self { process, input, output })
    }

    /// Its number; `None` when it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks it, and waits for the answer.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, String> {
        let answer = async {
            let line = format!("{}\n", serde_json::to_string(ask)?);
            self.input.write_all(line.as_bytes()).await?;
            let line = self.output.next_line().await?;
            let line = line.ok_or_else(|| io::Error::other("it has ended"))?;
            Ok::<T, io::Error>(serde_json::from_str(&line)?)
        };
        let answer = time::timeout(PATIENCE, answer).await;
        answer
            .map_err(|_| "a process does not answer".to_owned())?
            .map_err(|error| error.to_string())
    }

    /// Kills it, at once.
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.process.kill().await.map_err(|error| error.to_string())
    }
}
