//! A member of the lab's etcd. The only one of its etcd listens on the bridge's address; one of
//! several is a machine of its own as far as the network goes, so that it can be cut off.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::base::Base;
use crate::cable;
use crate::http::{Connection, Lines};
use crate::process::Process;
use crate::sandbox::{Freeze, Sandbox, tail};
use crate::slot::Slot;

const PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// Longest time a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Runs the rest of its arguments once its network is there.
const WITH_NETWORK: &str =
    "until ip -br addr show eth0 2>/dev/null | grep -q UP; do sleep 0.02; done; exec \"$@\"";

/// One member of an etcd.
#[derive(Debug)]
pub struct Member {
    sandbox: Arc<Sandbox>,
    folder: PathBuf,
    name: String,
    address: Ipv4Addr,
    cgroup: String,
    /// What `--initial-cluster` says, when there are several.
    cluster: Option<String>,
    base: Base,
}

impl Member {
    /// Member number `i`, from 1 on, of `count`.
    pub(super) fn new(
        sandbox: &Arc<Sandbox>,
        folder: &Path,
        slot: Slot,
        (i, count): (u8, u8),
        base: Base,
    ) -> Self {
        // The bridge's address is that of an only one; others come behind it.
        let address = |i: u8| slot.address(i + u8::from(count > 1));
        let name = if count > 1 { format!("etcd{i}") } else { "etcd".to_owned() };
        let peers: Vec<String> =
            (1..=count).map(|i| format!("etcd{i}=http://{}:{PEER_PORT}", address(i))).collect();
        Self {
            sandbox: Arc::clone(sandbox),
            folder: folder.to_owned(),
            cgroup: format!("{}/{name}", slot.cgroup()),
            name,
            address: address(i),
            cluster: (count > 1).then(|| peers.join(",")),
            base,
        }
    }

    /// Returns its name: `etcd`, or `etcd1` for the first of several.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its address in the lab's network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns its client URL, as hosts use it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{PORT}", self.address)
    }

    /// Starts it on the data that is there. It is healthy when most of the members are up.
    ///
    /// # Errors
    /// When it runs already.
    pub fn start(&self) -> Result<()> {
        ensure!(self.process().is_none(), "{} runs already", self.name);
        let command = self.command();
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        if self.cluster.is_some() {
            words.splice(0..0, ["unshare", "--net", "sh", "-c", WITH_NETWORK, "etcd"]);
        }
        let process = self.sandbox.launch(&self.cgroup, &words, &self.log())?;
        fs::write(self.pid_file(), process.to_string())?;
        if self.cluster.is_some() {
            cable::lay(self.sandbox.first(), &self.name, process, (self.address, 24))?;
        }
        Ok(())
    }

    fn command(&self) -> Vec<String> {
        let data = self.folder.join(&self.name).display().to_string();
        let url = self.url();
        let mut command = vec!["etcd", "--data-dir", &data, "--listen-client-urls", &url];
        command.extend(["--advertise-client-urls", &url]);
        let peer = format!("http://{}:{PEER_PORT}", self.address);
        match &self.cluster {
            None => command.extend(["--listen-peer-urls", "http://127.0.0.1:2380"]),
            Some(cluster) => {
                command.extend(["--name", &self.name, "--listen-peer-urls", &peer]);
                command.extend(["--initial-advertise-peer-urls", &peer]);
                command.extend(["--initial-cluster", cluster]);
            }
        }
        self.base.command(&command)
    }

    /// Stops it as an operator would, and waits until it is gone.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Kills it: nothing more is written.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    fn end(&self, signal: Signal) -> Result<()> {
        let process = self.running()?;
        process.signal(signal)?;
        process.wait_gone(STOP_LIMIT)
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

    /// Cuts it off from the other members, and from nothing else: clients reach it.
    ///
    /// # Errors
    /// When it is the only one or doesn't run.
    pub fn partition(&self) -> Result<()> {
        ensure!(self.cluster.is_some(), "{} is the only member", self.name);
        let process = self.running()?;
        cable::in_network(process, "nft", &["add table ip lab"])?;
        for hook in ["input", "output"] {
            let chain =
                format!("add chain ip lab {hook} {{ type filter hook {hook} priority 0; }}");
            cable::in_network(process, "nft", &[&chain])?;
            for side in ["sport", "dport"] {
                let rule = format!("add rule ip lab {hook} tcp {side} {PEER_PORT} drop");
                cable::in_network(process, "nft", &[&rule])?;
            }
        }
        Ok(())
    }

    /// Ends what [`Self::partition`] began.
    ///
    /// # Errors
    /// When there is no partition.
    pub fn heal(&self) -> Result<()> {
        cable::in_network(self.running()?, "nft", &["delete table ip lab"])
    }

    /// Returns its process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        let process: Process = fs::read_to_string(self.pid_file()).ok()?.parse().ok()?;
        process.is_alive().then_some(process)
    }

    fn running(&self) -> Result<Process> {
        self.process().with_context(|| format!("{} doesn't run", self.name))
    }

    /// Sends a request, to its JSON gateway for instance, and returns the body of the answer.
    ///
    /// # Errors
    /// When it doesn't answer within 5 s, or not with 200.
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<String> {
        let address = SocketAddr::from((self.address, PORT));
        let reply = Connection::tcp(self.sandbox.connect(address)?)?.send(method, path, body)?;
        ensure!(reply.status == 200, "etcd answers {} to {path}: {}", reply.status, reply.body);
        Ok(reply.body)
    }

    /// Sends a request to its JSON gateway whose answer goes on, as that to a watch does.
    ///
    /// # Errors
    /// When it doesn't answer within 5 s, or not with 200.
    pub(crate) fn follow(&self, path: &str, body: &str) -> Result<Lines> {
        let address = SocketAddr::from((self.address, PORT));
        Connection::tcp(self.sandbox.connect(address)?)?.follow(path, body)
    }

    /// Returns whether it leads, by what it says itself.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn leads(&self) -> Result<bool> {
        let status = self.send("POST", "/v3/maintenance/status", Some("{}"))?;
        let status: Value = serde_json::from_str(&status)?;
        let own = &status["header"]["member_id"];
        Ok(!own.is_null() && *own == status["leader"])
    }

    /// Checks that it is well and that most of the members are up.
    ///
    /// # Errors
    /// When it says otherwise, or nothing.
    pub fn health(&self) -> Result<()> {
        let health = self.send("GET", "/health", None)?;
        ensure!(health.contains(r#""health":"true""#), "it says {health}");
        Ok(())
    }

    /// Returns the last `lines` lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }
}
