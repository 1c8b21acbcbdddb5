//! The order in which a sweep judges units.
//!
//! By name; those that have to be judged again since something has changed for them come in the same
//! round if their turn is still to come, and in the next if not. A sweep that goes on where an earlier
//! one gave up begins there, and comes round to the first names at the end.

use std::{collections::BTreeMap, mem, sync::Arc};

use fleet_core::UnitName;

use crate::cluster::Unit;

/// Where a unit is in a round.
type Turn<'a> = (bool, &'a UnitName);

/// See the module.
pub(super) struct Turns<'a> {
    first: Option<UnitName>,
    round: BTreeMap<Turn<'a>, &'a Arc<Unit>>,
    next: BTreeMap<Turn<'a>, &'a Arc<Unit>>,
    now: Option<Turn<'a>>,
}

impl<'a> Turns<'a> {
    /// One round of `units`, from `first` on.
    pub(super) fn of(first: Option<UnitName>, units: impl Iterator<Item = &'a Arc<Unit>>) -> Self {
        let turn =
            |unit: &'a Arc<Unit>| (first.as_ref().is_some_and(|f| unit.name < *f), &unit.name);
        let round = units.map(|unit| (turn(unit), unit)).collect();
        Self { first, round, next: BTreeMap::new(), now: None }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<&'a Arc<Unit>> {
        if self.round.is_empty() {
            (self.round, self.now) = (mem::take(&mut self.next), None);
        }
        let (turn, unit) = self.round.pop_first()?;
        self.now = Some(turn);
        Some(unit)
    }

    /// Has `unit` judged again. Only those that must be with others are worth another round: to them
    /// alone what a sweep does to others means more than that it takes, or leaves, room.
    pub(super) fn again(&mut self, unit: &'a Arc<Unit>) {
        let turn = (self.first.as_ref().is_some_and(|first| unit.name < *first), &unit.name);
        if self.now.is_none_or(|now| now < turn) {
            self.round.insert(turn, unit);
        } else if unit.has_peers() {
            self.next.insert(turn, unit);
        }
    }

    /// Those whose turn is still to come.
    pub(super) fn left(&self) -> impl Iterator<Item = &'a UnitName> {
        self.round.keys().chain(self.next.keys()).map(|(_, name)| *name)
    }
}
