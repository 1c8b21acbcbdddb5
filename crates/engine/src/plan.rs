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

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use fleet_core::{JobState, MachineId, Obstacle, UnitName};
use fleet_registry::{Leaving, Moot, Stale, Versioned};

mod agree;

use crate::{
    cluster::{Cluster, Unit},
    picture::Picture,
};
use agree::agree;

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
}

/// For plans that may take as long as they do.
struct NoLimit;

impl Pace for NoLimit {
    fn has_time(&mut self, _: Sweep, _: &UnitName) -> bool {
        true
    }
}

/// Where a plan gave up for lack of time in each sweep, and the next goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    leaving: Option<Remainder>,
    placing: Option<Remainder>,
}

/// What is left of a sweep: so many units in turn, from this one on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remainder {
    first: UnitName,
    units: usize,
}

impl Rest {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in that something has changed: all units have to be judged again, those that had to
    /// wait first.
    pub fn begin_anew(&mut self) {
        let left = self.leaving.iter_mut().chain(&mut self.placing);
        left.for_each(|left| left.units = usize::MAX);
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
    /// What is said of machines that still have destroyed units, and isn't so any more: to be
    /// forgotten before any task.
    pub moot: Vec<Moot>,
    /// Where it gave up, if it did; what has been decided by then holds.
    pub rest: Rest,
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
    fn is_missing(&self, machine: &MachineId) -> bool {
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
    plan_within(cluster, absent, resting, &Rest::default(), &mut NoLimit)
}

/// The same as [`plan`], for as long as `pace` has time, and from where an earlier one gave up.
#[must_use]
pub fn plan_within(
    cluster: &Cluster,
    absent: Absent,
    resting: &BTreeSet<UnitName>,
    from: &Rest,
    pace: &mut dyn Pace,
) -> Plan {
    let (picture, tasks, rest) = (Picture::of(cluster), Vec::new(), Rest::default());
    let mut pass = Pass { cluster, absent, resting, from, pace, picture, tasks, rest };
    let moot = pass.moot();
    let mut waiting = pass.unschedule();
    waiting.extend(cluster.waiting());
    let unplaced = pass.schedule(waiting);
    assert!(agree(&pass.tasks, &pass.picture), "a plan does what its picture shows");
    Plan { tasks: pass.tasks, unplaced, moot, rest: pass.rest }
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

/// Units that a sweep looks at, in name order.
type Named<'a> = BTreeMap<&'a UnitName, &'a Arc<Unit>>;

/// What is left of them: all where nothing is said.
fn in_turn<'a>(units: &Named<'a>, left: Option<&Remainder>) -> Vec<(&'a UnitName, &'a Arc<Unit>)> {
    let all = units.iter().map(|(name, unit)| (*name, *unit));
    let Some(Remainder { first, units }) = left else { return all.collect() };
    let (before, after): (Vec<_>, Vec<_>) = all.partition(|(name, _)| *name < first);
    after.into_iter().chain(before).take(*units).collect()
}

struct Pass<'a> {
    cluster: &'a Cluster,
    absent: Absent,
    resting: &'a BTreeSet<UnitName>,
    from: &'a Rest,
    pace: &'a mut dyn Pace,
    picture: Picture<'a>,
    tasks: Vec<Task>,
    rest: Rest,
}

impl<'a> Pass<'a> {
    /// Why nothing has to wait for the machine that an entry of a destroyed unit names, if so.
    fn stale(&self, unit: &UnitName, entry: &Leaving) -> Option<Stale> {
        let why = self.cluster.stale(unit, entry)?;
        let is_missing = entry.machine.as_ref().is_some_and(|id| self.absent.is_missing(id));
        (why != Stale::Absent || !is_missing).then_some(why)
    }

    fn moot(&self) -> Vec<Moot> {
        let entries = self.cluster.leaving().iter();
        let stale = entries.filter_map(|(unit, seen)| {
            self.stale(unit, &seen.value).map(|why| moot(unit, seen, why))
        });
        stale.collect()
    }

    /// The machine that still has what was destroyed under the name of `unit`.
    fn holder(&self, unit: &Unit) -> Option<&'a MachineId> {
        let entry = &self.cluster.leaving().get(&unit.name)?.value;
        entry.machine.as_ref().filter(|_| self.stale(&unit.name, entry).is_none())
    }

