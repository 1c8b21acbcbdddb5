//! A laptop beside the lab: a network namespace of its own with a way to one host and to nothing
//! else, a home folder, and an SSH agent if wanted. It has no fleet but `fleetctl`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::cable;
use crate::host::{Host, Output};
use crate::process::Process;
use crate::sandbox::{Sandbox, checked};
use crate::slot::Slot;
use crate::terminal::Terminal;
use crate::wait::eventually;

/// Last number of its address in the lab's network.
const ADDRESS: u8 = 250;
/// Longest time a command may take.
const COMMAND_LIMIT: &str = "60";
/// Longest time its small parts may take to be there.
const SOON: Duration = Duration::from_secs(10);

/// A laptop.
#[derive(Debug)]
pub struct Laptop {
    sandbox: Arc<Sandbox>,
    folder: PathBuf,
    binaries: PathBuf,
    cgroup: String,
    /// Holds its network namespace.
    first: Process,
    near: String,
    agent: Option<Process>,
}

impl Laptop {
    /// Takes hold of the one that is there, or sets one up that reaches `near`.
    pub(crate) fn open(
        sandbox: &Arc<Sandbox>,
        slot: Slot,
        folder: &Path,
        near: &Host,
    ) -> Result<Self> {
        let folder = folder.join("laptop");
        fs::create_dir_all(folder.join("home/.ssh"))?;
        let cgroup = format!("{}/laptop", slot.cgroup());
        let pid_file = folder.join("pid");
        let known: Option<Process> =
            fs::read_to_string(&pid_file).ok().and_then(|text| text.parse().ok());
        let known = known.filter(Process::is_alive);
        let first = match known {
            Some(first) => first,
            None => {
                let command = ["unshare", "--net", "sleep", "infinity"];
                sandbox.launch(&cgroup, &command, &folder.join("laptop.log"))?
            }
        };
        let laptop = Self {
            sandbox: Arc::clone(sandbox),
            binaries: near.binaries.clone(),
            near: near.address().to_string(),
            cgroup,
            folder,
            first,
            agent: None,
        };
        if known.is_none() {
            laptop.link(slot)?;
            fs::write(pid_file, first.to_string())?;
        }
        Ok(laptop)
    }

    /// Lays a cable to the lab's bridge, with a route to one host.
    fn link(&self, slot: Slot) -> Result<()> {
        cable::lay(self.sandbox.first(), "lap0", self.first, (slot.address(ADDRESS), 32))?;
        let near = format!("{}/32", self.near);
        cable::ip(self.first, &["route", "add", &near, "dev", "eth0"])
    }

    /// The home folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Writes a file below the home folder, for its owner only.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.home().join(path);
        fs::create_dir_all(file.parent().context("a file")?)?;
        fs::write(&file, text)?;
        Ok(fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?)
    }

    /// Makes a key below the home folder and returns its public line. `passphrase` may be empty.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn keygen(&self, path: &str, kind: &str, passphrase: &str) -> Result<String> {
        let file = self.home().join(path);
        let args = ["-q", "-t", kind, "-N", passphrase, "-C", path, "-f"];
        checked(Command::new("ssh-keygen").args(args).arg(&file))?;
        Ok(fs::read_to_string(file.with_extension("pub"))?)
    }

    /// Lets whoever has the key with this public line log in to `host` as root.
    ///
    /// # Errors
    /// When it can't be written there.
    pub fn authorize(&self, line: &str, host: &Host) -> Result<()> {
        let file = host.root().join("root/.ssh/authorized_keys");
        let known = fs::read_to_string(&file)?;
        Ok(fs::write(&file, format!("{known}{line}"))?)
    }

    /// Writes down the keys of `hosts`, so that fleetctl knows them.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn know(&self, hosts: &[Host]) -> Result<()> {
        let mut lines = String::new();
        for host in hosts {
            for line in host.host_keys()? {
                lines.push_str(&format!("{} {line}\n", host.address()));
            }
        }
        self.write(".fleetctl/known_hosts", &lines)
    }

    /// Starts an SSH agent with the keys in these files below the home folder. From now on
    /// commands find it.
    ///
    /// # Errors
    /// When it doesn't start or takes none of the keys.
    pub fn start_agent(&mut self, keys: &[&str]) -> Result<()> {
        let socket = self.socket().display().to_string();
        let command = ["ssh-agent", "-D", "-a", &socket];
        let cgroup = format!("{}-agent", self.cgroup);
        self.agent = Some(self.sandbox.launch(&cgroup, &command, &self.log())?);
        eventually("the agent listens", SOON, || {
            // Its socket is there before it listens.
            UnixStream::connect(self.socket())?;
            Ok(())
        })?;
        for key in keys {
            let file = self.home().join(key);
            checked(self.command("ssh-add").arg("-q").arg(file))?;
        }
        Ok(())
    }

    /// Ends the agent.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop_agent(&mut self) -> Result<()> {
        let agent = self.agent.take().context("there is none")?;
        agent.signal(Signal::SIGTERM)?;
        agent.wait_gone(SOON)
    }

    /// The socket of its agent.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// A command that runs on the laptop: in its network, with its home, and with nothing of
    /// this process's environment. The user `root` is that of the hosts too.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first.id().to_string(), "-n", "-m", "-p", "--"]);
        command.args(self.environment()).arg(program);
        command
    }

    fn environment(&self) -> Vec<String> {
        let mut words = vec!["env".into(), "-i".into()];
        words.push(format!("PATH={}:/usr/bin:/bin", self.binaries.display()));
        words.push("TERM=xterm-256color".into());
        words.push(format!("HOME={}", self.home().display()));
        words.push("FLEETCTL_SSH_USERNAME=root".into());
        if self.agent.is_some() {
            words.push(format!("SSH_AUTH_SOCK={}", self.socket().display()));
        }
        words
    }

    /// Runs `fleetctl` with `input` as its stdin, for at most a minute.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn fleetctl(&self, args: &[&str], input: &str) -> Result<Output> {
        self.output(&[&["fleetctl"], args].concat(), input)
    }

    /// Runs `fleetctl` through the tunnel.
    ///
    /// # Errors
    /// When it can't be run, or fails: with all that it wrote.
    pub fn tunnelled(&self, args: &[&str]) -> Result<String> {
        let output = self.fleetctl(&[&["--tunnel", &self.near], args].concat(), "")?;
        ensure!(output.code == Some(0), "{args:?} gave {output:#?}");
        Ok(output.stdout)
    }

    /// Runs a command with `input` as its stdin, for at most a minute.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn output(&self, command: &[&str], input: &str) -> Result<Output> {
        let stdin = self.folder.join("stdin");
        fs::write(&stdin, input)?;
        let mut timed = self.command("timeout");
        timed.arg(COMMAND_LIMIT).args(command).stdin(fs::File::open(&stdin)?);
        let output = timed.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command on a terminal of its own.
    ///
    /// # Errors
    /// When there is no terminal to be had.
    pub fn terminal(&self, command: &[&str]) -> Result<Terminal> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["-t", &self.first.id().to_string(), "-n", "-m", "-p", "--"]);
        // Here, in the process namespace of the lab, it leads no group, so it need not fork.
        nsenter.args(["setsid", "--ctty"]).args(self.environment()).args(command);
        Terminal::run(nsenter)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("laptop.log")
    }
}
