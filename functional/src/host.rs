//! A host of the lab: a systemd of its own with D-Bus, journald, sshd and fleet, on an address
//! of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::api::Api;
use crate::process::Process;
use crate::rootfs::{BINARIES, PATH, READY, SSHD_CONFIG, SSHD_KEYS};
use crate::sandbox::{Sandbox, checked, tail};
use crate::wait::eventually;

/// Longest time any command in a host may take. Waiting commands of fleetctl wait for ever.
const COMMAND_LIMIT: &str = "60";

/// A boot takes half a second, or a few when a build keeps the machine busy.
const BOOT_LIMIT: Duration = Duration::from_secs(30);

/// The kinds of keys that every host's sshd has. RSA takes long to make.
pub(crate) const HOST_KEYS: [&str; 2] = ["ed25519", "ecdsa"];

/// Boots the container with the rest of the arguments, once the network link of an earlier boot,
/// which the first names, is gone: the kernel takes its time. nspawn can't see by itself that
/// the systemd below a `/usr` yet to be bound knows cgroup v2.
const BOOT: &str = "link=$1; shift
for _ in $(seq 100); do ip link show $link >/dev/null 2>&1 || break; sleep 0.02; done
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn \"$@\"";

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// One run of a unit's process: two equal values are the same run, untouched in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The main process, as the host counts.
    pub pid: String,
    /// `ExecMainStartTimestampMonotonic`, in microseconds.
    pub started: String,
    /// systemd's id of this activation of the unit.
    pub invocation: String,
}

/// A host of the lab, whether it is running or not.
#[derive(Debug)]
pub struct Host {
    pub(crate) sandbox: Arc<Sandbox>,
    /// The host's folder: `fs/`, `console.log`, `nspawn.pid`.
    pub(crate) folder: PathBuf,
    /// The `/usr` that it boots on.
    pub(crate) usr: PathBuf,
    /// Folder of the binaries under test.
    pub(crate) binaries: PathBuf,
    pub(crate) hostname: String,
    /// Unique on the machine, and short: it becomes part of a network link's name.
    pub(crate) container: String,
    pub(crate) cgroup: String,
    pub(crate) machine_id: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    /// The addresses of etcd's members.
    pub(crate) etcd: Vec<Ipv4Addr>,
}

