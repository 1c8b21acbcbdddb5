//! Keeps the cluster as it should be, for as long as this engine leads.
//!
//! Owned by the engine's one task, which drops it when leadership ends; every write insists on
//! the engine lease, so being dropped in the middle of one hurts nothing. Woken by changes of
//! the mirror, by a timer, and by questions. While the mirror isn't current nothing is decided.

use std::time::Duration;

use fleet_core::UnitName;
use fleet_registry::{Leadership, Mirror, Registry, RegistryError, Scope};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{debug, info, warn};

use crate::{
    backoff::Backoff,
    cluster::Cluster,
    contact::Sight,
    execute::{Past, Tally, execute, forget},
    plan::{Plan, doubtful, plan},
    status::{Query, Status},
};

/// Questions that wait while a pass runs; more than that wait at the asker's.
const QUERIES: usize = 16;

pub(crate) struct Reconciler<'a> {
    registry: &'a Registry,
    lead: &'a Leadership,
    interval: Duration,
    sight: Sight,
    status: &'a watch::Sender<Status>,
    mirror: Mirror<Cluster>,
    past: Past,
    /// Whether what engines before this one left undone has been looked at.
    has_tidied: bool,
}

impl<'a> Reconciler<'a> {
    /// One that reads the cluster anew every `period` if it mustn't watch it.
    pub(crate) fn new(
        registry: &'a Registry,
        lead: &'a Leadership,
        interval: Duration,
        period: Option<Duration>,
        sight: Sight,
        status: &'a watch::Sender<Status>,
    ) -> Self {
        let mirror = Mirror::new(registry.clone(), Scope::Cluster).every(period);
        let (past, has_tidied) = (Past::default(), false);
        Self { registry, lead, interval, sight, status, mirror, past, has_tidied }
    }

    /// Reconciles on change and at least every interval, until the lease turns out to be lost.
    pub(crate) async fn run(mut self) {
        let (asker, mut queries) = mpsc::channel(QUERIES);
        self.status.send_modify(|status| status.queries = Some(asker));
        let mut tick = time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::up_to(self.interval);
        loop {
            if !self.mirror.is_current() {
                self.read_cluster().await;
            } else if !self.is_due(&mut tick, &mut queries).await {
                continue;
            }
            // One pass takes in the news of a snapshot and of a watch alike.
            self.mirror.model_mut().has_news();
            match self.pass().await {
                Ok(()) => {
                    backoff.reset();
                    tick.reset();
                }
                Err(RegistryError::LeadershipLost) => return,
                Err(error) => {
                    warn!(%error, "pass failed, will retry");
                    tick.reset_after(backoff.pause());
                }
            }
        }
    }

    /// Takes a snapshot, however long the store is out of reach.
    async fn read_cluster(&mut self) {
        let mut backoff = Backoff::up_to(self.interval);
        while let Err(error) = self.mirror.changed().await {
            if backoff.is_fresh() {
                warn!(%error, "can't read the cluster, nothing moves until that works");
            } else {
                debug!(%error, "still can't read the cluster");
            }
            time::sleep(backoff.pause()).await;
        }
        if !backoff.is_fresh() {
            info!("the cluster can be read again");
        }
    }

    /// Waits for something to do; whether it is a pass.
    async fn is_due(
        &mut self,
        tick: &mut time::Interval,
        queries: &mut mpsc::Receiver<Query>,
    ) -> bool {
        tokio::select! {
            changed = self.mirror.changed() => match changed {
                Ok(()) => self.mirror.model_mut().has_news(),
                Err(error) => {
                    debug!(%error, "lost sight of the cluster");
                    false
                }
            },
            _ = tick.tick() => true,
            Some(query) = queries.recv() => {
                query.answer(self.mirror.model());
                false
            }
        }
    }

    /// Decides on the newest picture, and carries it out.
    async fn pass(&mut self) -> Result<(), RegistryError> {
        let started = Instant::now();
        self.tidy().await?;
        let model = self.mirror.model();
        let hash = |unit: &UnitName| model.unit(unit).map(|unit| unit.record.value.hash);
        let resting = self.past.restless.resting(hash);
        let plan = plan(model, self.sight.of_absent(), &resting);
        let mut tally = Tally::default();
        let cluster = self.mirror.model_mut();
        forget(self.registry, self.lead, cluster, &plan.moot).await?;
        let (tasks, past) = (&plan.tasks, &mut self.past);
        let result = execute(self.registry, self.lead, cluster, tasks, past, &mut tally).await;
        let duration = started.elapsed();
        self.count(&plan, tally, result.is_ok().then_some(duration));
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
            let moot = doubtful(self.mirror.model());
            forget(self.registry, self.lead, self.mirror.model_mut(), &moot).await?;
            self.has_tidied = true;
        }
        Ok(())
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
        self.status.send_modify(|status| status.queries = None);
    }
}
