//! Processes as `/proc` shows them, known by id *and* start time, so that a process id which
//! the kernel has handed to somebody else is never taken for ours.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};

use crate::wait::eventually;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture Debian has.
const TICKS_PER_SECOND: u64 = 100;

/// A process: its id and when it started, in ticks after the machine's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    id: i32,
    started: u64,
}

/// What `/proc/PID/stat` says of a process, as far as the lab wants to know.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    state: char,
    parent: i32,
    cpu_ticks: u64,
    started: u64,
}

impl FromStr for Stat {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        // The name stands in brackets and may itself hold blanks and brackets.
        let (head, rest) = line.rsplit_once(") ").context("no name")?;
        let (_, name) = head.split_once(" (").context("no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |i: usize| -> Result<u64> { Ok(fields.get(i).context("too short")?.parse()?) };
        Ok(Self {
            name: name.to_owned(),
            state: fields.first().and_then(|s| s.chars().next()).context("no state")?,
            parent: fields.get(1).context("no parent")?.parse()?,
            cpu_ticks: number(11)? + number(12)?,
            started: number(19)?,
        })
    }
}

fn stat(id: i32) -> Option<Stat> {
    fs::read_to_string(format!("/proc/{id}/stat")).ok()?.parse().ok()
}

impl Process {
    /// Looks up the process that has `id` now; `None` when there is none.
    #[must_use]
    pub fn find(id: i32) -> Option<Self> {
        stat(id).map(|stat| Self { id, started: stat.started })
    }

    /// Returns its id in the machine's own process namespace.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Returns whether it runs: the id is still its own and it is no zombie.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.stat().is_some_and(|stat| stat.state != 'Z')
    }

    fn stat(&self) -> Option<Stat> {
        stat(self.id).filter(|stat| stat.started == self.started)
    }

    /// Sends `signal`, unless the process is gone.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than that it just ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match signal::kill(nix::unistd::Pid::from_raw(self.id), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot send {signal} to {self}")),
        }
    }

    /// Waits until it is gone.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait_gone(&self, limit: Duration) -> Result<()> {
        eventually(&format!("process {self} ends"), limit, || {
            if self.is_alive() { bail!("it runs") } else { Ok(()) }
        })
    }

    /// Returns its direct children that run, with their names (`comm`, cut at 15 bytes).
    #[must_use]
    pub fn children(&self) -> Vec<(Self, String)> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(|id| Some((id, stat(id)?)))
            .filter(|(_, stat)| stat.parent == self.id && stat.state != 'Z')
            .map(|(id, stat)| (Self { id, started: stat.started }, stat.name))
            .collect()
    }

    /// Returns the child called `name`, if it runs.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Self> {
        self.children().into_iter().find(|(_, comm)| comm == name).map(|(child, _)| child)
    }

    /// Returns the processor time it has used so far, in user and kernel mode together.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let ticks = self.stat()?.cpu_ticks;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// Returns its resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }
}

/// As it stands in the lab's pid files: `<id> <start>`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.started)
    }
}

impl FromStr for Process {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, started) = text.trim().split_once(' ').context("expected `<id> <start>`")?;
        Ok(Self { id: id.parse()?, started: started.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_blanks_are_read_whole() {
        let line = "7 (a) (b c) S 3 7 7 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 4711 1000 20 0";
        let stat: Stat = line.parse().unwrap();
        assert_eq!(stat.name, "a) (b c");
        assert_eq!((stat.parent, stat.cpu_ticks, stat.started), (3, 11, 4711));
    }

    #[test]
    fn a_reused_process_id_is_not_the_process() {
        let me = Process::find(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        let other = Process { started: me.started + 1, ..me };
        assert!(!other.is_alive());
    }

    #[test]
    fn a_process_survives_its_pid_file() {
        let me = Process::find(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(me.to_string().parse::<Process>().unwrap(), me);
        assert!("12".parse::<Process>().is_err());
    }
}
