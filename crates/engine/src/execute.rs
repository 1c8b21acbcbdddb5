//! Carries out a plan. No opinions here: what is refused is left to the next pass, or a later one
//! ([`Refused`]).

use std::collections::BTreeMap;

use fleet_core::UnitName;
use fleet_registry::{Decided, Decision, Event, Leadership, Model, Registry, RegistryError};
use tracing::{debug, info, warn};

use crate::{
    cluster::Cluster,
    metrics::ByAction,
    plan::{Action, Reason, Task},
    refused::Refused,
    restless::Restless,
};

/// What is remembered of earlier passes.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) refused: Refused,
    pub(crate) restless: Restless,
}

/// What became of the tasks of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: ByAction,
    pub(crate) failed: ByAction,
}

/// Writes what `tasks` decide, and takes what was written into `cluster` at once.
///
/// # Errors
/// `LeadershipLost`, and store errors; the tasks then count as failed, whether or not some were
/// carried out, which the mirror will show.
pub(crate) async fn execute(
    registry: &Registry,
    lead: &Leadership,
    cluster: &mut Cluster,
    tasks: &[Task],
    past: &mut Past,
    tally: &mut Tally,
) -> Result<(), RegistryError> {
    let Past { refused, restless } = past;
    refused.tidy(cluster);
    let tasks: Vec<&Task> =
        tasks.iter().filter(|task| !refused.holds(cluster, &task.unit)).collect();
    let decisions = decisions(cluster, &tasks);
    if decisions.is_empty() {
        return Ok(());
    }
    let decided = registry.decide(lead, &decisions).await.inspect_err(|_| {
        tasks.iter().for_each(|task| tally.failed.count(task.action));
    })?;
    let mut outcomes: BTreeMap<UnitName, bool> = BTreeMap::new();
    for (decision, decided) in decisions.into_iter().zip(decided) {
        let is_done = take_in(cluster, refused, &decision, decided);
        outcomes.insert(decision.unit, is_done);
    }
    for task in tasks {
        if outcomes.get(&task.unit) == Some(&true) {
            tally.done.count(task.action);
            report(task);
            note_move(cluster, restless, task);
        } else {
            tally.failed.count(task.action);
        }
    }
    Ok(())
}

/// What the tasks come to: one decision a unit, however many tasks it has.
fn decisions(cluster: &Cluster, tasks: &[&Task]) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = Vec::with_capacity(tasks.len());
    let mut known: BTreeMap<&UnitName, usize> = BTreeMap::new();
    for task in tasks {
        let target = match task.action {
            Action::Unschedule => None,
            Action::Schedule => {
                let Some(host) = cluster.hosts().get(&task.machine) else { continue };
                Some((task.machine.clone(), host.created))
            }
        };
        if let Some(index) = known.get(&task.unit) {
            decisions[*index].target = target;
        } else if let Some(unit) = cluster.unit(&task.unit) {
            known.insert(&task.unit, decisions.len());
            let (unit, seen) = (task.unit.clone(), unit.record.clone());
            decisions.push(Decision { unit, seen, target });
        }
    }
    decisions
}

/// Takes what was decided about a unit into the model; whether it was carried out.
fn take_in(
    cluster: &mut Cluster,
    refused: &mut Refused,
    Decision { unit, seen, .. }: &Decision,
    decided: Decided,
) -> bool {
    match decided {
        Ok(record) => {
            cluster.apply(Event::Unit(unit.clone(), Some(Ok(record))));
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
fn note_move(cluster: &Cluster, restless: &mut Restless, task: &Task) {
    if let (Reason::Unable(..), Some(unit)) = (&task.reason, cluster.unit(&task.unit))
        && let Some(pause) = restless.note(unit)
    {
        let Task { unit, reason, .. } = task;
        warn!(%unit, %reason, ?pause, "unit is moved again and again, it stays where it is now");
    }
}

/// Says what was done, in the lines that people grep for (`cluster.md` 3).
fn report(task: &Task) {
    let Task { action, unit, machine, .. } = task;
    match action {
        Action::Unschedule => info!("Unscheduled Job({unit}) from Machine({machine})"),
        Action::Schedule => info!("Scheduled Unit({unit}) to Machine({machine})"),
    }
    info!("EngineReconciler completed task: {task}");
}
