//! What `GET /metrics` shows, and under which names (`api.md` 8).

use std::fmt;

use fleet_agent::StandingHandle;
use fleet_api::{Buckets, Family, Label, MetricsSource, Samples};
use fleet_core::MachineStanding;
use fleet_engine::{ByAction, SharedMetrics};
use fleet_registry::{BUCKETS, FileMetrics, Histogram, OperationMetrics, Registry};

use crate::logging::Queue;

mod process;

/// Gathers what the parts of this process have counted.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    /// Nothing with `disable_engine`, unless there was an engine before.
    pub(crate) engine: SharedMetrics,
    pub(crate) log: Queue,
    /// How this machine stands.
    pub(crate) standing: StandingHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl MetricsSource for Metrics {
    fn families(&self) -> Vec<Family> {
        let mut families = engine_families(&self.engine.read());
        families.extend(registry_families(&self.registry.file_metrics()));
        families.push(log_family(self.log.dropped()));
        families.push(standing_family(self.standing.now()));
        families.extend(process::families());
        families
    }
}

fn engine_families(engine: &fleet_engine::Metrics) -> Vec<Family> {
    let failures = [
        ("machine_away", engine.machines_away),
        ("run", engine.unable_to_run),
        ("schedule", engine.unplaced),
    ];
    let long = engine.long_pass.iter();
    vec![
        Family {
            name: "fleet_engine_brake",
            help: "Whether nobody is taken for dead, as many machines are gone at once.",
            samples: Samples::Gauges(vec![(None, f64::from(engine.is_braked))]),
        },
        Family {
            name: "fleet_engine_brake_count_total",
            help: "Counter of times that many machines were gone at once.",
            samples: Samples::Counters(vec![(None, number(engine.brakes))]),
        },
        Family {
            name: "fleet_engine_leader_start_time",
            help: "Start time of becoming an engine leader since epoch in seconds.",
            samples: Samples::Gauges(vec![(None, number(engine.leader_start_time))]),
        },
        Family {
            name: "fleet_engine_machines_missing",
            help: "Machines that are gone and not taken for dead (yet).",
            samples: Samples::Gauges(vec![(None, number(engine.missing_machines))]),
        },
        Family {
            name: "fleet_engine_reconcile_count_total",
            help: "Counter of reconciliation rounds.",
            samples: Samples::Counters(vec![(None, number(engine.passes))]),
        },
        Family {
            name: "fleet_engine_reconcile_duration_second",
            help: "Histogram of time (in seconds) each reconciliation round takes.",
            samples: Samples::Histograms(vec![(None, buckets(&engine.durations))]),
        },
        Family {
            name: "fleet_engine_reconcile_failure_count_total",
            help: "Counter of units that a reconciliation round found amiss, by what is.",
            samples: used("type", failures),
        },
        Family {
            name: "fleet_engine_reconcile_long_seconds",
            help: "How long the reconciliation round that takes long has taken, by the unit it is at.",
            samples: Samples::Gauges(
                long.map(|pass| (label("unit", &pass.unit), pass.time.as_secs_f64())).collect(),
            ),
        },
        Family {
            name: "fleet_engine_reconcile_unfinished_count_total",
            help: "Counter of reconciliation rounds that went on in the next one.",
            samples: Samples::Counters(vec![(None, number(engine.unfinished_passes))]),
        },
        Family {
            name: "fleet_engine_task_count_total",
            help: "Counter of engine tasks executed, with success or not.",
            samples: used("type", by_action(engine.tasks)),
        },
        Family {
            name: "fleet_engine_task_failure_count_total",
            help: "Counter of engine tasks that failed.",
            samples: used("type", by_action(engine.task_failures)),
        },
    ]
}

fn log_family(dropped: u64) -> Family {
    Family {
        name: "fleet_log_lines_dropped_total",
        help: "Counter of log lines that were dropped, since the log did not take them.",
        samples: Samples::Counters(vec![(None, number(dropped))]),
    }
}

/// 1 for how the machine stands, 0 for how it doesn't.
fn standing_family(now: MachineStanding) -> Family {
    let sample = |standing: MachineStanding| {
        (label("standing", standing.word()), number(u64::from(standing == now)))
    };
    Family {
        name: "fleet_agent_standing",
        help: "Whether this machine takes units that it does not have (in-service), or why not.",
        samples: Samples::Gauges(MachineStanding::ALL.map(sample).to_vec()),
    }
}

fn by_action(counts: ByAction) -> [(&'static str, u64); 2] {
    [("attemptscheduleunit", counts.schedule), ("unscheduleunit", counts.unschedule)]
}

fn registry_families(files: &FileMetrics) -> Vec<Family> {
    let operations = [("get", &files.get), ("get_all", &files.get_all), ("set", &files.set)];
    let counts = |of: fn(&OperationMetrics) -> u64| {
        used("type", operations.map(|(name, operation)| (name, of(operation))))
    };
    let durations = operations
        .into_iter()
        .filter(|(_, operation)| operation.count > operation.failed)
        .map(|(name, operation)| (label("ops", name), buckets(&operation.durations)));
    vec![
        Family {
            name: "fleet_registry_operation_count_total",
            help: "Counter of registry operations on unit files.",
            samples: counts(|operation| operation.count),
        },
        Family {
            name: "fleet_registry_operation_duration_second",
            // The label is `ops` here and `type` elsewhere, as dashboards have it.
            help: "Histogram of time (in seconds) each successful registry operation takes.",
            samples: Samples::Histograms(durations.collect()),
        },
        Family {
            name: "fleet_registry_operation_failed_count_total",
            help: "Counter of registry operations on unit files that failed.",
            samples: counts(|operation| operation.failed),
        },
    ]
}

/// Counters with a label; those that never counted anything aren't shown.
fn used<const N: usize>(name: &'static str, counts: [(&'static str, u64); N]) -> Samples {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    Samples::Counters(counts.map(|(value, count)| (label(name, value), number(count))).collect())
}

fn label(name: &'static str, value: &str) -> Option<Label> {
    Some(Label { name, value: value.to_owned() })
}

fn buckets(histogram: &Histogram) -> Buckets {
    let [bounded @ .., beyond] = histogram.counts;
    let bounded = BUCKETS.into_iter().zip(bounded).collect();
    Buckets { bounded, beyond, sum: histogram.sum }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
