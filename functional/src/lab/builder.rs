//! Describes a lab and brings it up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Lab, RECORD};
use crate::base::Base;
use crate::etcd::Member;
use crate::host::{HOST_KEYS, Host};
use crate::process::Process;
use crate::rootfs::{Plan, lay_out};
use crate::sandbox::{Lifetime, Sandbox, checked};
use crate::slot::Slot;

/// As many hosts as have addresses.
const MOST_HOSTS: u8 = 200;
/// As many as etcd's makers advise at most.
const MOST_MEMBERS: u8 = 7;

/// What a lab is to be made of.
#[derive(Debug, Clone)]
pub struct Builder {
    hosts: u8,
    etcd: u8,
    config: Vec<String>,
    fleet: bool,
    folder: Option<PathBuf>,
    binaries: Option<PathBuf>,
    release: Option<String>,
    lifetime: Lifetime,
}

impl Builder {
    pub(super) fn new(hosts: u8) -> Self {
        Self {
            hosts,
            etcd: 1,
            config: Vec::new(),
            fleet: true,
            folder: None,
            binaries: None,
            release: None,
            lifetime: Lifetime::Owner,
        }
    }

    /// Adds a line to every host's `fleet.conf`.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// Has `members` of etcd, each on an address of its own; there is one without this.
    #[must_use]
    pub fn etcd(mut self, members: u8) -> Self {
        self.etcd = members;
        self
    }

    /// Leaves fleet out: the hosts boot without it, and no binaries are needed.
    #[must_use]
    pub fn without_fleet(mut self) -> Self {
        self.fleet = false;
        self
    }

    /// Keeps the lab in `folder`, so that another process can take hold of it.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Takes `fleetd` and `fleetctl` from `folder`, not from the release build.
    #[must_use]
    pub fn binaries(mut self, folder: &Path) -> Self {
        self.binaries = Some(folder.to_owned());
        self
    }

    /// Makes hosts and etcd of this release of Debian, such as `trixie`, not of the machine's.
    #[must_use]
    pub fn release(mut self, release: &str) -> Self {
        self.release = Some(release.to_owned());
        self
    }

    /// Lets the lab stay when this process ends.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.lifetime = Lifetime::Detached;
        self
    }

    /// Brings the lab up: etcd healthy, all hosts booted, every fleetd knowing all machines.
    ///
    /// # Errors
    /// When anything is missing or doesn't come up. Nothing is left behind then.
    pub fn up(&self) -> Result<Lab> {
        ensure!((1..=MOST_HOSTS).contains(&self.hosts), "1 to {MOST_HOSTS} hosts are possible");
        ensure!((1..=MOST_MEMBERS).contains(&self.etcd), "1 to {MOST_MEMBERS} etcd are possible");
        crate::needs::check()?;
        crate::inotify::make_room(self.hosts)?;
        let base = Base::wanted(self.release.as_deref())?;
        let mut lab = Slot::claim(self.folder.as_deref(), |slot, folder| {
            let sandbox = self.sandbox(slot, folder, &base)?;
            let first = sandbox.first();
            // Ours until it is up: what was made is taken down when anything fails.
            let (size, base) = ((self.hosts, self.etcd), base.clone());
            Ok((Lab::assemble(sandbox, slot, folder, size, base, Lifetime::Owner), first))
        })?;
        self.furnish(&lab)?;
        lab.etcd.start()?;
        for host in &lab.hosts {
            host.boot()?;
        }
        for host in &lab.hosts {
            host.wait_ready()?;
        }
        if self.fleet
            && let Err(error) = lab.wait_for_machines()
        {
            return Err(error.context(lab.report()));
        }
        lab.lifetime = self.lifetime;
        Ok(lab)
    }

    /// Brings the lab up and tells `story` on it. When the story fails, by an error or by a
    /// panic, what the hosts and etcd logged goes to stderr.
    ///
    /// # Errors
    /// When the lab doesn't come up, or with the story's own.
    pub fn story(self, story: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
        let lab = self.up()?;
        story(&lab).inspect_err(|_| lab.print_report())
    }

    /// Makes the namespaces. This happens under the lock of the slots, so no more than this.
    fn sandbox(&self, slot: Slot, folder: &Path, base: &Base) -> Result<Sandbox> {
        let record = |first: Option<Process>| {
            let first = first.map(|first| first.to_string());
            let record = json!({
                "slot": slot.number(), "hosts": self.hosts, "etcd": self.etcd, "first": first,
                "base": base.record(),
            });
            fs::write(folder.join(RECORD), format!("{record}\n"))
        };
        record(None)?;
        let log = folder.join("sandbox.log");
        let sandbox = Sandbox::start(slot.address(1), self.lifetime, &log)?;
        record(Some(sandbox.first()))?;
        Ok(sandbox)
    }

    /// Puts keys, binaries and the hosts' file systems into the lab's folder.
    fn furnish(&self, lab: &Lab) -> Result<()> {
        let binaries = lab.folder.join("bin");
        fs::create_dir_all(&binaries)?;
        if self.fleet {
            self.copy_binaries(&binaries)?;
        }
        keygen("ed25519", &lab.folder.join("id"))?;
        lab.hosts.iter().try_for_each(|host| self.lay_out(host, lab))
    }

    fn lay_out(&self, host: &Host, lab: &Lab) -> Result<()> {
        fs::create_dir_all(&host.folder)?;
        for kind in HOST_KEYS {
            keygen(kind, &host.folder.join(format!("hostkey-{kind}")))?;
        }
        let servers: Vec<String> = lab.etcd.members().iter().map(Member::url).collect();
        let mut config = format!(
            "etcd_servers={servers:?}\npublic_ip={}\nmetadata=\"hostname={}\"\n",
            host.address, host.hostname
        );
        for line in &self.config {
            config.push_str(line);
            config.push('\n');
        }
        let plan = Plan {
            base: lab.base.root(),
            hostname: &host.hostname,
            machine_id: &host.machine_id,
            address: host.address,
            gateway: host.gateway,
            config: &config,
            user_key: &lab.folder.join("id.pub"),
            host_keys: HOST_KEYS.map(|kind| host.folder.join(format!("hostkey-{kind}"))),
            fleet: self.fleet,
        };
        lay_out(&host.root(), &plan)
    }

    /// A copy, so that a build in the meantime doesn't change what a running lab is made of.
    fn copy_binaries(&self, to: &Path) -> Result<()> {
        let from = self.binaries.clone().unwrap_or_else(release_folder);
        for name in ["fleetd", "fleetctl"] {
            let file = from.join(name);
            fs::copy(&file, to.join(name))
                .with_context(|| format!("{} is missing: run ./build.sh", file.display()))?;
        }
        Ok(())
    }
}

/// Makes a key without a passphrase.
fn keygen(kind: &str, file: &Path) -> Result<()> {
    let args = ["-q", "-t", kind, "-N", "", "-C", "lab", "-f"];
    checked(Command::new("ssh-keygen").args(args).arg(file))
}

/// Returns where `cargo build --release` leaves its binaries.
fn release_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("release")
}
