//! What machines publish about their units.

use std::collections::BTreeMap;

use fleet_core::{MachineId, UnitName};

use crate::{Presence, PublishedState, Registry, RegistryError};

impl Registry {
    /// Publishes states of units (or withdraws them: `None`), as many in a transaction as fit.
    ///
    /// # Errors
    /// `PresenceLost` when the machine's lease has expired; nothing of the failing transaction
    /// was published.
    pub async fn publish(
        &self,
        _presence: &Presence,
        _states: &BTreeMap<UnitName, Option<PublishedState>>,
    ) -> Result<(), RegistryError> {
        todo!()
    }

    /// What this machine has published and is still there, by unit: for a fleetd that adopts an
    /// earlier one's presence and knows which units it may have published (`candidates`).
    ///
    /// # Errors
    /// The store failed.
    pub async fn published<'a>(
        &self,
        _machine: &MachineId,
        _candidates: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<BTreeMap<UnitName, PublishedState>, RegistryError> {
        todo!()
    }
}
