//! What a unit asks of the machine it runs on: its `[X-Fleet]` section (`units.md` 5).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Pattern, UnitName};

/// The raw `[X-Fleet]` options of a unit, `(name, value)` in file order.
///
/// Records and schedules carry them, so that engine and agent judge without the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FleetOptions(pub Vec<(String, String)>);

impl FleetOptions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Evaluates them for the unit called `name` (specifiers are expanded).
    #[must_use]
    pub fn requirements(&self, _name: &UnitName) -> Requirements {
        todo!()
    }
}

/// Evaluated requirements (`units.md` 5.4). The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// `MachineID`: a full id or its first 8 characters.
    pub machine: Option<String>,
    /// `MachineOf`: units that must be on the same machine.
    pub peers: Vec<String>,
    /// `Conflicts`: units that must not be.
    pub conflicts: Vec<Pattern>,
    /// `Replaces`: units that are pushed off.
    pub replaces: Vec<Pattern>,
    /// `MachineMetadata`: key to accepted values.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// `Global`.
    pub global: bool,
}

/// Something odd in `[X-Fleet]` that a client should mention; the unit is accepted all the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An option name that means nothing to fleet.
    UnknownOption(String),
    /// A `MachineMetadata` element that isn't `key=value`.
    MalformedMetadata(String),
}
