//! What the engine counts for `GET /metrics` (`api.md` 8); rendered elsewhere.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet_registry::Histogram;

use crate::plan::{Action, Plan, Reason};

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
    /// `fleet_engine_machines_missing`: machines that are gone and not taken for dead, while this
    /// engine leads.
    pub missing_machines: u64,
    /// `fleet_engine_brake`: whether nobody is taken for dead, as many are gone at once.
    pub is_braked: bool,
    /// `fleet_engine_brake_count_total`: how often that began.
    pub brakes: u64,
    /// `fleet_engine_reconcile_long_seconds`: the pass that takes long now.
    pub long_pass: Option<LongPass>,
    /// `fleet_engine_reconcile_unfinished_count_total`: passes that went on in the next one.
    pub unfinished_passes: u64,
}

/// A pass that takes long.
#[derive(Clone, Debug, PartialEq)]
pub struct LongPass {
    /// The unit it is at.
    pub unit: String,
    /// For how long it has been thinking.
    pub time: Duration,
}

/// The metrics of one engine after the other: with a reload the next goes on counting. Clones are
/// the same.
#[derive(Clone, Debug, Default)]
pub struct SharedMetrics(Arc<Mutex<Metrics>>);

impl SharedMetrics {
    /// What has been counted so far.
    #[must_use]
    pub fn read(&self) -> Metrics {
        self.metrics().clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Metrics)) {
        change(&mut self.metrics());
    }

    fn metrics(&self) -> MutexGuard<'_, Metrics> {
        // Counting can't fail half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count for each kind of task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByAction {
    /// Type `unscheduleunit`.
    pub unschedule: u64,
    /// Type `attemptscheduleunit`.
    pub schedule: u64,
}

impl ByAction {
    pub(crate) fn count(&mut self, action: Action) {
        match action {
            Action::Leave | Action::Unschedule => self.unschedule += 1,
            Action::Schedule => self.schedule += 1,
        }
    }
}

impl Metrics {
    /// Counts a pass that was completed in `duration`.
    pub(crate) fn count_pass(&mut self, duration: Duration) {
        self.passes += 1;
        self.durations.observe(duration);
    }

    /// Forgets what only a leader knows.
    pub(crate) fn forget_sight(&mut self) {
        (self.missing_machines, self.is_braked, self.long_pass) = (0, false, None);
    }

    /// Counts what became of tasks.
    pub(crate) fn count_tasks(&mut self, done: ByAction, failed: ByAction) {
        self.tasks.unschedule += done.unschedule + failed.unschedule;
        self.tasks.schedule += done.schedule + failed.schedule;
        self.task_failures.unschedule += failed.unschedule;
        self.task_failures.schedule += failed.schedule;
    }

    /// Counts what a plan found amiss, and the units that are `waiting` for a machine after it.
    pub(crate) fn count_plan(&mut self, plan: &Plan, waiting: usize, is_finished: bool) {
        self.unplaced += waiting as u64;
        self.unfinished_passes += u64::from(!is_finished);
        for task in &plan.tasks {
            match task.reason {
                Reason::MachineAway(_) => self.machines_away += 1,
                Reason::Unable(..) => self.unable_to_run += 1,
                Reason::Inactive | Reason::Leaving(_) | Reason::NotScheduled(_) => {}
            }
        }
    }
}
