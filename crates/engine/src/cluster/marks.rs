//! What a pass has to look at: whatever changes marks the units for which another answer may be due.
//!
//! A unit that isn't marked would be judged as it was before. A mark too many costs the time of
//! judging, one too few a decision: until the full look comes by (`docs/decisions/0025`).

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{MachineId, UnitName};

/// See the module. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Everything, whatever else is marked.
    pub(crate) all: bool,
    /// These units, and what is said of where those that were destroyed under these names are.
    pub(crate) units: BTreeSet<UnitName>,
    /// Waiting units for which room may have come on these machines.
    pub(crate) room: BTreeMap<MachineId, BTreeSet<UnitName>>,
    /// Machines that may take units of any kind that they didn't take before.
    pub(crate) open: BTreeSet<MachineId>,
    /// Where an earlier pass gave up: those have their turn first.
    pub(crate) leaving_first: Option<UnitName>,
    pub(crate) placing_first: Option<UnitName>,
}

impl Marks {
    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// These units alone.
    #[must_use]
    pub fn of(units: BTreeSet<UnitName>) -> Self {
        Self { units, ..Self::default() }
    }

    /// Everything, in the order in which this would be looked at.
    #[must_use]
    pub fn widened(self) -> Self {
        Self { all: true, ..self }
    }

    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.units.is_empty() && self.room.is_empty() && self.open.is_empty()
    }

    /// How much there is to look at.
    #[must_use]
    pub fn len(&self) -> usize {
        let room: usize = self.room.values().map(BTreeSet::len).sum();
        self.units.len() + room + self.open.len()
    }

    /// Adds what others have marked.
    pub(crate) fn extend(&mut self, others: Self) {
        let Self { all, units, room, open, leaving_first, placing_first } = others;
        self.all |= all;
        self.units.extend(units);
        for (machine, units) in room {
            self.room.entry(machine).or_default().extend(units);
        }
        self.open.extend(open);
        self.leaving_first = leaving_first.or_else(|| self.leaving_first.take());
        self.placing_first = placing_first.or_else(|| self.placing_first.take());
    }

    pub(super) fn unit(&mut self, name: &UnitName) {
        if !self.all {
            self.units.insert(name.clone());
        }
    }

    pub(super) fn units<'a>(&mut self, names: impl IntoIterator<Item = &'a UnitName>) {
        names.into_iter().for_each(|name| self.unit(name));
    }

    pub(super) fn room(&mut self, machine: &MachineId, name: &UnitName) {
        if !self.all {
            self.room.entry(machine.clone()).or_default().insert(name.clone());
        }
    }

    pub(super) fn open(&mut self, machine: &MachineId) {
        if !self.all {
            self.open.insert(machine.clone());
        }
    }
}
