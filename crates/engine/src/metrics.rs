//! What the engine counts for `GET /metrics` (`api.md` 8); rendered elsewhere.

use std::time::Duration;

use crate::plan::{Action, Plan, Reason};

/// Upper bounds of a [`Histogram`]'s buckets in seconds (`api.md` 8); one more has no bound.
pub const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that `api.md` 8 wants to know of the engine. All of it since fleetd started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// `fleet_engine_leader_start_time`: Unix seconds; 0 until this engine first leads.
    pub leader_start_time: u64,
    /// `fleet_engine_task_count_total`: tasks executed, with success or not.
    pub tasks: ByAction,
    /// `fleet_engine_task_failure_count_total`: those that failed.
    pub task_failures: ByAction,
    /// `fleet_engine_reconcile_count_total`: passes completed.
    pub passes: u64,
    /// `fleet_engine_reconcile_failure_count_total`, type `machine_away`.
    pub machines_away: u64,
    /// The same, type `run`: units whose machine no longer takes them.
    pub unable_to_run: u64,
    /// The same, type `schedule`: units that no machine takes, counted in every pass.
    pub unplaced: u64,
    /// `fleet_engine_reconcile_duration_second`.
    pub durations: Histogram,
}

/// A count for each kind of task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByAction {
    /// Type `unscheduleunit`.
    pub unschedule: u64,
    /// Type `attemptscheduleunit`.
    pub schedule: u64,
}

/// Durations by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many fell into each of [`BUCKETS`] but in none before, and at last beyond all.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum of all in seconds.
    pub sum: f64,
}

impl ByAction {
    pub(crate) fn count(&mut self, action: Action) {
        match action {
            Action::Unschedule => self.unschedule += 1,
            Action::Schedule => self.schedule += 1,
        }
    }
}

impl Histogram {
    fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }
}

impl Metrics {
    /// Counts a pass that was completed in `duration`.
    pub(crate) fn count_pass(&mut self, duration: Duration) {
        self.passes += 1;
        self.durations.observe(duration);
    }

    /// Counts what became of tasks.
    pub(crate) fn count_tasks(&mut self, done: ByAction, failed: ByAction) {
        self.tasks.unschedule += done.unschedule + failed.unschedule;
        self.tasks.schedule += done.schedule + failed.schedule;
        self.task_failures.unschedule += failed.unschedule;
        self.task_failures.schedule += failed.schedule;
    }

    /// Counts what a plan found amiss.
    pub(crate) fn count_plan(&mut self, plan: &Plan) {
        self.unplaced += plan.unplaced.len() as u64;
        for task in &plan.tasks {
            match task.reason {
                Reason::MachineAway(_) => self.machines_away += 1,
                Reason::Unable(..) => self.unable_to_run += 1,
                Reason::Inactive | Reason::NotScheduled(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let mut histogram = Histogram::default();
        for millis in [0, 5, 6, 10_000, 10_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut expected = [0; BUCKETS.len() + 1];
        (expected[0], expected[1], expected[10], expected[11]) = (2, 1, 1, 1);
        assert_eq!(histogram.counts, expected);
        assert!((histogram.sum - 20.012).abs() < 1e-9);
    }
}
