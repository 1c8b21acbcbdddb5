//! What can go wrong, by what the caller can do.

use fleet_core::{MachineId, UnitName};
use fleet_store::StoreError;

use crate::EarlierEntry;

/// An operation on the registry that failed. Nothing was changed, unless the store became
/// unavailable in the middle: then it is unknown.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such unit.
    #[error("unit does not exist")]
    NoSuchUnit(UnitName),
    /// What the change was based on has changed: read again and decide again.
    #[error("{0} has changed meanwhile")]
    Conflict(String),
    /// The engine's lease is gone: stop deciding.
    #[error("engine leadership lost")]
    LeadershipLost,
    /// Another machine with the same id is present.
    #[error(
        "machine {id} is present already, at {address:?}: two machines have the same id, or an earlier fleetd's entry has not expired yet"
    )]
    DuplicateMachine {
        /// The id.
        id: MachineId,
        /// The address of the one that is present.
        address: String,
    },
    /// This machine itself may have left the entry, in another boot.
    #[error("machine {} is still present by an entry of an earlier boot at {:?}", .0.machine, .0.record.public_ip)]
    EarlierEntry(Box<EarlierEntry>),
    /// The machine's lease is gone: it must register again.
    #[error("presence of machine {0} is lost")]
    PresenceLost(MachineId),
    /// A stored value can't be understood.
    #[error("{key} holds no valid value: {reason}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// Whether the store is out of reach, or of space: the same may work later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }

    /// Whether the store answers, and has no room for anything new.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Store(StoreError::OutOfSpace))
    }
}