impl Host {
    /// Returns the host's name, `h1` for the first.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.hostname
    }

    /// Returns its machine id.
    #[must_use]
    pub fn machine_id(&self) -> &str {
        &self.machine_id
    }

    /// Returns its address in the lab's network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Starts the host. It has booted once [`Self::wait_ready`] says so.
    ///
    /// # Errors
    /// When it runs already or nspawn doesn't start.
    pub fn boot(&self) -> Result<()> {
        ensure!(self.nspawn().is_none(), "{} runs already", self.hostname);
        let link = format!("vb-{}", self.container);
        let usr = format!("--bind-ro={}:/usr", self.usr.display());
        let binaries = format!("--bind-ro={}:{BINARIES}", self.binaries.display());
        let root = self.root().display().to_string();
        let hostname = format!("--hostname={}", self.hostname);
        let args = [
            "sh",
            "-c",
            BOOT,
            "boot",
            &link,
            "--quiet",
            "--boot",
            "--directory",
            &root,
            "--machine",
            &self.container,
            &hostname,
            &usr,
            &binaries,
            "--network-bridge=br0",
            "--capability=all",
            "--link-journal=no",
            // The machine's first process need not be systemd.
            "--register=no",
            "--keep-unit",
        ];
        let process = self.sandbox.launch(&self.cgroup, &args, &self.console())?;
        fs::write(self.pid_file(), process.to_string())?;
        Ok(())
    }

    /// Waits until the host has booted: network, D-Bus and sshd are up.
    ///
    /// # Errors
    /// When it hasn't after 30 s: with the end of its console.
    pub fn wait_ready(&self) -> Result<()> {
        let boots = eventually(&format!("{} boots", self.hostname), BOOT_LIMIT, || {
            if self.nspawn().is_none() {
                return Ok(false); // It won't come back by itself: no use in waiting on.
            }
            ensure!(self.live_root()?.join(READY).exists(), "it hasn't reached multi-user");
            Ok(true)
        });
        let ready = boots.and_then(|up| if up { Ok(()) } else { bail!("the container ended") });
        ready.with_context(|| {
            format!("{}'s console ends in:\n{}", self.hostname, tail(&self.console(), 15))
        })
    }

    /// Cuts its power: nobody hears a goodbye, nothing is written.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn power_cut(&self) -> Result<()> {
        let init = self.init()?;
        let nspawn = self.nspawn().context("it doesn't run")?;
        // Its link first: the kernel closes a dying process's connections, which says goodbye.
        let link = ["-n", "ip", "link", "set", "host0", "down"];
        checked(Command::new("nsenter").args(["-t", &init.id().to_string()]).args(link))?;
        init.signal(Signal::SIGKILL)?;
        nspawn.wait_gone(Duration::from_secs(10))
    }

    /// Cuts it off from etcd: packets to and from there vanish. All else keeps working.
    ///
    /// # Errors
    /// When it doesn't run, or has no nftables.
    pub fn partition(&self) -> Result<()> {
        self.run(&["nft", "add table ip lab"])?;
        for (hook, side) in [("input", "saddr"), ("output", "daddr")] {
            let chain =
                format!("add chain ip lab {hook} {{ type filter hook {hook} priority 0; }}");
            self.run(&["nft", &chain])?;
            for etcd in &self.etcd {
                let rule = format!("add rule ip lab {hook} ip {side} {etcd} drop");
                self.run(&["nft", &rule])?;
            }
        }
        Ok(())
    }

    /// Ends what [`Self::partition`] began.
    ///
    /// # Errors
    /// When there is no partition.
    pub fn heal(&self) -> Result<()> {
        self.run(&["nft", "delete table ip lab"]).map(drop)
    }

    /// Returns a command that runs `program` in the host as root.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.init()?.id().to_string(), "-a", "--", "env", "-i"])
            .args([&format!("PATH={PATH}"), "HOME=/root", "LANG=C.UTF-8", program])
            .current_dir("/");
        Ok(command)
    }

    /// Runs a command in the host, for at most a minute, and returns what it did.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn output(&self, command: &[&str]) -> Result<Output> {
        let mut timed = self.command("timeout")?;
        let output = timed.arg(COMMAND_LIMIT).args(command).stdin(Stdio::null()).output()?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command in the host and returns its stdout.
    ///
    /// # Errors
    /// When the host doesn't run or the command fails: with all that it wrote.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let output = self.output(command)?;
        ensure!(output.code == Some(0), "{}: {command:?} gave {output:#?}", self.hostname);
        Ok(output.stdout)
    }

    /// Runs `fleetctl` in the host and returns its stdout.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn fleetctl(&self, args: &[&str]) -> Result<String> {
        self.run(&[&["fleetctl"], args].concat())
    }

    /// Returns a client of the host's API, over its unix socket.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn api(&self) -> Result<Api> {
        Ok(Api::unix(self.socket()?))
    }

    /// Returns the path of the API's unix socket, as the machine sees it.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn socket(&self) -> Result<PathBuf> {
        Ok(self.live_root()?.join("run/fleet.sock"))
    }

    /// Writes a file on the host.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.root().join(path.trim_start_matches('/'));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Restarts its sshd with `lines` before those that it always has: the first of a kind wins.
    /// Its own keys stay unless the lines name others.
    ///
    /// # Errors
    /// When it doesn't come up with them.
    pub fn sshd(&self, lines: &str) -> Result<()> {
        let keys = if lines.contains("HostKey") { "" } else { SSHD_KEYS };
        self.write("/etc/ssh/sshd_config", &format!("{lines}{keys}{SSHD_CONFIG}"))?;
        self.run(&["systemctl", "restart", "lab-sshd"])?;
        eventually("sshd listens", Duration::from_secs(10), || {
            self.run(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/22"]).map(drop)
        })
    }

    /// Returns the public keys of its sshd, `TYPE BASE64` each.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn host_keys(&self) -> Result<Vec<String>> {
        HOST_KEYS
            .iter()
            .map(|kind| {
                let file = self.folder.join(format!("hostkey-{kind}.pub"));
                let line = fs::read_to_string(&file)?;
                let words: Vec<&str> = line.split_whitespace().take(2).collect();
                Ok(words.join(" "))
            })
            .collect()
    }

    /// Returns properties of a unit, as the host's own systemd has them.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn show(&self, unit: &str, properties: &str) -> Result<BTreeMap<String, String>> {
        let text = self.run(&["systemctl", "show", "--property", properties, "--", unit])?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns the unit's current run.
    ///
    /// # Errors
    /// When the host's systemd doesn't have the unit active.
    pub fn active(&self, unit: &str) -> Result<Run> {
        const WANTED: &str = "ActiveState,MainPID,ExecMainStartTimestampMonotonic,InvocationID";
        let mut shown = self.show(unit, WANTED)?;
        let state = shown.get("ActiveState").map(String::as_str);
        ensure!(state == Some("active"), "{unit} on {} is {state:?}", self.hostname);
        let mut take = |name: &str| shown.remove(name).unwrap_or_default();
        Ok(Run {
            pid: take("MainPID"),
            started: take("ExecMainStartTimestampMonotonic"),
            invocation: take("InvocationID"),
        })
    }

    /// Checks that the host's systemd doesn't run the unit.
    ///
    /// # Errors
    /// When it does.
    pub fn not_active(&self, unit: &str) -> Result<()> {
        let shown = self.show(unit, "ActiveState")?;
        match shown.get("ActiveState").map(String::as_str) {
            Some("inactive" | "failed") => Ok(()),
            state => bail!("{unit} on {} is {state:?}", self.hostname),
        }
    }

    /// Returns the fleetd that runs on the host, as the machine counts processes.
    ///
    /// # Errors
    /// When there is none.
    pub fn fleetd(&self) -> Result<Process> {
        self.init()?.child("fleetd").with_context(|| format!("no fleetd on {}", self.hostname))
    }

    /// Returns the journal of `unit`, or its last `lines` lines; also while the host is down.
    #[must_use]
    pub fn journal(&self, unit: &str, lines: usize) -> String {
        let output = Command::new("journalctl")
            .args(["--no-pager", "--quiet", "--output=short-precise"])
            .arg(format!("--unit={unit}"))
            .arg(format!("--lines={lines}"))
            .arg("--directory")
            .arg(self.root().join("var/log/journal"))
            .output();
        match output {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("(no journal: {error})"),
        }
    }

    /// Returns whether the host is up.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.init().is_ok()
    }

    /// Returns the host's first process, its systemd.
    ///
    /// # Errors
    /// When the host doesn't run.
    pub fn init(&self) -> Result<Process> {
        let init = self.nspawn().and_then(|nspawn| nspawn.child("systemd"));
        init.with_context(|| format!("{} doesn't run", self.hostname))
    }

    /// Returns the container's process on the machine.
    fn nspawn(&self) -> Option<Process> {
        let process: Process = fs::read_to_string(self.pid_file()).ok()?.parse().ok()?;
        process.is_alive().then_some(process)
    }

    /// Returns the root as the host itself sees it, with its `/run`.
    fn live_root(&self) -> Result<PathBuf> {
        Ok(Path::new("/proc").join(self.init()?.id().to_string()).join("root"))
    }

    /// Returns the root on disk, which is there also when the host is down.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("fs")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("nspawn.pid")
    }
}
