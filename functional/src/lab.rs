//! A lab: etcd and a number of hosts in namespaces of their own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::api::State;
use crate::base::Base;
use crate::etcd::Etcd;
use crate::host::Host;
use crate::laptop::Laptop;
use crate::process::Process;
use crate::sandbox::{Lifetime, Sandbox, tail};
use crate::slot::Slot;
use crate::wait::eventually;

mod builder;

pub use builder::Builder;

/// The file in a lab's folder that says what the lab is made of.
pub(crate) const RECORD: &str = "lab.json";
/// Last number of the first host's address; the bridge and an only etcd have 1, others 2 and so on.
const FIRST_ADDRESS: u8 = 11;

/// A running lab. Dropping one that ends with its owner takes it down.
#[derive(Debug)]
pub struct Lab {
    sandbox: Arc<Sandbox>,
    slot: Slot,
    folder: PathBuf,
    base: Base,
    etcd: Etcd,
    hosts: Vec<Host>,
    lifetime: Lifetime,
}

impl Lab {
    /// Begins the description of a lab with `hosts` hosts, which ends with this process.
    #[must_use]
    pub fn with_hosts(hosts: u8) -> Builder {
        Builder::new(hosts)
    }

    /// Takes hold of the detached lab in `folder`.
    ///
    /// # Errors
    /// When there is none, or it has ended.
    pub fn open(folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(folder.join(RECORD))
            .with_context(|| format!("there is no lab in {}", folder.display()))?;
        let record: Value = serde_json::from_str(&text)?;
        let number = |key: &str| -> Result<u8> {
            let number = record.get(key).and_then(Value::as_u64);
            u8::try_from(number.with_context(|| format!("no {key}"))?).context("too large")
        };
        let first = record.get("first").and_then(Value::as_str).context("it never came up")?;
        let first: Process = first.parse()?;
        ensure!(first.is_alive(), "the lab in {} has ended", folder.display());
        let slot = Slot::open(number("slot")?);
        let sandbox = Sandbox::open(first);
        // A lab from before there could be several.
        let members = number("etcd").unwrap_or(1);
        let size = (number("hosts")?, members);
        let base = Base::recorded(&record);
        Ok(Self::assemble(sandbox, slot, folder, size, base, Lifetime::Detached))
    }

