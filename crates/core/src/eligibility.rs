//! May this machine take this unit? (`cluster.md` 2, `units.md` 5.8)

use crate::{Machine, Requirements, UnitName};

/// A unit with its requirements, as one of those on a machine or asking for one.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a UnitName,
    /// What it asks for.
    pub requirements: &'a Requirements,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The machine may take the unit.
    Eligible,
    /// It may, and this unit has to leave it (`Replaces`).
    Replaces(UnitName),
    /// It may not.
    Refused(Refusal),
}

/// Why a machine may not take a unit; displayed with the specification's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another machine is required.
    #[error("agent ID {:?} does not match required {:?}", .machine, .required)]
    OtherMachine {
        /// This machine.
        machine: String,
        /// The one required.
        required: String,
    },
    /// Required metadata is missing or different.
    #[error("local Machine metadata insufficient")]
    Metadata,
    /// A required peer is not here.
    #[error("required peer Unit({0}) is not scheduled locally")]
    PeerAbsent(String),
    /// A unit here conflicts.
    #[error("found conflict with locally-scheduled Unit([{0}])")]
    Conflict(UnitName),
}

/// Judges whether `machine` may take `unit`, given the units on it (in name order; an entry of
/// the same name is skipped).
pub fn judge<'a>(
    _unit: Candidate<'_>,
    _machine: &Machine,
    _residents: impl Iterator<Item = Candidate<'a>> + Clone,
) -> Verdict {
    todo!()
}

/// Judges a global unit: metadata and conflicts only.
///
/// # Errors
/// The reason why the machine may not take it.
pub fn judge_global<'a>(
    _unit: Candidate<'_>,
    _machine: &Machine,
    _residents: impl Iterator<Item = Candidate<'a>>,
) -> Result<(), Refusal> {
    todo!()
}
