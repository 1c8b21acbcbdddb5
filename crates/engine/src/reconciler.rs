//! Keeps the cluster as it should be, for as long as this engine leads.
//!
//! Owned by the engine's one task, which drops it when leadership ends; every write insists on
//! the engine lease, so being dropped in the middle of one hurts nothing. Woken by changes of
//! the mirror, by a timer, and by questions. While the mirror isn't current nothing is decided.

use std::{sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_registry::{Event, Followed, Leadership, Mirror, Model, Registry, RegistryError, Scope};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{debug, info, warn};

use crate::{
    backoff::sleep_until,
    backoff::{backoff, pauses},
    cluster::Cluster,
    contact::Touch,
    execute::{Past, Tally, execute, forget},
    metrics::{Metrics, SharedMetrics},
    plan::{Absent, Plan, Rest, doubtful},
    roll::{News, Roll},
    status::Status,
    thinking::{Answers, PlanInput, QUERIES, think},
};

/// The cluster, shared with the threads that think about it. One that is in use is copied when
/// something changes: its parts are shared all the same.
#[derive(Default)]
struct Shared(Arc<Cluster>);

impl Model for Shared {
    fn apply(&mut self, event: Event) {
        Arc::make_mut(&mut self.0).apply(event);
    }
}

impl Shared {
    /// Whether anything that decisions rest on has changed since the last call.
    fn has_news(&mut self) -> bool {
        self.0.has_unseen() && Arc::make_mut(&mut self.0).has_news()
    }
}

/// What tells machines that are dead from those that may come back.
pub(crate) struct FailureDetector {
    pub(crate) touch: Touch,
    pub(crate) roll: Roll,
}

impl FailureDetector {
    /// Looks at who is there, and tells what absent machines are taken for.
    fn look(&mut self, cluster: &Cluster, metrics: &SharedMetrics) -> Absent {
        let now = Instant::now();
        let news = self.roll.call(now, cluster.present(), cluster.targets());
        match news {
            Some(News::Braked { lost, of }) => warn!(
                lost,
                of, "many machines are gone at once: their units stay, in case they return"
            ),
            Some(News::Released { dead: 0 }) => info!("all machines that were gone are back"),
            Some(News::Released { dead }) => warn!(
                dead,
                "the machines that have not returned are taken for dead, their units move"
            ),
            None => {}
        }
        let (is_braked, is_steady) = (self.roll.is_braked(), self.touch.is_steady());
        let missing = if is_steady { self.roll.missing(now) } else { self.roll.away().collect() };
        metrics.change(|metrics| {
            metrics.is_braked = is_braked;
            metrics.missing_machines = missing.len() as u64;
            metrics.brakes += u64::from(matches!(news, Some(News::Braked { .. })));
        });
        if is_steady { Absent::Awaited(missing) } else { Absent::Missing }
    }
}

pub(crate) struct Reconciler<'a> {
    registry: &'a Registry,
    lead: &'a Leadership,
    interval: Duration,
    detector: FailureDetector,
    status: &'a watch::Sender<Status>,
    mirror: Mirror<Shared>,
    past: Past,
    /// Whether what engines before this one left undone has been looked at.
    has_tidied: bool,
    /// Where the last pass gave up.
    rest: Rest,
}

impl<'a> Reconciler<'a> {
    /// One that reads the cluster anew every `period` if it mustn't watch it.
    pub(crate) fn new(
        registry: &'a Registry,
        lead: &'a Leadership,
        interval: Duration,
        period: Option<Duration>,
        detector: FailureDetector,
        status: &'a watch::Sender<Status>,
    ) -> Self {
        let mirror =
            Mirror::new(registry.clone(), Scope::Cluster).every(period).pausing(pauses(interval));
        let (past, rest, has_tidied) = (Past::default(), Rest::default(), false);
        Self { registry, lead, interval, detector, status, mirror, past, has_tidied, rest }
    }

