//! Keeps the cluster as it should be, for as long as this engine leads.
//!
//! Owned by the engine's one task, which drops it when leadership ends; every write insists on
//! the engine lease, so being dropped in the middle of one hurts nothing. Woken by changes of
//! the mirror, by a timer, and by questions. While the mirror isn't current nothing is decided.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_registry::{Event, Followed, Leadership, Mirror, Model, Registry, RegistryError, Scope};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{debug, info, warn};

use crate::{
    backoff::{backoff, pauses, sleep_until},
    cluster::{Cluster, Marks},
    contact::Touch,
    execute::{Past, Tally, execute, forget},
    full_look::FullLook,
    metrics::{Metrics, SharedMetrics},
    plan::{Absent, Plan, Task, doubtful},
    roll::{News, Roll},
    status::Status,
    thinking::{Answers, PlanInput, QUERIES, THINKING, think},
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
    /// Whether anything that decisions rest on has changed since the last pass.
    fn has_news(&self) -> bool {
        self.0.is_marked() || self.0.roll_has_changed()
    }

    fn change(&mut self) -> &mut Cluster {
        Arc::make_mut(&mut self.0)
    }
}

/// What tells machines that are dead from those that may come back.
pub(crate) struct FailureDetector {
    pub(crate) touch: Touch,
    pub(crate) roll: Roll,
}

impl FailureDetector {
    /// Tells what absent machines are taken for. Looks at who is there if that may have changed.
    fn look(&mut self, cluster: &Cluster, is_changed: bool, metrics: &SharedMetrics) -> Absent {
        let now = Instant::now();
        let news = match is_changed {
            true => self.roll.call(now, cluster.present(), cluster.targets()),
            false => None,
        };
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
    /// What wasn't carried out: that is tried again, though nothing has changed.
    undone: BTreeSet<UnitName>,
    full_look: FullLook,
    /// The last pass failed: what is left to do waits for news, or for its time.
    is_held_up: bool,
}

/// Why there is a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something has changed, or there is something left to do.
    Change,
    /// Time has passed: what machines that are away are taken for may be another matter, and it is
    /// time for a stretch of the full look.
    Time,
}

