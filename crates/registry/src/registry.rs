//! The handle everything else is a method of, and how it reads and decodes.

use std::{fmt, sync::Arc};

use fleet_store::{Key, KeyValue, MAX_TXN_OPS, Range, Revision, Store};
use serde::{Serialize, de::DeserializeOwned};

use crate::{FileMetrics, Keys, RegistryError, Versioned, fences::Fences, metrics::FileCounters};

/// The registry of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    pub(crate) files: Arc<FileCounters>,
    pub(crate) fences: Arc<Fences>,
}

impl Registry {
    /// The registry under `keys`' prefix in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keys: Keys) -> Self {
        Self { store, keys, files: Arc::default(), fences: Arc::default() }
    }

    /// The same, counting what it does together with others: those before it, after a reload.
    #[must_use]
    pub fn counting_in(self, files: Arc<FileCounters>) -> Self {
        Self { files, ..self }
    }

    /// What this registry and its clones have done with unit files so far.
    #[must_use]
    pub fn file_metrics(&self) -> FileMetrics {
        self.files.read()
    }

    /// Reads one key.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<KeyValue>, RegistryError> {
        let snapshot = self.store.read(&[Range::key(key)], None).await?;
        Ok(snapshot.ranges.into_iter().next().and_then(|range| range.kvs.into_iter().next()))
    }

    /// Reads single keys at one revision, however many; `None` where there is none.
    pub(crate) async fn get_all(
        &self,
        keys: &[Key],
        at: Option<Revision>,
    ) -> Result<Vec<Option<KeyValue>>, RegistryError> {
        let mut at = at;
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(MAX_TXN_OPS) {
            let ranges: Vec<Range> = chunk.iter().cloned().map(Range::key).collect();
            let snapshot = self.store.read(&ranges, at).await?;
            at = Some(snapshot.revision);
            found.extend(snapshot.ranges.into_iter().map(|range| range.kvs.into_iter().next()));
        }
        Ok(found)
    }
}

/// The halves of what was too large for one request, the second first: as a stack wants them.
pub(crate) fn halves<T>(batch: &[T]) -> [&[T]; 2] {
    let (first, second) = batch.split_at(batch.len() / 2);
    [second, first]
}

/// Encodes a record; ours always encode.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have string keys and no fallible serialisers")
}

/// Decodes the record under a key.
pub(crate) fn decode<T: DeserializeOwned>(kv: &KeyValue) -> Result<Versioned<T>, RegistryError> {
    let value = serde_json::from_slice(&kv.value).map_err(|error| RegistryError::Corrupt {
        key: kv.key.to_string(),
        reason: error.to_string(),
    })?;
    Ok(Versioned { value, revision: kv.mod_revision, created: kv.create_revision })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("keys", &self.keys).finish_non_exhaustive()
    }
}
