//! Waits for the jobs of systemd that are on their way, beside everything else.

use std::{collections::BTreeMap, panic, pin::pin, sync::Arc, time::Duration};

use fleet_core::UnitName;
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    Job, JobResult, UnitManager,
    plan::{Action, Step},
    settle::settle,
};

/// How long a stop may take before its unit's own limit is asked for: systemd's default of 90 s,
/// after which it kills, and the margin.
const STOP_LIMIT: Duration = Duration::from_secs(100);
/// How much longer than a unit's own limit its stop may take: killing takes time too.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a stop may take whose unit sets no limit.
const ENDLESS: Duration = Duration::from_secs(3600);

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it was for.
    pub(super) step: Step,
    /// How, or that it took longer than this.
    pub(super) result: Result<JobResult, Duration>,
    /// Of a start: why it came to nothing, if it did.
    pub(super) failure: Option<String>,
}

/// The jobs on their way: one for a unit, the newest.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    waiting: JoinSet<(u64, Ended)>,
    newest: BTreeMap<UnitName, (u64, Action)>,
    count: u64,
}

impl Jobs {
    /// Waits for a job from now on, and no longer for an earlier one of the same unit.
    pub(super) fn follow(&mut self, manager: &Arc<dyn UnitManager>, step: Step, job: Job) {
        self.count += 1;
        let number = self.count;
        self.newest.insert(step.unit.clone(), (number, step.action));
        let manager = Arc::clone(manager);
        self.waiting.spawn(async move {
            let (result, failure) = match step.action {
                // Some never end, and rightly so.
                Action::Start | Action::Restart => {
                    let result = job.wait().await;
                    (Ok(result), settle(&*manager, &step.unit, result).await)
                }
                _ => (stopped(&*manager, &step.unit, job).await, None),
            };
            (number, Ended { step, result, failure })
        });
    }

    /// Waits for the next job to end; for ever when there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ended {
        loop {
            match self.waiting.join_next().await {
                Some(Ok(ended)) => {
                    if let Some(ended) = self.accept(ended) {
                        return ended;
                    }
                }
                Some(Err(error)) => {
                    if let Ok(panic) = error.try_into_panic() {
                        panic::resume_unwind(panic);
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    /// The next job that has ended already, if any.
    pub(super) fn try_next(&mut self) -> Option<Ended> {
        while let Some(Ok(ended)) = self.waiting.try_join_next() {
            if let Some(ended) = self.accept(ended) {
                return Some(ended);
            }
        }
        None
    }

    /// Whether units are on their way out.
    pub(super) fn any_halts(&self) -> bool {
        self.newest.values().any(|(_, action)| *action == Action::Halt)
    }

    /// Whether units are being stopped, for good or not.
    pub(super) fn any_stops(&self) -> bool {
        self.newest.values().any(|(_, action)| matches!(action, Action::Halt | Action::Stop))
    }

    fn accept(&mut self, (number, ended): (u64, Ended)) -> Option<Ended> {
        let unit = &ended.step.unit;
        if self.newest.get(unit).is_none_or(|(newest, _)| *newest != number) {
            return None;
        }
        self.newest.remove(unit);
        Some(ended)
    }
}

/// Waits for a stop as long as it may take. How long that is, is asked only of those that take long.
async fn stopped(
    manager: &dyn UnitManager,
    unit: &UnitName,
    job: Job,
) -> Result<JobResult, Duration> {
    let begun = Instant::now();
    let mut end = pin!(job.wait());
    if let Ok(result) = time::timeout(STOP_LIMIT, &mut end).await {
        return Ok(result);
    }
    let limit = match manager.stop_limit(unit).await {
        Ok(Some(own)) => STOP_LIMIT.max(own.saturating_add(MARGIN)),
        Ok(None) => ENDLESS,
        Err(_) => STOP_LIMIT, // it is asked to stop once more, and waited for again
    };
    let left = limit.saturating_sub(begun.elapsed());
    time::timeout(left, end).await.map_err(|_| limit)
}
