//! The figures of a run, as they are written to JSON and shown as a table.

mod table;

use serde::{Deserialize, Serialize};

use super::{
    options::{Options, Part},
    usage::EtcdCounts,
};

/// A whole run. Readers ignore what they don't know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When it began, in seconds of Unix time.
    pub at: u64,
    /// On what it ran.
    pub host: Host,
    /// What was asked for.
    pub settings: Settings,
    /// What was measured, in order.
    pub parts: Vec<PartReport>,
    /// How many units were verified at the end.
    pub verified: usize,
    /// What was wrong.
    pub broken: Vec<String>,
}

/// On what a run took place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Processors.
    pub processors: usize,
    /// Their kind.
    pub model: String,
    /// MiB.
    pub memory: u64,
    /// Of Linux.
    pub kernel: String,
    /// Of etcd.
    pub etcd: String,
    /// Whether this is a release build.
    pub release: bool,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // they are those of the command line
pub struct Settings {
    pub machines: usize,
    pub units: usize,
    pub seed: u64,
    pub ttl: u64,
    pub in_flight: u16,
    pub lose: f64,
    pub churn: usize,
    pub roll: usize,
    pub idle: u64,
    pub outage: u64,
}

/// What was measured of one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    /// Which.
    pub part: Part,
    /// How long all of it took.
    pub seconds: f64,
    /// What it is about.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// What it cost.
    #[serde(default)]
    pub costs: Costs,
    /// Pages of 100 that were asked for meanwhile.
    #[serde(default)]
    pub pages: Option<Spread>,
    /// How the cluster stood meanwhile.
    #[serde(default)]
    pub timeline: Vec<Point>,
    /// Why it isn't complete.
    #[serde(default)]
    pub problem: Option<String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
}

impl Figure {
    /// A time, in seconds.
    pub(super) fn seconds(name: &str, time: std::time::Duration) -> Self {
        Self::new(name, time.as_secs_f64(), "s")
    }

    /// A time, in milliseconds.
    pub(super) fn millis(name: &str, time: std::time::Duration) -> Self {
        Self::new(name, time.as_secs_f64() * 1e3, "ms")
    }

    /// A number of things.
    pub(super) fn count(name: &str, count: impl TryInto<u32>) -> Self {
        Self::new(name, count.try_into().map_or(f64::INFINITY, f64::from), "")
    }

    /// Anything.
    pub(super) fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

/// What a part cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Costs {
    /// Engine and API.
    pub engine: Cost,
    /// All agents, with the service managers that are played.
    pub agents: Cost,
    /// Etcd.
    pub etcd: Cost,
    /// What etcd counted meanwhile.
    pub counts: EtcdCounts,
    /// How often service managers were told to start a unit, or to restart it.
    pub starts: u64,
    /// How often they were told to stop one.
    pub stops: u64,
    /// Machines whose entry went, also those that were killed.
    pub leases_lost: u64,
    /// Units that were taken off their machine.
    pub moved: u64,
}

/// What one of the processes used meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Seconds of a processor.
    pub cpu: f64,
    /// The same to the nanosecond, of threads that were there before and after.
    pub ran: f64,
    /// How often a thread was put on a processor.
    pub wakes: f64,
    /// The most memory it ever had, in MiB.
    pub peak: f64,
    /// The memory that it had at the end, in MiB.
    pub resident: f64,
}

/// Times that differ, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// How many there are.
    pub number: usize,
    /// The one in the middle.
    pub median: f64,
    /// The one that a hundredth is above.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
    /// Those that came to nothing.
    pub failed: usize,
}

impl Spread {
    /// Of these, in milliseconds.
    pub(super) fn of(mut times: Vec<f64>, failed: usize) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().max(1) - 1));
        let at = |share| at(share).copied().unwrap_or_default();
        Self { number: times.len(), median: at(50), p99: at(99), longest: at(100), failed }
    }
}

/// How the cluster stood at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Milliseconds since the part began.
    pub at: u64,
    /// Machines that were present.
    pub present: usize,
    /// Units that had a machine.
    pub placed: usize,
    /// Units that were active.
    pub active: usize,
}

impl Settings {
    /// What these options ask for.
    pub(super) fn of(options: &Options) -> Self {
        let Options {
            machines, units, seed, ttl, in_flight, lose, churn, roll, idle, outage, ..
        } = *options;
        Self { machines, units, seed, ttl, in_flight, lose, churn, roll, idle, outage }
    }
}

impl Report {
    /// Whether every part is complete, and every unit as it was asked for.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty() && self.parts.iter().all(|part| part.problem.is_none())
    }

    /// What was measured of a part, if it was.
    pub(super) fn part(&self, part: Part) -> Option<&PartReport> {
        self.parts.iter().find(|it| it.part == part)
    }
}

impl PartReport {
    /// The figure of this name.
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|it| it.name == name).map(|it| it.value)
    }
}

#[cfg(test)]
mod tests;