/// What a pass looks at.
struct Agenda {
    absent: Absent,
    resting: BTreeSet<UnitName>,
    marks: Marks,
    /// It is a stretch of the full look: of its units nothing is known to have changed.
    is_stretch: bool,
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
        Self {
            registry,
            lead,
            interval,
            detector,
            status,
            mirror,
            past: Past::default(),
            has_tidied: false,
            undone: BTreeSet::new(),
            full_look: FullLook::new(interval),
            is_held_up: false,
        }
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
            let mut cause = Cause::Change;
            if !self.mirror.is_current() {
                // However long the store is out of reach: nothing moves until it can be read.
                while self.mirror.follow().await == Followed::Lost {}
            } else if let Some(due) = self.is_due(&mut tick, &mut answers).await {
                cause = due;
            } else {
                continue;
            }
            match self.pass(cause, &mut answers).await {
                Ok(()) => {
                    backoff.reset();
                    self.is_held_up = false;
                }
                Err(RegistryError::LeadershipLost) => return,
                Err(error) => {
                    self.is_held_up = true;
                    warn!(%error, "pass failed, will retry what it left undone");
                    tick.reset_after(backoff.pause());
                }
            }
        }
    }

    /// Waits for something to do; whether, and why, it is a pass.
    async fn is_due(&mut self, tick: &mut time::Interval, answers: &mut Answers) -> Option<Cause> {
        let next_change = self.detector.roll.next_change(Instant::now());
        let has_more = !self.is_held_up && self.mirror.model().has_news();
        let query = tokio::select! {
            biased;
            () = sleep_until(next_change) => return Some(Cause::Time),
            followed = self.mirror.follow() => {
                let has_news = followed != Followed::Lost && self.mirror.model().has_news();
                return has_news.then_some(Cause::Change);
            }
            () = std::future::ready(()), if has_more => return Some(Cause::Change),
            _ = tick.tick() => return Some(Cause::Time),
            query = answers.next() => query,
        };
        answers.answer(query, Arc::clone(&self.mirror.model().0));
        None
    }

    /// Decides about what has changed, and carries it out.
    async fn pass(&mut self, cause: Cause, answers: &mut Answers) -> Result<(), RegistryError> {
        let started = Instant::now();
        self.tidy().await?;
        let agenda = self.agenda(cause);
        let is_stretch = agenda.is_stretch;
        let mut plan = self.decide(agenda, answers).await;
        let is_finished = is_stretch || plan.rest.is_empty();
        if is_stretch {
            let (refused, cluster) = (&self.past.refused, &self.mirror.model().0);
            self.full_look.take_in(&plan, |unit| refused.holds(cluster, unit));
        } else if !is_finished {
            let rest = std::mem::take(&mut plan.rest);
            self.mirror.model_mut().change().mark_again(rest);
        }
        if !plan.again.is_empty() {
            let again = Marks::of(std::mem::take(&mut plan.again));
            self.mirror.model_mut().change().mark_again(again);
        }
        let mut tally = Tally::default();
        let result = self.carry_out(&plan, &mut tally).await;
        let duration = started.elapsed();
        let waiting = self.mirror.model().0.waiting().all().len();
        self.status.borrow().metrics.change(|metrics| {
            metrics.count_plan(&plan, waiting, is_finished);
            metrics.count_tasks(tally.done, tally.failed);
            if result.is_ok() {
                metrics.count_pass(duration);
            }
        });
        result?;
        if duration > self.interval {
            warn!("Engine completed reconciliation in {duration:?}");
        } else {
            debug!("Engine completed reconciliation in {duration:?}");
        }
        Ok(())
    }

    /// Does what `plan` says, and keeps what wasn't done, and what rests on that, for later.
    async fn carry_out(&mut self, plan: &Plan, tally: &mut Tally) -> Result<(), RegistryError> {
        let cluster = self.mirror.model_mut().change();
        let (registry, lead, past) = (self.registry, self.lead, &mut self.past);
        past.refused.tidy(cluster);
        let is_held = |unit: &UnitName| past.refused.holds(cluster, unit);
        let (held, tasks): (Vec<&Task>, Vec<&Task>) =
            plan.tasks.iter().partition(|task| is_held(&task.unit));
        let result = match forget(registry, lead, cluster, &plan.moot).await {
            Ok(()) => execute(registry, lead, cluster, &tasks, past, tally, &mut self.undone).await,
            Err(error) => {
                self.undone.extend(plan.moot.iter().map(|moot| moot.unit.clone()));
                Err(error)
            }
        };
        if !held.is_empty() || !self.undone.is_empty() {
            let is_held = |unit: &UnitName| held.iter().any(|task| task.unit == *unit);
            self.undone.extend(plan.concerned().filter(|unit| !is_held(unit)).cloned());
        }
        result
    }

    /// What there is to look at now.
    fn agenda(&mut self, cause: Cause) -> Agenda {
        let metrics = self.status.borrow().metrics.clone();
        let cluster = Arc::make_mut(&mut self.mirror.model_mut().0);
        let is_changed = cause == Cause::Time || cluster.roll_has_changed();
        let absent = self.detector.look(cluster, is_changed, &metrics);
        cluster.roll_is_called();
        let hash = |unit: &UnitName| cluster.unit(unit).map(|unit| unit.record.value.hash);
        let resting = self.past.move_limiter.resting(hash);
        let mut marks = cluster.take_marks(&absent, &resting);
        marks.units.append(&mut self.undone);
        marks.units.extend(self.past.refused.due(Instant::now()));
        let is_stretch = marks.is_empty() && cause == Cause::Time;
        if is_stretch {
            marks = self.full_look.stretch(cluster);
        }
        Agenda { absent, resting, marks, is_stretch }
    }

    /// Looks once at what is said of machines that still have destroyed units: an engine that knows
    /// nothing of that may have led before, and taken the order away that would end it.
    async fn tidy(&mut self) -> Result<(), RegistryError> {
        if !self.has_tidied {
            let moot = doubtful(&self.mirror.model().0);
            let cluster = self.mirror.model_mut().change();
            forget(self.registry, self.lead, cluster, &moot).await?;
            self.has_tidied = true;
        }
        Ok(())
    }

    async fn decide(&mut self, agenda: Agenda, answers: &mut Answers) -> Plan {
        let Agenda { absent, resting, marks, is_stretch } = agenda;
        if marks.is_empty() {
            return Plan::default();
        }
        let cluster = Arc::clone(&self.mirror.model().0);
        let metrics = self.status.borrow().metrics.clone();
        let time = if is_stretch { self.full_look.time() } else { THINKING };
        think(PlanInput { cluster, absent, resting, marks, time }, answers, &metrics).await
    }
}

impl Drop for Reconciler<'_> {
    fn drop(&mut self) {
        self.status.borrow().metrics.change(Metrics::forget_sight);
        self.status.send_modify(|status| status.queries = None);
    }
}