    /// Takes it down, and with it all it has left on the disk.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn down(mut self) -> Result<()> {
        self.lifetime = Lifetime::Detached;
        self.end()
    }

    fn end(&self) -> Result<()> {
        self.sandbox.end();
        self.slot.release(&self.folder)
    }

    fn assemble(
        sandbox: Sandbox,
        slot: Slot,
        folder: &Path,
        (hosts, members): (u8, u8),
        base: Base,
        lifetime: Lifetime,
    ) -> Self {
        let sandbox = Arc::new(sandbox);
        let etcd = Etcd::new(&sandbox, folder, slot, members, &base);
        let host = |i: u8| Host {
            sandbox: Arc::clone(&sandbox),
            folder: folder.join(format!("h{i}")),
            usr: base.usr(),
            binaries: folder.join("bin"),
            hostname: format!("h{i}"),
            container: format!("fl{}h{i}", slot.number()),
            cgroup: format!("{}/h{i}", slot.cgroup()),
            machine_id: machine_id(slot, i),
            address: slot.address(FIRST_ADDRESS - 1 + i),
            gateway: slot.address(1),
            etcd: etcd.addresses(),
        };
        Self {
            hosts: (1..=hosts).map(host).collect(),
            etcd,
            slot,
            folder: folder.to_owned(),
            base,
            lifetime,
            sandbox,
        }
    }

    /// Returns host number `i`, counted from 1.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn host(&self, i: usize) -> Result<&Host> {
        let host = i.checked_sub(1).and_then(|i| self.hosts.get(i));
        host.with_context(|| format!("there is no host {i}, only 1 to {}", self.hosts.len()))
    }

    /// Returns the host with this machine id.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn host_with_id(&self, id: &str) -> Result<&Host> {
        let host = self.hosts.iter().find(|host| host.machine_id == id);
        host.with_context(|| format!("no host has the machine id {id:?}"))
    }

    /// Returns all hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Returns the lab's etcd.
    #[must_use]
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Returns the lab's laptop. The first call sets it up so that it reaches `near` and nothing
    /// else.
    ///
    /// # Errors
    /// When it can't be set up.
    pub fn laptop(&self, near: &Host) -> Result<Laptop> {
        Laptop::open(&self.sandbox, self.slot, &self.folder, near)
    }

    /// Returns the laptop with an agent whose key every host takes, and with all hosts known.
    ///
    /// # Errors
    /// When it can't be set up.
    pub fn trusted_laptop(&self, near: &Host) -> Result<Laptop> {
        let mut laptop = self.laptop(near)?;
        let line = laptop.keygen("key", "ed25519", "")?;
        self.hosts.iter().try_for_each(|host| laptop.authorize(&line, host))?;
        laptop.know(&self.hosts)?;
        laptop.start_agent(&["key"])?;
        Ok(laptop)
    }

    /// Returns a command that runs in the lab's network, outside its hosts.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.sandbox.command(program)
    }

    /// Returns the folder that holds all the lab has on disk; `id` in it is root's SSH key.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the release of Debian that its hosts and its etcd are of, unless it is the
    /// machine's own.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.base.release()
    }

    /// Waits until every host's fleetd lists all hosts as machines.
    ///
    /// # Errors
    /// When one doesn't within 30 s.
    pub fn wait_for_machines(&self) -> Result<()> {
        let mut ids: Vec<_> = self.hosts.iter().map(|host| host.machine_id.clone()).collect();
        ids.sort_unstable();
        for host in &self.hosts {
            let what = format!("fleetd on {} lists all machines", host.hostname);
            eventually(&what, Duration::from_secs(30), || {
                let machines = host.api()?.machines()?;
                ensure!(machines == ids, "it lists {machines:?}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Returns the host whose fleetd leads the cluster, by what it tells its systemd.
    ///
    /// # Errors
    /// When none or several do for 30 s.
    pub fn leader(&self) -> Result<&Host> {
        let leads = |host: &&Host| -> bool {
            let shown = host.show("fleet.service", "StatusText").unwrap_or_default();
            shown.get("StatusText").is_some_and(|text| text.contains("leading"))
        };
        eventually("one fleetd leads", Duration::from_secs(30), || {
            let leading: Vec<&Host> = self.hosts.iter().filter(leads).collect();
            match leading.as_slice() {
                [leader] => Ok(*leader),
                others => bail!("{} say that they do", others.len()),
            }
        })
    }

    /// Waits until `wanted` holds of the states that the first running host's API reports.
    ///
    /// # Errors
    /// When it doesn't within `limit`: with the states as they were last.
    pub fn wait_for_states(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[State]) -> bool,
    ) -> Result<Vec<State>> {
        eventually(what, limit, || {
            let host = self.hosts.iter().find(|host| host.is_running());
            let states = host.context("no host runs")?.api()?.states()?;
            if wanted(&states) { Ok(states) } else { bail!("states are {states:#?}") }
        })
    }

    /// Returns what one wants to read when something went wrong: the end of every log.
    #[must_use]
    pub fn report(&self) -> String {
        let mut report = String::new();
        for host in &self.hosts {
            let state = if host.is_running() { "running" } else { "down" };
            report.push_str(&format!(
                "\n--- {} ({state}), machine {}\n",
                host.hostname, host.machine_id
            ));
            let journal = host.journal("fleet.service", 60);
            if journal.trim().is_empty() {
                report.push_str(&tail(&host.console(), 15));
            }
            report.push_str(&journal);
        }
        report.push_str("\n--- etcd\n");
        report.push_str(&self.etcd.log_tail(15));
        report
    }

    #[expect(clippy::print_stderr, reason = "where the test harness looks for it")]
    fn print_report(&self) {
        eprintln!("{}", self.report());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Detached {
            return;
        }
        if std::thread::panicking() {
            self.print_report();
        }
        // What can't be removed now is removed by the slot's next holder.
        self.end().ok();
    }
}

/// Returns the id of host `i`: like a real one to look at, and the same on every run.
fn machine_id(slot: Slot, i: u8) -> String {
    let half = |salt: &str| {
        let mut hasher = DefaultHasher::new();
        (salt, slot.number(), i).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half("high"), half("low"))
}
