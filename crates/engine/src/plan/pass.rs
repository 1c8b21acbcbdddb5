//! One pass over all units, or those that are marked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet_core::{MachineId, UnitName};
use fleet_registry::{Leaving, Moot, Stale};

use super::{Absent, Action, Pace, Plan, Reason, Sweep, Task, agree::agree, moot, turns::Turns};
use crate::{
    cluster::{Cluster, Marks, Shift, Unit},
    picture::Picture,
};

/// Units by name.
type Named<'a> = BTreeMap<&'a UnitName, &'a Arc<Unit>>;

pub(super) struct Pass<'a> {
    cluster: &'a Cluster,
    absent: Absent,
    resting: &'a BTreeSet<UnitName>,
    marks: Marks,
    pace: &'a mut dyn Pace,
    picture: Picture<'a>,
    tasks: Vec<Task>,
    /// Units that leave their machines.
    leaving: Named<'a>,
    /// Of those, the ones that stay after all: what drove them off has left as well.
    staying: BTreeSet<&'a UnitName>,
    /// Units that have a machine now.
    placed: BTreeSet<&'a UnitName>,
    rest: Marks,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        absent: Absent,
        resting: &'a BTreeSet<UnitName>,
        marks: Marks,
        pace: &'a mut dyn Pace,
    ) -> Self {
        Self {
            cluster,
            absent,
            resting,
            marks,
            pace,
            picture: Picture::of(cluster),
            tasks: Vec::new(),
            leaving: Named::new(),
            staying: BTreeSet::new(),
            placed: BTreeSet::new(),
            rest: Marks::default(),
        }
    }

    pub(super) fn plan(mut self) -> Plan {
        let moot = self.moot();
        self.unschedule();
        let unplaced = self.schedule();
        let Self { cluster, mut tasks, staying, picture, rest, .. } = self;
        tasks.retain(|task| !staying.contains(&task.unit));
        assert!(agree(&tasks, &picture), "a plan does what its picture shows");
        let stay = staying.iter().filter_map(|name| cluster.unit(name));
        let places = stay.filter_map(|unit| Some((unit, picture.place(unit.target()?)?)));
        let met = places.flat_map(|(unit, (_, residents))| residents.related(unit));
        let again = met.map(|unit| unit.name.clone()).collect();
        let staying = staying.into_iter().cloned().collect();
        Plan { tasks, unplaced, staying, again, moot, rest }
    }

    /// Why nothing has to wait for the machine that an entry of a destroyed unit names, if so.
    fn stale(&self, unit: &UnitName, entry: &Leaving) -> Option<Stale> {
        let why = self.cluster.stale(unit, entry)?;
        let is_missing = entry.machine.as_ref().is_some_and(|id| self.absent.is_missing(id));
        (why != Stale::Absent || !is_missing).then_some(why)
    }

    fn moot(&self) -> Vec<Moot> {
        let all = self.cluster.leaving();
        let marked = self.marks.units.iter().filter_map(|name| all.get_key_value(name));
        let stale = |(unit, seen): (&UnitName, &_)| {
            let seen: &fleet_registry::Versioned<Leaving> = seen;
            self.stale(unit, &seen.value).map(|why| moot(unit, seen, why))
        };
        if self.marks.all {
            all.iter().filter_map(stale).collect()
        } else {
            marked.filter_map(stale).collect()
        }
    }

    /// The machine that still has what was destroyed under the name of `unit`.
    fn holder(&self, unit: &Unit) -> Option<&'a MachineId> {
        let entry = &self.cluster.leaving().get(&unit.name)?.value;
        entry.machine.as_ref().filter(|_| self.stale(&unit.name, entry).is_none())
    }

    /// Those of `units` that this pass looks at.
    fn marked(&self, units: &'a crate::cluster::Units) -> Vec<&'a Arc<Unit>> {
        if self.marks.all {
            return units.values().collect();
        }
        self.marks.units.iter().filter_map(|name| units.get(name)).collect()
    }

    fn has_time(&mut self, sweep: Sweep, unit: &UnitName, before: usize) -> bool {
        self.pace.has_time(sweep, unit) && self.tasks.len() - before < self.pace.most_tasks()
    }

    /// The first sweep: takes units off machines where they can't stay.
    fn unschedule(&mut self) {
        let first = self.marks.leaving_first.take();
        let mut turns = Turns::of(first, self.marked(self.cluster.scheduled()).into_iter());
        while let Some(unit) = turns.next() {
            if self.leaving.contains_key(&unit.name) {
                continue;
            }
            if !self.has_time(Sweep::Leaving, &unit.name, 0) {
                let left = turns.left().chain([&unit.name]).cloned();
                self.rest.units.extend(left);
                self.rest.leaving_first = Some(unit.name.clone());
                return;
            }
            let Some((target, shift)) = self.unschedule_unit(unit) else { continue };
            self.leaving.insert(&unit.name, unit);
            // Somebody left: that can only hurt those who must not be alone.
            let followers = self.cluster.followers(&unit.name);
            followers
                .filter(|unit| unit.target() == Some(target))
                .for_each(|unit| turns.again(unit));
            if !shift.is_empty() {
                self.cluster.placed_on(target).for_each(|unit| turns.again(unit));
            }
            self.note_room(unit, target, &shift);
        }
    }

    /// Takes in that `unit` leaves room for others, who aren't looked at anyway.
    fn note_room(&mut self, unit: &Unit, target: &MachineId, shift: &Shift) {
        if self.marks.all {
            return;
        }
        let left = [unit].into_iter().chain(shift.left.iter().map(AsRef::as_ref));
        let others = left.flat_map(|unit| self.cluster.waiting().kept_off_by(unit));
        let names: Vec<UnitName> = others.map(|unit| unit.name.clone()).collect();
        if !names.is_empty() {
            self.marks.room.entry(target.clone()).or_default().extend(names);
        }
        let came = shift.came.iter().flat_map(|unit| self.cluster.followers(&unit.name));
        self.marks.units.extend(came.map(|unit| unit.name.clone()));
    }

    /// Takes `unit` off its machine if it can't stay there.
    fn unschedule_unit(&mut self, unit: &'a Arc<Unit>) -> Option<(&'a MachineId, Shift)> {
        let target = unit.target()?;
        let (action, reason) = match self.picture.place(target) {
            None if self.cluster.is_unclear(target) => return None,
            None if self.absent.is_missing(target) => return None,
            None if !unit.is_wanted() => (Action::Unschedule, Reason::Inactive),
            None => (Action::Unschedule, Reason::MachineAway(target.clone())),
            // Its agent will say when it is gone.
            Some((host, _)) if host.hands_over && !unit.stays() => return None,
            Some(_) if !unit.is_wanted() => (Action::Unschedule, Reason::Inactive),
            Some(_) if !unit.stays() => (Action::Unschedule, Reason::Leaving(target.clone())),
            Some((host, residents)) => {
                match self.picture.obstacle(unit, &host.machine, residents) {
                    None => return None,
                    Some(_) if self.resting.contains(&unit.name) => return None,
                    Some(obstacle) if self.cluster.is_doubtful(&obstacle) => return None,
                    Some(obstacle) => {
                        let action =
                            if host.hands_over { Action::Leave } else { Action::Unschedule };
                        (action, Reason::Unable(target.clone(), obstacle))
                    }
                }
            }
        };
        let shift = self.picture.remove(unit, target);
        self.push(action, unit, target, reason);
        Some((target, shift))
    }

    /// The second sweep: gives machines to units. Returns those that no machine takes.
    fn schedule(&mut self) -> Vec<UnitName> {
        let before = self.tasks.len();
        let mut candidates = self.marked(self.cluster.waiting().all());
        candidates.extend(self.leaving.values().filter(|unit| unit.is_wanted()));
        candidates.extend(self.those_with_room());
        let first = self.marks.placing_first.take();
        let mut turns = Turns::of(first, candidates.into_iter());
        let (mut refused, mut judged) = (BTreeSet::new(), BTreeSet::new());
        while let Some(unit) = turns.next() {
            if self.placed.contains(&unit.name) {
                continue;
            }
            if !self.has_time(Sweep::Placing, &unit.name, before) {
                let left = turns.left().chain([&unit.name]).cloned();
                self.rest.units.extend(left);
                self.rest.placing_first = Some(unit.name.clone());
                self.settle_rest(&judged);
                break;
            }
            judged.insert(&unit.name);
            let Some((chosen, shift)) = self.schedule_unit(unit) else {
                refused.insert(&unit.name);
                continue;
            };
            refused.remove(&unit.name);
            self.placed.insert(&unit.name);
            // Somebody came: that can only help those who must not be alone.
            let came = [&unit.name].into_iter().chain(shift.came.iter().map(|unit| &unit.name));
            for follower in came.flat_map(|name| self.cluster.followers(name)) {
                if self.is_candidate(follower) {
                    turns.again(follower);
                }
            }
            let left = shift.left.iter();
            for waiting in left.flat_map(|unit| self.cluster.waiting().kept_off_by(unit)) {
                if !self.placed.contains(&waiting.name) && self.picture.takes(waiting, chosen) {
                    turns.again(waiting);
                }
            }
        }
        let handed_over =
            |name: &&UnitName| self.leaving.get(name).is_some_and(|unit| self.is_handed_over(unit));
        refused.into_iter().filter(|name| !handed_over(name)).cloned().collect()
    }

    /// Looks whether those that must leave their machines, and won't be looked at again, can stay as what
    /// drives them off leaves as well.
    fn settle_rest(&mut self, judged: &BTreeSet<&UnitName>) {
        let leaving: Vec<_> = self.leaving.values().copied().collect();
        let is_left = |unit: &&Arc<Unit>| unit.stays() && !judged.contains(&unit.name);
        for unit in leaving.into_iter().filter(is_left) {
            drop(self.settle(unit));
        }
    }

    fn is_candidate(&self, unit: &Unit) -> bool {
        let waits = self.cluster.waiting().all().contains_key(&unit.name);
        let leaves = self.leaving.contains_key(&unit.name) && unit.is_wanted();
        (waits || leaves) && !self.placed.contains(&unit.name)
    }

    /// Units that wait, and that a machine takes which may not have done so before.
    fn those_with_room(&mut self) -> Vec<&'a Arc<Unit>> {
        let waiting = self.cluster.waiting();
        let mut found = Vec::new();
        for id in std::mem::take(&mut self.marks.open) {
            let Some(host) = self.cluster.hosts().get(&id) else { continue };
            for unit in waiting.open_to(&host.machine) {
                if !self.pace.has_time(Sweep::Placing, &unit.name) {
                    self.rest.open.insert(id);
                    break;
                }
                found.extend(self.picture.takes(unit, &id).then_some(unit));
            }
        }
        for (id, names) in std::mem::take(&mut self.marks.room) {
            for unit in names.iter().filter_map(|name| waiting.all().get(name)) {
                if !self.pace.has_time(Sweep::Placing, &unit.name) {
                    let left = names.range::<UnitName, _>(&unit.name..).cloned().collect();
                    self.rest.room.insert(id, left);
                    break;
                }
                found.extend(self.picture.takes(unit, &id).then_some(unit));
            }
        }
        found
    }

    /// Gives `unit` a machine if there is one that takes it.
    fn schedule_unit(&mut self, unit: &'a Arc<Unit>) -> Option<(&'a MachineId, Shift)> {
        if self.is_handed_over(unit) {
            return self.settle(unit);
        }
        let chosen = self.picture.choose(unit)?;
        if self.holder(unit).is_some_and(|holder| holder != chosen) {
            return None;
        }
        let shift = self.picture.add(unit, chosen);
        if unit.target() == Some(chosen) && unit.stays() {
            // What drove it off has left as well. One that was asked to leave is told to stay.
            self.staying.insert(&unit.name);
        } else {
            let state = unit.record.value.desired_state;
            self.push(Action::Schedule, unit, chosen, Reason::NotScheduled(state));
        }
        Some((chosen, shift))
    }

    /// Whether it has a machine that will say when it is gone from there.
    fn is_handed_over(&self, unit: &Unit) -> bool {
        let place = unit.target().and_then(|target| self.cluster.hosts().get(target));
        place.is_some_and(|host| host.hands_over)
    }

    /// Leaves a unit that is to be asked to leave its machine where it is if what drove it off in the
    /// first sweep leaves as well. It goes nowhere else in this pass.
    fn settle(&mut self, unit: &'a Arc<Unit>) -> Option<(&'a MachineId, Shift)> {
        let target = unit.target()?;
        let (host, residents) = self.picture.place(target)?;
        if self.picture.obstacle(unit, &host.machine, residents).is_some() {
            return None;
        }
        let shift = self.picture.add(unit, target);
        self.staying.insert(&unit.name);
        Some((target, shift))
    }

    fn push(&mut self, action: Action, unit: &Unit, machine: &MachineId, reason: Reason) {
        let (unit, machine) = (unit.name.clone(), machine.clone());
        self.tasks.push(Task { action, unit, machine, reason });
    }
}
