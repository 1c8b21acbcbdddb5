//! What Linux says of this process (proc(5)): the usual `process_*` metrics.
//!
//! Each is left out where it can't be read, as in a mount namespace without `/proc`.

use std::fs;

use fleet_api::{Family, Samples};

/// Ticks of a second in what `/proc` says (`USER_HZ`): the same on all that fleet runs on.
const TICKS: f64 = 100.0;

/// Where in `/proc/self/stat` the time spent in user and kernel mode, and the start, are; counted
/// from the field after the process' name, which may hold blanks.
const USER_TIME: usize = 11;
const KERNEL_TIME: usize = 12;
const START: usize = 19;

pub(super) fn families() -> Vec<Family> {
    let stat = read("/proc/self/stat");
    let status = read("/proc/self/status");
    let limits = read("/proc/self/limits");
    let system = read("/proc/stat");
    let open = fs::read_dir("/proc/self/fd").ok().and_then(|fds| {
        // One of them is the folder itself.
        u32::try_from(fds.count().saturating_sub(1)).ok()
    });
    let counter = |value| Samples::Counters(vec![(None, value)]);
    let gauge = |value| Samples::Gauges(vec![(None, value)]);
    let family = |name, help, samples: Option<Samples>| {
        samples.map(|samples| Family { name, help, samples })
    };
    [
        family(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            cpu_seconds(&stat).map(counter),
        ),
        family(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            max_fds(&limits).map(gauge),
        ),
        family(
            "process_open_fds",
            "Number of open file descriptors.",
            open.map(|open| gauge(f64::from(open))),
        ),
        family(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            memory(&status, "VmRSS:").map(gauge),
        ),
        family(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            start_time(&stat, &system).map(gauge),
        ),
        family(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            memory(&status, "VmSize:").map(gauge),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A number of `/proc/self/stat`, counted from behind the name.
fn field(stat: &str, index: usize) -> Option<f64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(index)?.trim().parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, USER_TIME)? + field(stat, KERNEL_TIME)?) / TICKS)
}

/// When the machine started and how long after that the process did.
fn start_time(stat: &str, system: &str) -> Option<f64> {
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + field(stat, START)? / TICKS)
}

fn memory(status: &str, key: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: f64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The soft limit; none is infinite.
fn max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (fleet d) (x) S 1 4711 4711 0 -1 4194560 1204 0 3 0 150 25 0 0 20 0 3 0 8200 231000000 5000 18446744073709551615 1 1\n";

    #[test]
    fn proc_is_understood() {
        assert_eq!(cpu_seconds(STAT), Some(1.75));
        assert_eq!(start_time(STAT, "cpu 1 2\nbtime 1795361000\n"), Some(1_795_361_082.0));
        let status = "Name:\tfleetd\nVmSize:\t  225000 kB\nVmRSS:\t   12000 kB\n";
        assert_eq!(memory(status, "VmRSS:"), Some(12_288_000.0));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n";
        assert_eq!(max_fds(limits), Some(1024.0));
        assert_eq!(max_fds("Max open files   unlimited   unlimited  files"), Some(f64::INFINITY));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for broken in ["", "4711 (fleetd", "4711 (fleetd) S 1 2", "VmRSS:", "Max open files"] {
            assert_eq!(cpu_seconds(broken), None);
            assert_eq!(start_time(broken, "btime 1"), None);
            assert_eq!(start_time(STAT, broken), None);
            assert_eq!(memory(broken, "VmRSS:"), None);
            assert_eq!(max_fds(broken), None);
        }
    }

    #[test]
    fn this_process_is_measured() {
        let families = families();
        let names: Vec<&str> = families.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(names.is_sorted(), "{names:?}");
    }
}
