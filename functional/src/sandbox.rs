//! The namespaces that a lab lives in.
//!
//! One small process is the first of a process namespace of its own, with a network and a mount
//! namespace to go with it. Everything of the lab runs in there. When that process ends the
//! kernel ends all the rest, so taking a lab down is one signal to one process, and nothing of
//! it can stay behind. It ends by itself when its owner does: it reads from a pipe whose
//! other end only the owner holds, and the kernel closes that however the owner died.
//!
//! Inside, `/sys/fs/cgroup` is a plain cgroup v2 tree, whatever the machine itself has mounted.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::process::Process;
use crate::wait::eventually;

/// What the first process does before it says `ready`. `/run/systemd` is hidden from the machine
/// because nspawn leaves marks of its containers there. The bridge gets an address to keep: by
/// itself it takes one of its ports', and when that host died all others lost etcd for a second.
const FIRST: &str = "set -e
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
ip link set lo up
ip link add br0 address 02:00:00:00:00:01 type bridge
ip addr add $1/24 dev br0
ip link set br0 up
echo ready
exec $2 >/dev/null 2>&1";

/// Runs the rest of its arguments in the cgroup that the first names, made anew.
const IN_CGROUP: &str = "set -e
cgroup=/sys/fs/cgroup/$1; shift
mkdir -p $cgroup
find $cgroup -mindepth 1 -depth -type d -exec rmdir {} +
echo 0 > $cgroup/cgroup.procs
exec \"$@\"";

/// Who ends a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It ends with the process that made it, at the latest.
    Owner,
    /// It stays until somebody takes it down.
    Detached,
}

/// What to do to the processes of a cgroup, with the kernel's number for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Freeze {
    Thaw = 0,
    Freeze = 1,
}

/// The namespaces of a running lab.
#[derive(Debug)]
pub(crate) struct Sandbox {
    first: Process,
    /// What this process has started, to be waited for at the end. The first of them, if the
    /// lab is ours, holds the pipe.
    started: Mutex<Vec<Child>>,
}

impl Sandbox {
    /// Makes the namespaces, with a bridge `br0` that has `gateway` as its address.
    ///
    /// # Errors
    /// When a namespace can't be made: no root, or a kernel without one of the parts.
    pub(crate) fn start(gateway: Ipv4Addr, lifetime: Lifetime, log: &Path) -> Result<Self> {
        let (stdin, keeper) = match lifetime {
            Lifetime::Owner => (Stdio::piped(), "cat"),
            Lifetime::Detached => (Stdio::null(), "sleep infinity"),
        };
        let mut unshare = Command::new("setsid")
            .args(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"])
            .args(["--mount-proc", "--propagation", "slave", "sh", "-c", FIRST, "lab"])
            .args([&gateway.to_string(), keeper])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .context("cannot run setsid and unshare (Debian: util-linux)")?;
        let mut line = String::new();
        if let Some(stdout) = unshare.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let parent = i32::try_from(unshare.id()).ok().and_then(Process::find);
        let first = parent.and_then(|parent| parent.children().pop());
        match first {
            Some((first, _)) if line.trim() == "ready" => {
                Ok(Self { first, started: Mutex::new(vec![unshare]) })
            }
            _ => {
                unshare.kill().ok();
                unshare.wait()?;
                bail!("cannot make the namespaces: {}", fs::read_to_string(log)?.trim())
            }
        }
    }

    /// Takes hold of a sandbox that another process made.
    #[must_use]
    pub(crate) fn open(first: Process) -> Self {
        Self { first, started: Mutex::new(Vec::new()) }
    }

    /// Returns the first process, whose end is the end of the lab.
    #[must_use]
    pub(crate) fn first(&self) -> Process {
        self.first
    }

    /// Returns a command that runs `program` inside, seeing the machine's files.
    #[must_use]
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        // Not `ip netns exec`: it mounts a /sys of its own, which hides the cgroups.
        command.args(["-t", &self.first.id().to_string(), "-n", "-m", "-p", "--", program]);
        command
    }

    /// Starts `command` inside, in a session and a cgroup of its own and writing to `log`, and
    /// returns its process. It runs until the sandbox ends, also when this process ends earlier.
    ///
    /// # Errors
    /// When it can't be started or ends at once.
    pub(crate) fn launch(&self, cgroup: &str, command: &[&str], log: &Path) -> Result<Process> {
        let program = command.first().context("no command")?;
        let output = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new("setsid")
            .args(["nsenter", "-t", &self.first.id().to_string(), "-n", "-m", "-p", "--"])
            .args(["sh", "-c", IN_CGROUP, "launch", cgroup])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let outer = i32::try_from(child.id()).ok().and_then(Process::find);
        // nsenter forks to get into the process namespace; the child is what was asked for.
        let inner = eventually(&format!("{program} starts"), Duration::from_secs(5), || {
            if let Some(status) = child.try_wait()? {
                return Err(anyhow!("{program} ended with {status}: {}", tail(log, 5)));
            }
            let children = outer.map(|outer| outer.children()).unwrap_or_default();
            children.first().map(|(inner, _)| *inner).context("not yet")
        });
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        inner
    }

    /// Stops every process of a cgroup where it is, or lets them go on. Unlike by a signal, their
    /// parents aren't told.
    ///
    /// # Errors
    /// When there is no such cgroup.
    pub(crate) fn freeze(&self, cgroup: &str, freeze: Freeze) -> Result<()> {
        let script = format!("echo {} > /sys/fs/cgroup/{cgroup}/cgroup.freeze", freeze as u8);
        checked(self.command("sh").args(["-c", &script]))
    }

    /// Connects to `address` from inside the lab's network.
    ///
    /// # Errors
    /// When nothing answers there.
    pub(crate) fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.first.id()))?;
        // A socket belongs to the namespace it was made in; only this thread goes there.
        let connected = thread::spawn(move || -> Result<TcpStream> {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(TcpStream::connect_timeout(&address, Duration::from_secs(2))?)
        });
        let stream = connected.join().map_err(|_| anyhow!("the connecting thread panicked"))?;
        stream.with_context(|| format!("cannot connect to {address} in the lab"))
    }

    /// Ends everything inside.
    pub(crate) fn end(&self) {
        // A refusal can only mean that it isn't ours to end, and Drop has nobody to tell.
        self.first.signal(Signal::SIGKILL).ok();
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        for mut child in started.drain(..) {
            child.wait().ok();
        }
        self.first.wait_gone(Duration::from_secs(10)).ok();
    }
}

/// Runs a command of the machine to its end; `Err` with its stderr unless it succeeds.
pub(crate) fn checked(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", stderr.trim());
    Ok(())
}

/// Returns the last `lines` lines of a file, or why there are none.
#[must_use]
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    match fs::read(file) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("({}: {error})", file.display()),
    }
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_never_longer_than_the_text() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }
}
