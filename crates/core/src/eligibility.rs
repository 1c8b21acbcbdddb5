//! May this machine take this unit? (`cluster.md` 2, `units.md` 5.8)

use crate::{Machine, Pattern, Quoted, Requirements, UnitName, requirements::Excess};

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
    #[error("agent ID {} does not match required {}", Quoted(.machine), Quoted(.required))]
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
    /// The machine has a unit of that name of its own, in its own words.
    #[error("{0}")]
    NameTaken(String),
    /// It asks for more than can be judged. Where it is already it stays.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// A unit here conflicts.
    #[error("found conflict with locally-scheduled Unit([{0}])")]
    Conflict(UnitName),
    /// The machine is about to leave the cluster, and the unit isn't there yet.
    #[error("machine is leaving")]
    Leaving,
    /// The machine's systemd doesn't answer, and the unit isn't there yet.
    #[error("its systemd does not answer")]
    Silent,
}

/// Judges whether `machine` may take `unit`, given the units on it (in name order; an entry of
/// the same name is skipped, except that a unit may be its own peer).
pub fn judge<'a>(
    unit: Candidate<'_>,
    machine: &Machine,
    residents: impl Iterator<Item = Candidate<'a>> + Clone,
) -> Verdict {
    let refusal = check_excess(unit)
        .and_then(|()| check_machine(unit, machine))
        .and_then(|()| check_metadata(unit, machine))
        .and_then(|()| check_peers(unit, residents.clone()))
        .and_then(|()| check_conflicts(unit, residents.clone()));
    match refusal {
        Err(refusal) => Verdict::Refused(refusal),
        Ok(()) => find_replaced(unit, residents).map_or(Verdict::Eligible, Verdict::Replaces),
    }
}

/// Judges a global unit: metadata and conflicts only, and of too many patterns those that count.
///
/// # Errors
/// The reason why the machine may not take it.
pub fn judge_global<'a>(
    unit: Candidate<'_>,
    machine: &Machine,
    residents: impl Iterator<Item = Candidate<'a>>,
) -> Result<(), Refusal> {
    check_metadata(unit, machine)?;
    check_conflicts(unit, residents)
}

/// It asks for no more than can be judged.
fn check_excess(unit: Candidate<'_>) -> Result<(), Refusal> {
    unit.requirements.excess.clone().map_or(Ok(()), |excess| Err(excess.into()))
}

/// The required machine is this one.
fn check_machine(unit: Candidate<'_>, machine: &Machine) -> Result<(), Refusal> {
    match &unit.requirements.machine {
        Some(required) if !machine.id.is_called(required) => Err(Refusal::OtherMachine {
            machine: machine.id.to_string(),
            required: required.clone(),
        }),
        _ => Ok(()),
    }
}

/// The machine has every required key with one of its values.
fn check_metadata(unit: Candidate<'_>, machine: &Machine) -> Result<(), Refusal> {
    let met = unit.requirements.metadata.iter().all(|(key, accepted)| {
        machine.metadata.get(key).is_some_and(|value| accepted.contains(value))
    });
    met.then_some(()).ok_or(Refusal::Metadata)
}

/// Every peer is here.
fn check_peers<'a>(
    unit: Candidate<'_>,
    residents: impl Iterator<Item = Candidate<'a>> + Clone,
) -> Result<(), Refusal> {
    let is_here = |peer: &str| residents.clone().any(|resident| resident.name.as_str() == peer);
    match unit.requirements.peers.iter().find(|peer| !is_here(peer)) {
        Some(peer) => Err(Refusal::PeerAbsent(peer.clone())),
        None => Ok(()),
    }
}

/// No other unit here conflicts, from whichever side.
pub(crate) fn check_conflicts<'a>(
    unit: Candidate<'_>,
    mut residents: impl Iterator<Item = Candidate<'a>>,
) -> Result<(), Refusal> {
    let found = residents.find(|resident| {
        resident.name != unit.name
            && (any_matches(&resident.requirements.conflicts, unit.name)
                || any_matches(&unit.requirements.conflicts, resident.name))
    });
    found.map_or(Ok(()), |resident| Err(Refusal::Conflict(resident.name.clone())))
}

/// The first other unit here where exactly one of the two replaces the other; where both do, it is
/// circular and neither goes.
fn find_replaced<'a>(
    unit: Candidate<'_>,
    mut residents: impl Iterator<Item = Candidate<'a>>,
) -> Option<UnitName> {
    let found = residents.find(|resident| {
        resident.name != unit.name
            && any_matches(&unit.requirements.replaces, resident.name)
                != any_matches(&resident.requirements.replaces, unit.name)
    });
    found.map(|resident| resident.name.clone())
}

fn any_matches(patterns: &[Pattern], name: &UnitName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name.as_str()))
}

#[cfg(test)]
mod tests;
