//! The engine lease (`cluster.md` 3).

use std::time::Duration;

use fleet_core::MachineId;
use fleet_store::{LeaseId, Revision};
use serde::{Deserialize, Serialize};

use crate::{Registry, RegistryError, Versioned};

/// `lease/engine-leader`: who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The machine whose engine leads.
    #[serde(rename = "MachineID")]
    pub machine: MachineId,
    /// The version of its engine.
    #[serde(rename = "Version")]
    pub version: u64,
}

/// The engine lease as held by this process. Every write of the engine insists on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub(crate) revision: Revision,
    pub(crate) lease: LeaseId,
    /// The time to live that was granted.
    pub ttl: Duration,
}

impl Registry {
    /// Takes the engine lease if nobody has it; `None` when somebody does.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acquire_lead(
        &self,
        _me: &LeaderRecord,
        _ttl: Duration,
    ) -> Result<Option<Leadership>, RegistryError> {
        todo!()
    }

    /// Takes the engine lease from an engine of a lower version; `None` when it changed hands
    /// since `seen`. Returns the time that remained of the stolen lease: the caller waits it out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn steal_lead(
        &self,
        _seen: &Versioned<LeaderRecord>,
        _me: &LeaderRecord,
        _ttl: Duration,
    ) -> Result<Option<(Leadership, Duration)>, RegistryError> {
        todo!()
    }

    /// Renews the engine lease.
    ///
    /// # Errors
    /// `LeadershipLost` when it has expired.
    pub async fn renew_lead(&self, _lead: &Leadership) -> Result<(), RegistryError> {
        todo!()
    }

    /// Gives up the engine lease, so that another engine takes over at once.
    ///
    /// # Errors
    /// The store failed.
    pub async fn release_lead(&self, _lead: Leadership) -> Result<(), RegistryError> {
        todo!()
    }

    /// Raises the cluster's engine version to `to` unless it is that high already.
    ///
    /// # Errors
    /// The store failed.
    pub async fn raise_engine_version(&self, _to: u64) -> Result<(), RegistryError> {
        todo!()
    }
}
