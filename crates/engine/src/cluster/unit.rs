//! A unit as the engine sees it.

use std::sync::Arc;

use fleet_core::{JobState, MachineId, Pattern, Requirements, UnitName, eligibility::Candidate};
use fleet_registry::{UnitRecord, Versioned};
use tracing::{debug, warn};

use super::Rings;

/// A unit as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// What is decided about it, at the revision it was read.
    pub record: Versioned<UnitRecord>,
    /// What it asks of its machine, evaluated.
    pub requirements: Arc<Requirements>,
}

impl Unit {
    pub(super) fn new(name: UnitName, record: Versioned<UnitRecord>, known: Option<&Self>) -> Self {
        let requirements = match known {
            Some(known) if known.record.value.x_fleet == record.value.x_fleet => {
                Arc::clone(&known.requirements)
            }
            _ => {
                let requirements = record.value.x_fleet.requirements(&name);
                report_patterns(&name, &requirements);
                Arc::new(requirements)
            }
        };
        Self { name, record, requirements }
    }

    /// The machine it is scheduled to; `None` for units that are never scheduled.
    #[must_use]
    pub fn target(&self) -> Option<&MachineId> {
        if self.is_scheduled_kind() { self.record.value.machine.as_ref() } else { None }
    }

    /// Whether it should be on a machine but has none.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.is_scheduled_kind() && self.is_wanted() && self.record.value.machine.is_none()
    }

    /// Whether it is to stay where it is, as far as its record tells: it is wanted, and wasn't asked
    /// to leave.
    pub(crate) fn stays(&self) -> bool {
        !self.record.value.leaves()
    }

    pub(crate) fn is_global(&self) -> bool {
        self.record.value.global
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.record.value.desired_state != JobState::Inactive
    }

    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate { name: &self.name, requirements: &self.requirements }
    }

    /// Whether it names units it must share a machine with.
    pub(crate) fn has_peers(&self) -> bool {
        !self.requirements.peers.is_empty()
    }

    /// Whether it pushes `other` off a machine they share; units of a ring don't (`cluster.md` 4).
    pub(crate) fn replaces(&self, other: &Self, rings: &Rings) -> bool {
        let is_matched = |pattern: &Pattern| pattern.matches(other.name.as_str());
        self.name != other.name
            && self.requirements.replaces.iter().any(is_matched)
            && !rings.join(&self.name, &other.name)
    }

    pub(super) fn is_replacer(&self) -> bool {
        !self.requirements.replaces.is_empty()
    }

    /// Whether it is on machines, or would be if one took it.
    pub(crate) fn may_be_somewhere(&self) -> bool {
        !self.record.value.template && (self.is_global() || self.is_wanted())
    }

    /// What it can have to do with rings.
    pub(super) fn ties(&self) -> Option<&Arc<Requirements>> {
        let is_tied = self.may_be_somewhere() && (self.is_replacer() || self.has_peers());
        is_tied.then_some(&self.requirements)
    }

    /// Whether others have to ask it before they share a machine with it.
    pub(crate) fn is_choosy(&self) -> bool {
        !self.requirements.conflicts.is_empty() || self.is_replacer()
    }

    /// Whether a pattern of either matches the other.
    pub(super) fn is_related(&self, other: &Self) -> bool {
        let matches = |asking: &Self, name: &UnitName| {
            let Requirements { conflicts, replaces, .. } = &*asking.requirements;
            conflicts.iter().chain(replaces).any(|pattern| pattern.matches(name.as_str()))
        };
        matches(self, &other.name) || matches(other, &self.name)
    }

    /// Whether it has to look at every unit of a machine before it goes there.
    pub(super) fn looks_around(&self) -> bool {
        self.is_choosy() || self.has_peers()
    }

    /// Global units go everywhere and templates nowhere: neither has a target.
    pub(crate) fn is_scheduled_kind(&self) -> bool {
        !self.record.value.global && !self.record.value.template
    }
}

/// Says which patterns of a unit match nothing, as people know it (`units.md` 5.7), and whether they
/// are too many: once, not at every match.
fn report_patterns(unit: &UnitName, requirements: &Requirements) {
    let Requirements { conflicts, replaces, excess, .. } = requirements;
    for pattern in conflicts.iter().chain(replaces).filter(|pattern| pattern.is_malformed()) {
        let pattern = pattern.as_str();
        debug!(%unit, "Received error while matching pattern '{pattern}': syntax error in pattern");
    }
    if let Some(excess) = excess {
        warn!(%unit, %excess, "unit stays where it is, and goes nowhere");
    }
}