    /// Reconciles on change and at least every interval, until the lease turns out to be lost.
    pub(crate) async fn run(mut self) {
        let (asker, queries) = mpsc::channel(QUERIES);
        let mut answers = Answers::new(queries);
        self.status.send_modify(|status| status.queries = Some(asker));
        let mut tick = time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = backoff(self.interval);
        loop {
            if !self.mirror.is_current() {
                // However long the store is out of reach: nothing moves until it can be read.
                while self.mirror.follow().await == Followed::Lost {}
                self.rest.begin_anew();
            } else if !self.is_due(&mut tick, &mut answers).await {
                continue;
            }
            // One pass takes in the news of a snapshot and of a watch alike.
            self.mirror.model_mut().has_news();
            match self.pass(&mut answers).await {
                Ok(()) => {
                    backoff.reset();
                    tick.reset();
                    if !self.rest.is_empty() {
                        tick.reset_immediately();
                    }
                }
                Err(RegistryError::LeadershipLost) => return,
                Err(error) => {
                    warn!(%error, "pass failed, will retry");
                    tick.reset_after(backoff.pause());
                }
            }
        }
    }

    /// Waits for something to do; whether it is a pass.
    async fn is_due(&mut self, tick: &mut time::Interval, answers: &mut Answers) -> bool {
        let next_change = self.detector.roll.next_change(Instant::now());
        let query = tokio::select! {
            biased;
            () = sleep_until(next_change) => {
                self.rest.begin_anew();
                return true;
            }
            followed = self.mirror.follow() => {
                let has_news = followed != Followed::Lost && self.mirror.model_mut().has_news();
                if has_news {
                    self.rest.begin_anew();
                }
                return has_news;
            }
            _ = tick.tick() => return true,
            query = answers.next() => query,
        };
        answers.answer(query, Arc::clone(&self.mirror.model().0));
        false
    }

    /// Decides on the newest picture, and carries it out.
    async fn pass(&mut self, answers: &mut Answers) -> Result<(), RegistryError> {
        let started = Instant::now();
        self.tidy().await?;
        let plan = self.decide(answers).await;
        let mut tally = Tally::default();
        let cluster = Arc::make_mut(&mut self.mirror.model_mut().0);
        forget(self.registry, self.lead, cluster, &plan.moot).await?;
        let (tasks, past) = (&plan.tasks, &mut self.past);
        let result = execute(self.registry, self.lead, cluster, tasks, past, &mut tally).await;
        let duration = started.elapsed();
        self.count(&plan, tally, result.is_ok().then_some(duration));
        self.rest = plan.rest;
        result?;
        if duration > self.interval {
            warn!("Engine completed reconciliation in {duration:?}");
        } else {
            debug!("Engine completed reconciliation in {duration:?}");
        }
        Ok(())
    }

    /// Looks once at what is said of machines that still have destroyed units: an engine that knows
    /// nothing of that may have led before, and taken the order away that would end it.
    async fn tidy(&mut self) -> Result<(), RegistryError> {
        if !self.has_tidied {
            let moot = doubtful(&self.mirror.model().0);
            let cluster = Arc::make_mut(&mut self.mirror.model_mut().0);
            forget(self.registry, self.lead, cluster, &moot).await?;
            self.has_tidied = true;
        }
        Ok(())
    }

    async fn decide(&mut self, answers: &mut Answers) -> Plan {
        let cluster = Arc::clone(&self.mirror.model().0);
        let hash = |unit: &UnitName| cluster.unit(unit).map(|unit| unit.record.value.hash);
        let resting = self.past.move_limiter.resting(hash);
        let metrics = self.status.borrow().metrics.clone();
        let absent = self.detector.look(&cluster, &metrics);
        let from = std::mem::take(&mut self.rest);
        think(PlanInput { cluster, absent, resting, from }, answers, &metrics).await
    }

    fn count(&self, plan: &Plan, tally: Tally, completed: Option<Duration>) {
        self.status.borrow().metrics.change(|metrics| {
            metrics.count_plan(plan);
            metrics.count_tasks(tally.done, tally.failed);
            if let Some(duration) = completed {
                metrics.count_pass(duration);
            }
        });
    }
}

impl Drop for Reconciler<'_> {
    fn drop(&mut self) {
        self.status.borrow().metrics.change(Metrics::forget_sight);
        self.status.send_modify(|status| status.queries = None);
    }
}
