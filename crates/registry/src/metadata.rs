//! Dynamic machine metadata (`cluster.md` 2, `api.md` 6.2).

use std::collections::BTreeMap;

use fleet_core::MachineId;
use fleet_store::Txn;

use crate::{Registry, RegistryError, units::put};

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

/// A machine's configured metadata overlaid with its dynamic metadata, in which an empty value
/// deletes the key (`cluster.md` 2).
#[must_use]
pub fn effective_metadata(
    configured: &BTreeMap<String, String>,
    dynamic: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut effective = configured.clone();
    for (key, value) in dynamic {
        if value.is_empty() {
            effective.remove(key);
        } else {
            effective.insert(key.clone(), value.clone());
        }
    }
    effective
}

impl Registry {
    /// Applies all changes in one transaction; of several for one key the last counts.
    ///
    /// # Errors
    /// The store failed, or refuses more than a transaction holds.
    pub async fn change_metadata(&self, changes: &[MetadataChange]) -> Result<(), RegistryError> {
        let last: BTreeMap<_, _> = changes
            .iter()
            .map(|change| (self.keys.metadata(&change.machine, &change.key), &change.value))
            .collect();
        if last.is_empty() {
            return Ok(());
        }
        let then = last.into_iter().map(|(key, value)| put(key, value.clone().into_bytes()));
        self.store.commit(Txn { compare: Vec::new(), then: then.collect() }).await?;
        Ok(())
    }
}
