//! Waits for the jobs of systemd that are on their way, beside everything else.

use std::{collections::BTreeMap, panic, time::Duration};

use fleet_core::UnitName;
use tokio::{task::JoinSet, time};

use crate::{
    Job, JobResult,
    plan::{Action, Step},
};

/// How long a stop may take: systemd's default stop timeout of 90 s, after which it kills, and a
/// margin. A unit whose own timeout is longer is waited for again.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(100);

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it was for.
    pub(super) step: Step,
    /// How; `None` when it took too long.
    pub(super) result: Option<JobResult>,
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
    pub(super) fn follow(&mut self, step: Step, job: Job) {
        self.count += 1;
        let number = self.count;
        self.newest.insert(step.unit.clone(), (number, step.action));
        self.waiting.spawn(async move {
            let result = match step.action {
                // Some never end, and rightly so.
                Action::Start | Action::Restart => Some(job.wait().await),
                _ => time::timeout(STOP_LIMIT, job.wait()).await.ok(),
            };
            (number, Ended { step, result })
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

    fn accept(&mut self, (number, ended): (u64, Ended)) -> Option<Ended> {
        let unit = &ended.step.unit;
        if self.newest.get(unit).is_none_or(|(newest, _)| *newest != number) {
            return None;
        }
        self.newest.remove(unit);
        Some(ended)
    }
}
