//! What processes cost, as the kernel and etcd count it.

use std::{fs, time::Duration};

use serde::{Deserialize, Serialize};

/// Ticks of `/proc/<pid>/stat` in a second, on every Linux.
const TICKS: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Used {
    /// Seconds of a processor, in the kernel's ticks of ten milliseconds.
    pub(super) cpu: f64,
    /// Seconds of a processor, to the nanosecond, of the threads that there are.
    pub(super) ran: f64,
    /// How often one of these threads was put on a processor.
    pub(super) wakes: f64,
    /// The most memory it ever had, in MiB.
    pub(super) peak: f64,
    /// The memory that it has, in MiB.
    pub(super) resident: f64,
}

impl Used {
    /// By the process of this number; nothing where there is none.
    pub(super) fn by(pid: u32) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let (ran, wakes) = threads(pid);
        Self {
            cpu: ticks(&read("stat")).unwrap_or_default() / TICKS,
            ran,
            wakes,
            peak: mib(&status, "VmHWM:").unwrap_or_default(),
            resident: mib(&status, "VmRSS:").unwrap_or_default(),
        }
    }
}

/// User and system time of a process. Its name may have spaces and parentheses in it.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

fn mib(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// The time that threads really ran, and how often they were put on a processor.
fn threads(pid: u32) -> (f64, f64) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let all = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedule(&text)
    });
    all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn schedule(text: &str) -> Option<(f64, f64)> {
    let mut fields = text.split_ascii_whitespace();
    let ran: u64 = fields.next()?.parse().ok()?;
    let wakes = fields.nth(1)?.parse().ok()?;
    Some((Duration::from_nanos(ran).as_secs_f64(), wakes))
}

/// What etcd has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EtcdCounts {
    /// Entries of its log.
    pub proposals: f64,
    /// Bytes that clients sent.
    pub received: f64,
    /// Bytes that clients were sent.
    pub sent: f64,
    /// Watches that there are.
    pub watches: f64,
    /// The size of its database.
    pub database: f64,
}

impl EtcdCounts {
    /// What a page of its metrics says.
    pub(super) fn of(page: &str) -> Self {
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|line| line.trim().parse().ok()).unwrap_or_default()
        };
        Self {
            proposals: value("etcd_server_proposals_committed_total"),
            received: value("etcd_network_client_grpc_received_bytes_total"),
            sent: value("etcd_network_client_grpc_sent_bytes_total"),
            watches: value("etcd_debugging_mvcc_watcher_total"),
            database: value("etcd_mvcc_db_total_size_in_bytes"),
        }
    }

    /// What it counted since then. After a new start it counts anew.
    pub(super) fn since(&self, then: &Self) -> Self {
        let more = |now: f64, then: f64| if now >= then { now - then } else { now };
        Self {
            proposals: more(self.proposals, then.proposals),
            received: more(self.received, then.received),
            sent: more(self.sent, then.sent),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_understood() {
        let stat = "17 (a (b) c) S 1 17 17 0 -1 4194560 9 8 7 6 250 50 0 0 20 0 4 0 99";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(mib("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n", "VmHWM:"), Some(2.0));
        assert_eq!(schedule("1500000000 7 42\n"), Some((1.5, 42.0)));
        assert_eq!((ticks(""), mib("", "VmHWM:"), schedule("")), (None, None, None));
    }

    #[test]
    fn this_process_has_used_something() {
        let used = Used::by(std::process::id());
        assert!(used.peak >= used.resident && used.resident > 0.0, "{used:?}");
    }

    #[test]
    fn metrics_of_etcd_are_found_by_their_whole_name() {
        let page = "# TYPE x\netcd_server_proposals_committed_total 1.5e+03\n\
                    etcd_network_client_grpc_sent_bytes_total_of 1\n";
        let counts = EtcdCounts::of(page);
        assert_eq!((counts.proposals, counts.sent), (1_500.0, 0.0));
        let later = EtcdCounts { proposals: 2_000.0, ..counts };
        assert_eq!(later.since(&counts).proposals, 500.0);
        assert_eq!(counts.since(&later).proposals, 1_500.0, "it was started anew");
    }
}
