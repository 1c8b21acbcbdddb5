//! Carries out a plan. No opinions here: what is refused is left to the next pass, or a later one
//! ([`Refused`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
};

use fleet_core::UnitName;
use fleet_registry::{
    Decided, Decision, Event, Leadership, Model, Moot, Registry, RegistryError, Target,
};
use fleet_runtime::exhibits::Exhibit;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, info, warn};

use crate::{
    cluster::Cluster,
    metrics::ByAction,
    move_limiter::MoveLimiter,
    plan::{Action, Reason, Task},
    refused::Refused,
};

/// Batches that are on their way to the store at a time.
const IN_FLIGHT: usize = 8;

/// What is remembered of earlier passes.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) refused: Refused,
    pub(crate) move_limiter: MoveLimiter,
}

/// What became of the tasks of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: ByAction,
    pub(crate) failed: ByAction,
}

/// Writes what `tasks` decide, and takes what was written into `cluster` at once. What was written
/// stays so, whatever becomes of the rest: the units of that go to `undone`.
///
/// # Errors
/// `LeadershipLost`, and the first error of the store: what it wasn't asked for by then it isn't asked
/// for. Tasks that failed count as that, whether or not some were carried out, which the mirror will
/// show.
pub(crate) async fn execute(
    registry: &Registry,
    lead: &Leadership,
    cluster: &mut Cluster,
    tasks: &[&Task],
    past: &mut Past,
    tally: &mut Tally,
    undone: &mut BTreeSet<UnitName>,
) -> Result<(), RegistryError> {
    let decisions = decisions(cluster, tasks);
    let mut by_unit: BTreeMap<&UnitName, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        by_unit.entry(&task.unit).or_default().push(task);
    }
    let mut batches = Registry::batches(decisions).into_iter();
    let (mut in_flight, mut failure) = (InFlight::new(registry, lead), None);
    loop {
        while failure.is_none()
            && in_flight.has_room()
            && let Some(batch) = batches.next()
        {
            in_flight.send(batch);
        }
        let Some((batch, decided)) = in_flight.answer().await else { break };
        let decided = match decided {
            Ok(decided) => decided,
            Err(RegistryError::LeadershipLost) => return Err(RegistryError::LeadershipLost),
            Err(error) => {
                for Decision { unit, .. } in batch {
                    by_unit[&unit].iter().for_each(|task| tally.failed.count(task.action));
                    undone.insert(unit);
                }
                failure.get_or_insert(error);
                continue;
            }
        };
        assert_eq!(decided.len(), batch.len(), "every decision has its answer");
        for (decision, decided) in batch.iter().zip(decided) {
            let is_done = take_in(cluster, &mut past.refused, decision, decided);
            for task in &by_unit[&decision.unit] {
                if is_done {
                    tally.done.count(task.action);
                    report(task);
                    note_move(cluster, &mut past.move_limiter, task);
                } else {
                    tally.failed.count(task.action);
                }
            }
            if !is_done && !past.refused.holds(cluster, &decision.unit) {
                undone.insert(decision.unit.clone());
            }
        }
    }
    undone.extend(batches.flatten().map(|decision| decision.unit));
    failure.map_or(Ok(()), Err)
}

/// A batch, and what became of it.
type Answer = (Vec<Decision>, Result<Vec<Decided>, RegistryError>);

/// Batches of decisions that are on their way to the store.
struct InFlight<'a> {
    registry: &'a Registry,
    lead: &'a Leadership,
    answers: JoinSet<Answer>,
}

impl<'a> InFlight<'a> {
    fn new(registry: &'a Registry, lead: &'a Leadership) -> Self {
        Self { registry, lead, answers: JoinSet::new() }
    }

    fn has_room(&self) -> bool {
        self.answers.len() < IN_FLIGHT
    }

    fn send(&mut self, batch: Vec<Decision>) {
        let (registry, lead) = (self.registry.clone(), self.lead.clone());
        self.answers.spawn(async move {
            let decided = registry.decide(&lead, &batch).await;
            (batch, decided)
        });
    }

