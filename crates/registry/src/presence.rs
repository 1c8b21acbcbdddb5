//! Machine presence (`cluster.md` 6, `design.md` 3 "Presence in detail").

use std::time::Duration;

use fleet_core::MachineId;
use fleet_store::LeaseId;
use serde::{Deserialize, Serialize};

use crate::{MachineRecord, Registry, RegistryError};

/// What a fleetd remembers across its restarts to recognise its own entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Random, drawn once per boot of the machine.
    pub nonce: String,
}

/// A machine's presence as held by this process: everything it publishes hangs on its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The machine.
    pub machine: MachineId,
    /// Its lease.
    pub lease: LeaseId,
    /// The time to live that was granted.
    pub ttl: Duration,
}

impl Registry {
    /// Makes a machine present: creates its entry, or adopts the one that carries the same
    /// nonce (keeping its lease, and so the states an earlier fleetd published).
    ///
    /// # Errors
    /// `DuplicateMachine` when an entry with another nonce is there.
    pub async fn register(
        &self,
        _machine: &MachineId,
        _record: &MachineRecord,
        _ttl: Duration,
    ) -> Result<Presence, RegistryError> {
        todo!()
    }

    /// Renews a machine's lease.
    ///
    /// # Errors
    /// `PresenceLost` when it has expired: register again, and publish everything again.
    pub async fn beat(&self, _presence: &Presence) -> Result<(), RegistryError> {
        todo!()
    }

    /// Ends a machine's presence, and with it all states it published.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leave(&self, _presence: &Presence) -> Result<(), RegistryError> {
        todo!()
    }
}
