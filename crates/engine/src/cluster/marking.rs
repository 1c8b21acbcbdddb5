//! Which units each change concerns: those that would be judged otherwise after it.
//!
//! What ends a unit's staying on a machine: a change of the machine, a peer that left, a unit that came
//! and that it has to do with by a pattern. What ends its waiting: a change of a machine that may take
//! it, a peer that came, a unit that left a machine and kept it off. And what isn't in the registry:
//! what absent machines are taken for, how long units rest, which rings there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet_core::{MachineId, UnitName};
use fleet_registry::{UnitRecord, Versioned};

use super::{Cluster, Marks, Rings, Shift, Unit};
use crate::plan::Absent;

/// What the last pass knew of that isn't in the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    rings: Arc<Rings>,
    resting: BTreeSet<UnitName>,
    /// Whether machines that are away were taken for missing.
    missing: BTreeMap<MachineId, bool>,
}

impl Cluster {
    /// What a pass has to look at that takes absent machines for this, and lets these units rest.
    /// Whatever of it isn't decided is to be [marked again](Self::mark_again).
    pub fn take_marks(&mut self, absent: &Absent, resting: &BTreeSet<UnitName>) -> Marks {
        self.mark_rings();
        self.mark_absent(absent);
        let rested = std::mem::replace(&mut self.seen.resting, resting.clone());
        self.marks.units(rested.difference(resting));
        // What keeps these is settled by what is loaded how, which marks nothing.
        let (leaving, waiting) = (&self.leaving, self.waiting.all());
        if leaving.len() < waiting.len() {
            self.marks.units(leaving.keys().filter(|name| waiting.contains_key(*name)));
        } else {
            self.marks.units(waiting.keys().filter(|name| leaving.contains_key(*name)));
        }
        std::mem::take(&mut self.marks)
    }

    /// Marks what a pass has left undone.
    pub fn mark_again(&mut self, marks: Marks) {
        self.marks.extend(marks);
    }

    /// Takes in what was decided about a unit. It marks what that concerns, and the unit itself only if
    /// it has to do with another there: otherwise it was judged as it is now.
    pub fn take_in(&mut self, name: UnitName, record: Versioned<UnitRecord>) {
        let was_marked = self.marks.units.contains(&name);
        self.set_unit(name.clone(), record);
        let unit = self.units.get(&name);
        let place = unit.and_then(|unit| Some((unit, self.hosts.get(unit.target()?)?)));
        let is_alone =
            place.is_none_or(|(unit, host)| host.residents.related(unit).next().is_none());
        if is_alone && !was_marked {
            self.marks.units.remove(&name);
        }
    }

    /// Whether a pass has something to look at.
    pub(crate) fn is_marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Whether machines have come or gone, or were found to be gone.
    pub(crate) fn roll_has_changed(&self) -> bool {
        self.roll_has_changed
    }

    /// Takes in that this has been looked at.
    pub(crate) fn roll_is_called(&mut self) {
        self.roll_has_changed = false;
    }

    /// The units from `first` on, `most` of them, and where to go on: what a full look sees next.
    pub(crate) fn stretch(
        &self,
        first: Option<&UnitName>,
        most: usize,
    ) -> (Marks, Option<UnitName>) {
        let mut ahead = match first {
            Some(first) => self.units.range::<UnitName, _>(first..),
            None => self.units.range::<UnitName, _>(..),
        };
        let mut units: BTreeSet<UnitName> =
            ahead.by_ref().take(most).map(|(name, _)| name.clone()).collect();
        let next = ahead.next().map(|(name, _)| name.clone());
        if next.is_none() {
            units.extend(self.leaving.keys().cloned());
        }
        (Marks::of(units), next)
    }

    fn mark_rings(&mut self) {
        let rings = Arc::clone(self.rings());
        if !Arc::ptr_eq(&rings, &self.seen.rings) {
            self.marks.units(rings.changed_from(&self.seen.rings));
            self.seen.rings = rings;
        }
    }

    fn mark_absent(&mut self, absent: &Absent) {
        let away = &self.away;
        self.seen.missing.retain(|id, _| away.contains(id));
        let mut changed = Vec::new();
        for id in away {
            let is_missing = absent.is_missing(id);
            if self.seen.missing.insert(id.clone(), is_missing) != Some(is_missing) {
                changed.push(id.clone());
            }
        }
        for id in changed {
            self.mark_placed(&id);
        }
    }

    /// A machine is another than it was, has come, or has gone.
    pub(super) fn mark_machine(&mut self, id: &MachineId) {
        self.mark_placed(id);
        if let Some(host) = self.hosts.get(id) {
            self.marks.open(id);
            if !self.followers.is_empty() {
                let all: Vec<UnitName> = host.residents.all().keys().cloned().collect();
                all.iter().for_each(|name| self.mark_followers(name));
            }
        }
    }

    /// Those that are placed on a machine, and those that were destroyed there.
    fn mark_placed(&mut self, id: &MachineId) {
        for names in [self.targets.get(id), self.leaving_from.get(id)] {
            self.marks.units(names.into_iter().flatten());
        }
    }

    /// Those that must be where `unit` is.
    pub(super) fn mark_followers(&mut self, unit: &UnitName) {
        self.marks.units(self.followers.get(unit.as_str()).into_iter().flatten());
    }

    /// `unit` has come to a machine.
    pub(super) fn mark_arrival(&mut self, unit: &Unit, machine: &MachineId) {
        self.mark_followers(&unit.name);
        if let Some(host) = self.hosts.get(machine) {
            self.order.set_load(machine, host.residents.len());
            self.marks.units(host.residents.related(unit).map(|unit| &unit.name));
        }
    }

    /// `unit` has left a machine.
    pub(super) fn mark_departure(&mut self, unit: &Unit, machine: &MachineId) {
        self.mark_followers(&unit.name);
        if let Some(host) = self.hosts.get(machine) {
            self.order.set_load(machine, host.residents.len());
        }
        for waiting in self.waiting.kept_off_by(unit) {
            self.marks.room(machine, &waiting.name);
        }
    }

    /// Global units have come to a machine, or left it.
    pub(super) fn mark_shift(&mut self, machine: &MachineId, shift: &Shift) {
        if shift.is_empty() {
            return;
        }
        if let Some(host) = self.hosts.get(machine) {
            self.order.set_load(machine, host.residents.len());
        }
        self.mark_placed(machine);
        for waiting in shift.left.iter().flat_map(|unit| self.waiting.kept_off_by(unit)) {
            self.marks.room(machine, &waiting.name);
        }
        shift.came.iter().chain(&shift.left).for_each(|unit| self.mark_followers(&unit.name));
    }
}
