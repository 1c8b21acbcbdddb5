//! Decides what has to change: a function of the cluster, without I/O, clock or chance.
//!
//! Two sweeps (`cluster.md` 3), each repeated until it finds nothing more, since units that
//! name peers depend on decisions about others. So one pass settles what no longer changes:
//!
//! 1. units whose machine is gone, refuses them, or is no longer wanted are unscheduled;
//! 2. wanted units without a machine, those of sweep 1 included, are scheduled.
//!
//! A unit that another one replaces counts as refused by that one's machine, and so finds
//! another or waits (`cluster.md` 4).
//!
//! A machine that is present has a unit until its agent has let it go (`docs/decisions/0013`).
//! So a unit that must leave it is asked to, and is scheduled by a later pass, which finds it without
//! a machine; it is in nobody's way meanwhile. A unit that isn't wanted has been asked by whoever
//! said so. What was destroyed leaves the same way: nothing of its name goes elsewhere before.
//! Agents that know nothing of this are taken at their order: what they need not run they don't.

use std::{collections::BTreeSet, fmt};

use fleet_core::{JobState, MachineId, Obstacle, UnitName};
use fleet_registry::{Leaving, Moot, Stale, Versioned};

mod agree;
mod pass;
mod turns;

use crate::cluster::{Cluster, Marks};
use pass::Pass;

/// What a task does to its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Asks the unit's machine to let it go.
    Leave,
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
    /// The unit's machine was asked to let it go, and will not say when it has.
    Leaving(MachineId),
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

/// One of the two ways through the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Who has to leave its machine.
    Leaving,
    /// Where those without a machine go.
    Placing,
}

/// Asked before each unit that is judged, so that a plan comes to an end in time.
pub trait Pace {
    /// Whether there is time to judge `unit` in this sweep.
    fn has_time(&mut self, sweep: Sweep, unit: &UnitName) -> bool;

    /// The most tasks that each sweep may make.
    fn most_tasks(&self) -> usize {
        usize::MAX
    }
}

/// For plans that may take as long as they do.
struct NoLimit;

impl Pace for NoLimit {
    fn has_time(&mut self, _: Sweep, _: &UnitName) -> bool {
        true
    }
}

/// What a pass decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order.
    pub tasks: Vec<Task>,
    /// Units that wait for a machine that takes them, as [`why_not`](crate::why_not) tells, or for
    /// one that still has what was destroyed under their name.
    pub unplaced: Vec<UnitName>,
    /// Units that their machines refuse as things are, and that stay as what drives them off leaves.
    pub staying: Vec<UnitName>,
    /// Those that were judged while these seemed to leave: they are to be looked at again.
    pub again: BTreeSet<UnitName>,
    /// What is said of machines that still have destroyed units, and isn't so any more: to be
    /// forgotten before any task.
    pub moot: Vec<Moot>,
    /// What it had no time to look at; what has been decided by then holds.
    pub rest: Marks,
}

impl Plan {
    /// The units for which it matters whether all is carried out: where that fails for one they have to
    /// be looked at again.
    pub fn concerned(&self) -> impl Iterator<Item = &UnitName> {
        let tasks = self.tasks.iter().map(|task| &task.unit);
        tasks.chain(&self.unplaced).chain(&self.staying)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leave | Self::Unschedule => "UnscheduleUnit",
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
            Self::Leaving(id) => write!(f, "target Machine({id}) was asked to let unit go"),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Dead: its units run elsewhere.
    Dead,
    /// Perhaps about to come back: its units stay with it.
    Missing,
    /// Missing if it is one of these, and dead if not.
    Awaited(BTreeSet<MachineId>),
}

impl Absent {
    pub(crate) fn is_missing(&self, machine: &MachineId) -> bool {
        match self {
            Self::Dead => false,
            Self::Missing => true,
            Self::Awaited(missing) => missing.contains(machine),
        }
    }
}

/// Returns the tasks that bring the cluster to where every wanted unit that can run has a
/// machine that takes it. Units are taken by name, so equal clusters give equal plans. Those that
/// are `resting` stay on a machine that refuses them.
#[must_use]
pub fn plan(cluster: &Cluster, absent: Absent, resting: &BTreeSet<UnitName>) -> Plan {
    plan_within(cluster, absent, resting, Marks::all(), &mut NoLimit)
}

/// The same as [`plan`], for as long as `pace` has time, of what `marks` say alone. Where nothing is
/// to be done about all else that comes to the same: [`Cluster::take_marks`] sees to that.
#[must_use]
pub fn plan_within(
    cluster: &Cluster,
    absent: Absent,
    resting: &BTreeSet<UnitName>,
    marks: Marks,
    pace: &mut dyn Pace,
) -> Plan {
    Pass::new(cluster, absent, resting, marks, pace).plan()
}

/// Returns what is said of destroyed units that may be true no more: all of it, for a leader that is
/// new and can't know what engines of other versions did before it. Whether a machine has no order
/// to let a unit go is seen when that is written.
#[must_use]
pub(crate) fn doubtful(cluster: &Cluster) -> Vec<Moot> {
    let entries = cluster.leaving().iter();
    entries.map(|(unit, seen)| moot(unit, seen, Stale::NoOrder)).collect()
}

fn moot(unit: &UnitName, seen: &Versioned<Leaving>, why: Stale) -> Moot {
    Moot { unit: unit.clone(), seen: seen.clone(), why }
}
