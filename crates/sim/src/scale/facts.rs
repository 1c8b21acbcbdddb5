//! What the machine is that a run takes place on, and what it allows.

use std::{fs, process::Command};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::report::Host;

/// Allows this process, and those that it starts, as many open files as the kernel lets it.
pub(super) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it fails, connections will, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The machine.
pub(super) fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let kib = value(&memory, "MemTotal:").and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
    let etcd = Command::new("etcd").arg("--version").output();
    let etcd = etcd.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
    Host {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        model: value(&cpu, "model name").unwrap_or_default(),
        memory: kib.unwrap_or_default() / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        etcd: value(&etcd, "etcd Version:").unwrap_or_default(),
        release: !cfg!(debug_assertions),
    }
}

/// What follows a word at the beginning of a line.
fn value(text: &str, word: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let host = host();
        assert!(host.processors > 0 && host.memory > 0 && !host.kernel.is_empty(), "{host:?}");
        assert_eq!(value("a: 1\nmodel name\t: x y\n", "model name").as_deref(), Some("x y"));
    }
}
