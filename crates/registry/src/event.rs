//! Changes of the registry in its own words.

use fleet_core::{JobState, MachineId, UnitName};

use crate::{Assignment, LeaderRecord, MachineRecord, UnitRecord, Versioned};

/// One change, or one entry of a snapshot. `None` means that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `unit/<name>`.
    Unit(UnitName, Option<Versioned<UnitRecord>>),
    /// `machine/<id>`.
    Machine(MachineId, Option<Versioned<MachineRecord>>),
    /// `metadata/<id>/<key>`; an empty value hides the machine's own.
    Metadata(MachineId, String, Option<String>),
    /// `schedule/<machine>/<name>`.
    Schedule(MachineId, UnitName, Option<Assignment>),
    /// `global/<name>`.
    Global(UnitName, Option<Assignment>),
    /// `lease/engine-leader`.
    Leader(Option<Versioned<LeaderRecord>>),
    /// `engine/version`; 0 when absent.
    EngineVersion(u64),
}

#[expect(unused, reason = "removed with the first model that keeps states")]
type Unused = JobState;