    /// The first sweep. Returns the units it took off their machines that are still wanted.
    fn unschedule(&mut self) -> Named<'a> {
        let mut staying: Named<'a> = self.cluster.scheduled().iter().collect();
        let mut wanted = Named::new();
        loop {
            let mut leaving = Vec::new();
            let units = in_turn(&staying, self.from.leaving.as_ref());
            for (judged, (name, unit)) in units.iter().enumerate() {
                if !self.pace.has_time(Sweep::Leaving, name) {
                    let (first, units) = ((*name).clone(), units.len() - judged);
                    self.rest.leaving = Some(Remainder { first, units });
                    break;
                }
                if self.unschedule_unit(unit) {
                    leaving.push((*name, *unit));
                }
            }
            let is_over = leaving.is_empty() || self.rest.leaving.is_some();
            // Somebody left: that can only hurt those who must not be alone.
            staying.retain(|_, unit| unit.has_peers());
            for (name, unit) in leaving {
                staying.remove(name);
                if unit.is_wanted() {
                    wanted.insert(name, unit);
                }
            }
            if is_over {
                return wanted;
            }
        }
    }

    /// Takes `unit` off its machine if it can't stay there.
    fn unschedule_unit(&mut self, unit: &Unit) -> bool {
        let Some(target) = unit.target() else { return false };
        let (action, reason) = match self.picture.place(target) {
            None if self.cluster.is_unclear(target) => return false,
            None if self.absent.is_missing(target) => return false,
            None if !unit.is_wanted() => (Action::Unschedule, Reason::Inactive),
            None => (Action::Unschedule, Reason::MachineAway(target.clone())),
            // Its agent will say when it is gone.
            Some(place) if place.hands_over && !unit.stays() => return false,
            Some(_) if !unit.is_wanted() => (Action::Unschedule, Reason::Inactive),
            Some(_) if !unit.stays() => (Action::Unschedule, Reason::Leaving(target.clone())),
            Some(place) => match self.picture.obstacle(unit, place) {
                None => return false,
                Some(_) if self.resting.contains(&unit.name) => return false,
                Some(obstacle) if self.cluster.is_doubtful(&obstacle) => return false,
                Some(obstacle) => {
                    let action = if place.hands_over { Action::Leave } else { Action::Unschedule };
                    (action, Reason::Unable(target.clone(), obstacle))
                }
            },
        };
        self.picture.remove(unit, target);
        self.push(action, unit, target, reason);
        true
    }

    /// The second sweep. Returns the units that no machine takes.
    fn schedule(&mut self, waiting: Named<'a>) -> Vec<UnitName> {
        let mut unplaced = Vec::new();
        let mut candidates = waiting;
        let mut judged_ones = BTreeSet::new();
        while !candidates.is_empty() && self.rest.placing.is_none() {
            let mut refused = Named::new();
            let units = in_turn(&candidates, self.from.placing.as_ref());
            for (judged, (name, unit)) in units.iter().enumerate() {
                if !self.pace.has_time(Sweep::Placing, name) {
                    let (first, units) = ((*name).clone(), units.len() - judged);
                    self.rest.placing = Some(Remainder { first, units });
                    break;
                }
                judged_ones.insert((*name).clone());
                if !self.schedule_unit(unit) {
                    refused.insert(name, unit);
                }
            }
            let is_stuck = refused.len() == candidates.len();
            // Somebody came: that can only help those who must not be alone.
            refused.retain(|name, unit| {
                let may_follow = !is_stuck && unit.has_peers();
                if !may_follow && !self.is_handed_over(unit) {
                    unplaced.push((*name).clone());
                }
                may_follow
            });
            candidates = refused;
        }
        if self.from.placing.is_some() || self.rest.placing.is_some() {
            // Who wasn't looked at again stays: what drives it off may be about to leave as well.
            let is_judged = |task: &Task| judged_ones.contains(&task.unit);
            self.tasks.retain(|task| !matches!(task.reason, Reason::Unable(..)) || is_judged(task));
        }
        unplaced.sort();
        unplaced
    }

    /// Gives `unit` a machine if there is one that takes it.
    fn schedule_unit(&mut self, unit: &Arc<Unit>) -> bool {
        if self.is_handed_over(unit) {
            return self.settle(unit);
        }
        let Some(chosen) = self.picture.choose(unit) else { return false };
        if self.holder(unit).is_some_and(|holder| holder != chosen) {
            return false;
        }
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

    /// Whether it has a machine that will say when it is gone from there.
    fn is_handed_over(&self, unit: &Unit) -> bool {
        let place = unit.target().and_then(|target| self.picture.place(target));
        place.is_some_and(|place| place.hands_over)
    }

    /// Leaves a unit that is to be asked to leave its machine where it is if what drove it off in the
    /// first sweep leaves as well. It goes nowhere else in this pass.
    fn settle(&mut self, unit: &Arc<Unit>) -> bool {
        let Some(target) = unit.target() else { return false };
        let stays = match self.picture.place(target) {
            Some(place) => self.picture.obstacle(unit, place).is_none(),
            None => false,
        };
        if stays {
            self.picture.add(unit, target);
            self.tasks.retain(|task| task.unit != unit.name);
        }
        stays
    }

    fn push(&mut self, action: Action, unit: &Unit, machine: &MachineId, reason: Reason) {
        let (unit, machine) = (unit.name.clone(), machine.clone());
        self.tasks.push(Task { action, unit, machine, reason });
    }
}