    /// The next answer, from whichever batch; `None` when there is none to come.
    async fn answer(&mut self) -> Option<Answer> {
        match self.answers.join_next().await?.map_err(JoinError::try_into_panic) {
            Ok(answer) => Some(answer),
            Err(Ok(panic)) => panic::resume_unwind(panic),
            // The runtime ends, and everything with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

/// Forgets what is said of machines that still have destroyed units where that is so no more, and
/// takes it into `cluster` at once.
///
/// # Errors
/// `LeadershipLost`, and store errors.
pub(crate) async fn forget(
    registry: &Registry,
    lead: &Leadership,
    cluster: &mut Cluster,
    moot: &[Moot],
) -> Result<(), RegistryError> {
    for unit in registry.forget_leaving(lead, moot).await? {
        info!(%unit, "no machine is known to have what was destroyed under this name");
        cluster.apply(Event::Leaving(unit, None));
    }
    Ok(())
}

/// What the tasks come to: one decision a unit, however many tasks it has.
fn decisions(cluster: &Cluster, tasks: &[&Task]) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = Vec::with_capacity(tasks.len());
    let mut known: BTreeMap<&UnitName, usize> = BTreeMap::new();
    for task in tasks {
        assert!(rests_on(task, cluster), "a task is carried out on what it was planned on: {task}");
        let created = cluster.hosts().get(&task.machine).map(|host| host.created);
        let target = match (task.action, created) {
            (Action::Unschedule, _) => Target::None,
            (Action::Leave, Some(_)) if Exhibit::NoHandover.is_shown() => Target::None,
            (Action::Leave, Some(created)) => Target::Leaving(created),
            (Action::Schedule, Some(created)) => {
                let (id, leaving) = (task.machine.clone(), cluster.leaving().get(&task.unit));
                let leaving = leaving.filter(|entry| entry.value.machine.as_ref() == Some(&id));
                Target::Machine { id, created, leaving: leaving.map(|entry| entry.revision) }
            }
            (Action::Leave | Action::Schedule, None) => continue,
        };
        if let Some(index) = known.get(&task.unit) {
            decisions[*index].target = target;
        } else if let Some(unit) = cluster.unit(&task.unit) {
            known.insert(&task.unit, decisions.len());
            let (unit, seen) = (task.unit.clone(), unit.record.clone());
            let absent = seen.value.machine.clone().filter(|id| !cluster.hosts().contains_key(id));
            let absent = absent.filter(|_| !Exhibit::AbsenceAssumed.is_shown());
            decisions.push(Decision { unit, seen, target, absent });
        }
    }
    decisions
}

/// Whether the unit of a task is still what the plan saw: nothing is taken in between the two.
fn rests_on(task: &Task, cluster: &Cluster) -> bool {
    cluster.unit(&task.unit).is_some_and(|unit| match task.action {
        Action::Schedule => unit.is_wanted() && unit.is_scheduled_kind(),
        Action::Leave | Action::Unschedule => unit.target() == Some(&task.machine),
    })
}

/// Takes what was decided about a unit into the model; whether it was carried out.
fn take_in(
    cluster: &mut Cluster,
    refused: &mut Refused,
    Decision { unit, seen, target, .. }: &Decision,
    decided: Decided,
) -> bool {
    match decided {
        Ok(record) => {
            if let Target::Machine { leaving: Some(_), .. } = target {
                cluster.apply(Event::Leaving(unit.clone(), None));
            }
            cluster.take_in(unit.clone(), record);
            true
        }
        Err(error @ RegistryError::Conflict(_)) => {
            debug!(%unit, %error, "decision refused");
            false
        }
        Err(error) => {
            if refused.note(unit, seen.revision) {
                warn!(%unit, %error, "decision failed");
            } else {
                debug!(%unit, %error, "decision failed again");
            }
            false
        }
    }
}

/// Remembers that a unit had to leave its machine.
fn note_move(cluster: &Cluster, move_limiter: &mut MoveLimiter, task: &Task) {
    if let (Reason::Unable(..), Some(unit)) = (&task.reason, cluster.unit(&task.unit))
        && let Some(pause) = move_limiter.note(unit)
    {
        let Task { unit, reason, .. } = task;
        warn!(%unit, %reason, ?pause, "unit is moved again and again, it stays where it is now");
    }
}

/// Says what was done, in the lines that people grep for (`cluster.md` 3).
fn report(task: &Task) {
    let Task { action, unit, machine, .. } = task;
    match action {
        Action::Leave | Action::Unschedule => {
            info!("Unscheduled Job({unit}) from Machine({machine})")
        }
        Action::Schedule => info!("Scheduled Unit({unit}) to Machine({machine})"),
    }
    info!("EngineReconciler completed task: {task}");
}
