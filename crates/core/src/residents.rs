//! Who is on a machine, of all that are to be there: the one rule of engine and agent
//! (`cluster.md` 2 and 5, `docs/decisions/0005`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Machine, Requirements, UnitName,
    eligibility::{Candidate, Refusal, check_conflicts, judge_global},
};

/// How a unit came to be one of those that are to be on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is scheduled there, and there whoever else is: to the engine what it has placed, to an
    /// agent what it can't judge.
    Unjudged,
    /// It is scheduled there. The engine has judged the machine; only who is there may have changed.
    Scheduled,
    /// It is to be on every machine that takes it.
    Global,
    /// It is global and doesn't run there whoever else does: it is inactive, or its name is a unit's
    /// of the host's own. All others come before it.
    IdleGlobal,
}

impl Origin {
    /// Whether the schedule says nothing of it.
    #[must_use]
    pub fn is_global(self) -> bool {
        matches!(self, Self::Global | Self::IdleGlobal)
    }
}

/// A unit that is to be on a machine.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a, T> {
    /// The unit.
    pub unit: Candidate<'a>,
    /// How it came to be one.
    pub origin: Origin,
    /// What the caller knows it by.
    pub tag: T,
}

impl<T> Contender<'_, T> {
    /// The first in this order stays: what is scheduled before global units, those that run before
    /// those that don't, and by name among each.
    fn rank(&self) -> (bool, bool, &UnitName) {
        (self.origin.is_global(), self.origin == Origin::IdleGlobal, self.unit.name)
    }
}

/// Tells who of `contenders` is on `machine`, and what keeps off those that aren't; in the order of
/// their precedence, whatever the order they are given in.
///
/// Each is judged beside those before it that are there. Who isn't there is in nobody's way. A unit
/// that is both scheduled and global is changing from one to the other: the schedule counts.
#[must_use]
pub fn residents<'a, T>(
    machine: &Machine,
    contenders: impl IntoIterator<Item = Contender<'a, T>>,
) -> Vec<(Contender<'a, T>, Result<(), Refusal>)> {
    let mut contenders: Vec<_> = contenders.into_iter().collect();
    contenders.sort_by(|one, other| one.rank().cmp(&other.rank()));
    let mut known = BTreeSet::new();
    contenders.retain(|contender| known.insert(contender.unit.name));
    let mut here = Here::default();
    let judged = contenders.into_iter().map(|contender| {
        let unit = contender.unit;
        let verdict = match contender.origin {
            Origin::Unjudged => Ok(()),
            Origin::Scheduled => check_conflicts(unit, here.met_by(unit)),
            Origin::Global | Origin::IdleGlobal => judge_global(unit, machine, here.met_by(unit)),
        };
        if verdict.is_ok() {
            here.insert(unit);
        }
        (contender, verdict)
    });
    judged.collect()
}

/// Units by name.
type Units<'a> = BTreeMap<&'a UnitName, &'a Requirements>;

/// Those that are on the machine so far.
#[derive(Default)]
struct Here<'a> {
    all: Units<'a>,
    /// Those of `all` with conflicts: all that a unit without any need be compared with.
    choosy: Units<'a>,
}

impl<'a> Here<'a> {
    fn insert(&mut self, Candidate { name, requirements }: Candidate<'a>) {
        self.all.insert(name, requirements);
        if !requirements.conflicts.is_empty() {
            self.choosy.insert(name, requirements);
        }
    }

    /// Those that can be in conflict with `unit`, in name order.
    fn met_by(&self, unit: Candidate<'_>) -> impl Iterator<Item = Candidate<'a>> {
        let looks_around = !unit.requirements.conflicts.is_empty();
        let relevant = if looks_around { &self.all } else { &self.choosy };
        relevant.iter().map(|(name, requirements)| Candidate { name, requirements })
    }
}

#[cfg(test)]
mod tests;
