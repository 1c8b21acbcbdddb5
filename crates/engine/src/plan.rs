//! Decides what has to change: a function of the cluster, without I/O, clock or chance.
//!
//! Two sweeps (`cluster.md` 3), each repeated until it finds nothing more, since units that
//! name peers depend on decisions about others. So one pass settles what no longer changes:
//!
//! 1. units whose machine is gone, refuses them, or is no longer wanted are unscheduled;
//! 2. wanted units without a machine, those of sweep 1 included, are scheduled.
//!
//! A unit that another one replaces counts as refused by that one's machine, and so finds
//! another in the same pass or waits (`cluster.md` 4).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use fleet_core::{JobState, MachineId, UnitName};
use fleet_registry::why::Obstacle;

use crate::{
    choose::choose,
    cluster::{Cluster, Unit},
    picture::Picture,
};

/// What a task does to its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Takes the unit off its machine.
    Unschedule,
    /// Gives the unit a machine.
    Schedule,
}

/// Why a task is needed; displayed with the specification's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody wants the unit to run.
    Inactive,
    /// The unit's machine is no longer present.
    MachineAway(MachineId),
    /// The unit's machine no longer takes it.
    Unable(MachineId, Obstacle),
    /// The unit is wanted in this state and has no machine.
    NotScheduled(JobState),
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What to do.
    pub action: Action,
    /// The unit.
    pub unit: UnitName,
    /// The machine the unit leaves or goes to.
    pub machine: MachineId,
    /// Why.
    pub reason: Reason,
}

/// What a pass decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order.
    pub tasks: Vec<Task>,
    /// Units that wait for a machine that takes them; [`why_not`](crate::why_not) tells more.
    pub unplaced: Vec<UnitName>,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unschedule => "UnscheduleUnit",
            Self::Schedule => "AttemptScheduleUnit",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inactive => f.write_str("target state inactive"),
            Self::MachineAway(id) => write!(f, "target Machine({id}) went away"),
            Self::Unable(id, why) => write!(f, "target Machine({id}) unable to run unit: {why}"),
            Self::NotScheduled(state) => {
                write!(f, "target state {state} and unit not scheduled")
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, unit, machine, reason } = self;
        let reason = reason.to_string();
        write!(f, "{{Type: {action}, JobName: {unit}, MachineID: {machine}, Reason: {reason:?}}}")
    }
}

/// What a machine that isn't present is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Dead: its units run elsewhere.
    Dead,
    /// Perhaps about to come back: its units stay with it.
    Missing,
}

/// Returns the tasks that bring the cluster to where every wanted unit that can run has a
/// machine that takes it. Units are taken by name, so equal clusters give equal plans. Those that
/// are `resting` stay on a machine that refuses them.
#[must_use]
pub fn plan(cluster: &Cluster, absent: Absent, resting: &BTreeSet<UnitName>) -> Plan {
    let picture = Picture::of(cluster);
    let mut pass = Pass { cluster, absent, resting, picture, tasks: Vec::new() };
    let mut waiting = pass.unschedule();
    waiting.extend(cluster.waiting());
    let unplaced = pass.schedule(waiting);
    Plan { tasks: pass.tasks, unplaced }
}

/// Units that a sweep looks at, in name order.
type Sweep<'a> = BTreeMap<&'a UnitName, &'a Arc<Unit>>;

struct Pass<'a> {
    cluster: &'a Cluster,
    absent: Absent,
    resting: &'a BTreeSet<UnitName>,
    picture: Picture<'a>,
    tasks: Vec<Task>,
}

impl<'a> Pass<'a> {
    /// The first sweep. Returns the units it took off their machines that are still wanted.
    fn unschedule(&mut self) -> Sweep<'a> {
        let mut staying: Sweep<'a> = self.cluster.scheduled().iter().collect();
        let mut wanted = Sweep::new();
        loop {
            let mut leaving = Vec::new();
            for (name, unit) in &staying {
                if self.unschedule_unit(unit) {
                    leaving.push((*name, *unit));
                }
            }
            if leaving.is_empty() {
                return wanted;
            }
            // Somebody left: that can only hurt those who must not be alone.
            staying.retain(|_, unit| unit.has_peers());
            for (name, unit) in leaving {
                staying.remove(name);
                if unit.is_wanted() {
                    wanted.insert(name, unit);
                }
            }
        }
    }

    /// Takes `unit` off its machine if it can't stay there.
    fn unschedule_unit(&mut self, unit: &Unit) -> bool {
        let Some(target) = unit.target() else { return false };
        let reason = match self.picture.place(target) {
            _ if !unit.is_wanted() => Reason::Inactive,
            None if self.absent == Absent::Missing => return false,
            None => Reason::MachineAway(target.clone()),
            Some(place) => match self.picture.obstacle(unit, place) {
                None => return false,
                Some(_) if self.resting.contains(&unit.name) => return false,
                Some(obstacle) if self.cluster.is_doubtful(&obstacle) => return false,
                Some(obstacle) => Reason::Unable(target.clone(), obstacle),
            },
        };
        self.picture.remove(unit, target);
        self.push(Action::Unschedule, unit, target, reason);
        true
    }

    /// The second sweep. Returns the units that no machine takes.
    fn schedule(&mut self, waiting: Sweep<'a>) -> Vec<UnitName> {
        let mut unplaced = Vec::new();
        let mut candidates = waiting;
        loop {
            let before = candidates.len();
            candidates.retain(|_, unit| !self.schedule_unit(unit));
            let is_stuck = candidates.len() == before;
            // Somebody came: that can only help those who must not be alone.
            candidates.retain(|name, unit| {
                let may_follow = !is_stuck && unit.has_peers();
                if !may_follow {
                    unplaced.push((*name).clone());
                }
                may_follow
            });
            if candidates.is_empty() {
                unplaced.sort();
                return unplaced;
            }
        }
    }

    /// Gives `unit` a machine if there is one that takes it.
    fn schedule_unit(&mut self, unit: &Arc<Unit>) -> bool {
        let Some(chosen) = choose(&self.picture, unit) else { return false };
        self.picture.add(unit, chosen);
        if unit.target() == Some(chosen) {
            // What drove it off in the first sweep has left as well: it just stays.
            self.tasks.retain(|task| task.unit != unit.name);
        } else {
            let state = unit.record.value.desired_state;
            self.push(Action::Schedule, unit, chosen, Reason::NotScheduled(state));
        }
        true
    }

    fn push(&mut self, action: Action, unit: &Unit, machine: &MachineId, reason: Reason) {
        let (unit, machine) = (unit.name.clone(), machine.clone());
        self.tasks.push(Task { action, unit, machine, reason });
    }
}
