//! The lab's etcd: one server on the bridge's address, with its data in the lab's folder.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::http::Connection;
use crate::process::Process;
use crate::sandbox::{Freeze, Sandbox, tail};
use crate::slot::Slot;
use crate::wait::eventually;

const PORT: u16 = 2379;

/// The etcd of a lab.
#[derive(Debug)]
pub struct Etcd {
    sandbox: Arc<Sandbox>,
    folder: PathBuf,
    address: Ipv4Addr,
    cgroup: String,
}

impl Etcd {
    pub(crate) fn new(sandbox: Arc<Sandbox>, folder: &Path, slot: Slot) -> Self {
        let cgroup = format!("{}/etcd", slot.cgroup());
        Self { sandbox, folder: folder.to_owned(), address: slot.address(1), cgroup }
    }

    /// Returns the client URL, as hosts use it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{PORT}", self.address)
    }

    /// Starts it on the data that is there, and waits until it is healthy.
    ///
    /// # Errors
    /// When it runs already or doesn't become healthy: with the end of its log.
    pub fn start(&self) -> Result<()> {
        ensure!(self.process().is_none(), "etcd runs already");
        let data = self.folder.join("etcd").display().to_string();
        let url = self.url();
        let command = [
            "etcd",
            "--data-dir",
            &data,
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
        ];
        let process = self.sandbox.launch(&self.cgroup, &command, &self.log())?;
        fs::write(self.pid_file(), process.to_string())?;
        eventually("etcd is healthy", Duration::from_secs(20), || self.health())
            .with_context(|| format!("etcd's log ends in:\n{}", self.log_tail(10)))
    }

    /// Stops it as an operator would, and waits until it is gone.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&self) -> Result<()> {
        let process = self.process().context("etcd doesn't run")?;
        process.signal(Signal::SIGTERM)?;
        process.wait_gone(Duration::from_secs(20))
    }

    /// Makes it hang: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn freeze(&self) -> Result<()> {
        self.sandbox.freeze(&self.cgroup, Freeze::Freeze)
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn thaw(&self) -> Result<()> {
        self.sandbox.freeze(&self.cgroup, Freeze::Thaw)
    }

    /// Returns its process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        let process: Process = fs::read_to_string(self.pid_file()).ok()?.parse().ok()?;
        process.is_alive().then_some(process)
    }

    /// Returns one of its counters or gauges, such as `etcd_server_proposals_committed_total`.
    ///
    /// # Errors
    /// When it doesn't answer or has no such value.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.get("/metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("etcd has no {name}"))?.trim().parse()?)
    }

    /// Sends a request, to its JSON gateway for instance, and returns the body of the answer.
    ///
    /// # Errors
    /// When it doesn't answer within 5 s, or not with 200.
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<String> {
        let address = SocketAddr::from((self.address, PORT));
        let reply = Connection::tcp(self.sandbox.connect(address)?)?.send(method, path, body)?;
        ensure!(reply.status == 200, "etcd answers {} to {path}", reply.status);
        Ok(reply.body)
    }

    /// Returns the last `lines` lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    fn health(&self) -> Result<()> {
        let health = self.get("/health")?;
        ensure!(health.contains(r#""health":"true""#), "it says {health}");
        Ok(())
    }

    fn get(&self, path: &str) -> Result<String> {
        self.send("GET", path, None)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("etcd.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("etcd.pid")
    }
}
