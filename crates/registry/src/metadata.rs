//! Dynamic machine metadata (`cluster.md` 2, `api.md` 6.2).

use fleet_core::MachineId;

use crate::{Registry, RegistryError};

/// One change of dynamic metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataChange {
    /// The machine; it need not be present.
    pub machine: MachineId,
    /// The key: no `/`, not empty.
    pub key: String,
    /// The value; the empty string hides the machine's own.
    pub value: String,
}

impl Registry {
    /// Applies all changes in one transaction; of several for one key the last counts.
    ///
    /// # Errors
    /// The store failed, or refuses more than a transaction holds.
    pub async fn change_metadata(&self, _changes: &[MetadataChange]) -> Result<(), RegistryError> {
        todo!()
    }
}
