//! Changes of the registry in its own words.

use fleet_core::{MachineId, UnitName};
use fleet_store::{Change, KeyValue, Revision};
use tracing::error;

use crate::{
    Assignment, HostObstacle, Keys, LeaderRecord, Leaving, MachineRecord, UnitRecord, Versioned,
    keys::Entry, lead::parse_version, registry::decode,
};

/// One change, or one entry of a snapshot. `None` means that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `unit/<name>`.
    Unit(UnitName, Option<Record>),
    /// `machine/<id>`.
    Machine(MachineId, Option<MachineEntry>),
    /// `metadata/<id>/<key>`; an empty value hides the machine's own.
    Metadata(MachineId, String, Option<String>),
    /// `schedule/<machine>/<name>`.
    Schedule(MachineId, UnitName, Option<Order>),
    /// `global/<name>`.
    Global(UnitName, Option<Order>),
    /// `restart/<machine>/<name>`: the revision of the request.
    Restart(MachineId, UnitName, Option<Revision>),
    /// `leaving/<name>`.
    Leaving(UnitName, Option<Versioned<Leaving>>),
    /// `obstacle/<name>,<machine>`.
    Obstacle(UnitName, MachineId, Option<HostObstacle>),
    /// `lease/engine-leader`.
    Leader(Option<Versioned<LeaderRecord>>),
    /// `engine/version`; 0 when absent.
    EngineVersion(u64),
}

/// What is decided about a unit. A record that can't be understood isn't one to forget the unit
/// (`docs/decisions/0009`).
pub type Record = Result<Versioned<UnitRecord>, Unclear>;

/// A machine that is present. An entry that can't be understood isn't an absent machine
/// (`docs/decisions/0017`).
pub type MachineEntry = Result<Versioned<MachineRecord>, Unclear>;

/// What a machine must do with a unit. One that can't be understood isn't one to stop the unit
/// (`docs/decisions/0009`).
pub type Order = Result<Assignment, Unclear>;

/// An entry that can't be understood, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(pub String);

impl Event {
    /// What a change of the store means; `None` for keys that no model keeps.
    pub(crate) fn of(keys: &Keys, change: &Change) -> Option<Self> {
        let kv = match change {
            Change::Put(kv) => Some(kv),
            Change::Delete { .. } => None,
        };
        Some(match keys.parse(change.key())? {
            Entry::Unit(name) => Self::Unit(name, kv.map(record)),
            Entry::Machine(id) => Self::Machine(id, kv.map(machine)),
            Entry::Metadata(id, key) => {
                let value = kv.map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
                Self::Metadata(id, key, value)
            }
            Entry::Schedule(id, name) => Self::Schedule(id, name, kv.map(order)),
            Entry::Global(name) => Self::Global(name, kv.map(order)),
            Entry::Restart(id, name) => Self::Restart(id, name, kv.map(|kv| kv.mod_revision)),
            Entry::Leaving(name) => Self::Leaving(name, kv.map(leaving)),
            Entry::Obstacle(name, machine) => Self::Obstacle(name, machine, kv.map(obstacle)),
            Entry::Leader => Self::Leader(kv.and_then(leader)),
            Entry::EngineVersion => {
                Self::EngineVersion(kv.map_or(0, |kv| parse_version(&kv.value)))
            }
            Entry::File(_) | Entry::State(..) | Entry::Trouble(..) => return None,
        })
    }
}

/// One that can't be understood says of no machine that it has the unit; that it is there is known.
fn leaving(kv: &KeyValue) -> Versioned<Leaving> {
    decode(kv).unwrap_or_else(|error| {
        error!(%error, "no machine is taken to be still stopping this unit");
        let value = Leaving { machine: None };
        Versioned { value, revision: kv.mod_revision, created: kv.create_revision }
    })
}

fn leader(kv: &KeyValue) -> Option<Versioned<LeaderRecord>> {
    let value = LeaderRecord::parse(&kv.value)?;
    Some(Versioned { value, revision: kv.mod_revision, created: kv.create_revision })
}

fn record(kv: &KeyValue) -> Record {
    decode(kv).map_err(|error| {
        error!(%error, "nothing is decided about this unit");
        Unclear(error.to_string())
    })
}

fn order(kv: &KeyValue) -> Order {
    decode(kv).map(|found| found.value).map_err(|error| Unclear(error.to_string()))
}

/// One that can't be understood is one all the same: it is there because something is in the way.
fn obstacle(kv: &KeyValue) -> HostObstacle {
    let unclear = |error| {
        error!(%error, "the unit is kept off that machine");
        HostObstacle { reason: "something that this fleet can't read is in its way".to_owned() }
    };
    decode(kv).map_or_else(unclear, |found| found.value)
}

fn machine(kv: &KeyValue) -> MachineEntry {
    decode(kv).map_err(|error| {
        error!(%error, "nothing new goes to this machine, and what is there stays");
        Unclear(error.to_string())
    })
}

#[cfg(test)]
mod tests;
