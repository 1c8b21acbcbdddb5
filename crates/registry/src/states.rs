//! What machines publish about their units.

use std::collections::BTreeMap;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Key, MAX_TXN_OPS, Op, Range, StoreError, Txn};

use crate::{
    Presence, PublishedState, Registry, RegistryError,
    registry::{decode, encode, halves},
};

impl Registry {
    /// Publishes states of units (or withdraws them: `None`), as many in a transaction as fit.
    /// One that the store refuses as it is costs only itself.
    ///
    /// # Errors
    /// `PresenceLost` when the machine's lease has expired; nothing of the failing transaction
    /// was published.
    pub async fn publish(
        &self,
        presence: &Presence,
        states: &BTreeMap<UnitName, Option<PublishedState>>,
    ) -> Result<(), RegistryError> {
        let op = |(name, state): (&UnitName, &Option<PublishedState>)| {
            let key = self.keys.state(name.as_str(), presence.machine.as_str());
            match state {
                Some(state) => Op::Put { key, value: encode(state), lease: Some(presence.lease) },
                None => Op::Delete(key),
            }
        };
        let ops: Vec<Op> = states.iter().map(op).collect();
        // The next one is the last.
        let mut batches: Vec<&[Op]> = ops.chunks(MAX_TXN_OPS).rev().collect();
        let mut refused = None;
        while let Some(batch) = batches.pop() {
            let txn = Txn { compare: Vec::new(), then: batch.to_vec() };
            match self.store.commit(txn).await {
                Ok(_) => {}
                Err(StoreError::NoSuchLease(_)) => {
                    return Err(RegistryError::PresenceLost(presence.machine.clone()));
                }
                Err(StoreError::Refused(_)) if batch.len() > 1 => batches.extend(halves(batch)),
                Err(error @ StoreError::Refused(_)) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether any machine reports a state of a unit.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_reported(&self, name: &UnitName) -> Result<bool, RegistryError> {
        let range = Range::prefix(&self.keys.states_of(name.as_str())).limit(1);
        let snapshot = self.store.read(&[range], None).await?;
        Ok(snapshot.ranges.into_iter().any(|range| !range.kvs.is_empty()))
    }

    /// What this machine has published and is still there, by unit: for a fleetd that adopts an
    /// earlier one's presence and knows which units it may have published (`candidates`).
    ///
    /// # Errors
    /// The store failed.
    pub async fn published<'a>(
        &self,
        machine: &MachineId,
        candidates: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<BTreeMap<UnitName, PublishedState>, RegistryError> {
        let names: Vec<&UnitName> = candidates.into_iter().collect();
        let keys: Vec<Key> =
            names.iter().map(|name| self.keys.state(name.as_str(), machine.as_str())).collect();
        let kvs = self.get_all(&keys, None).await?;
        // One that can't be understood counts as not published, so it is written again.
        let known = |(name, kv): (&UnitName, Option<_>)| {
            Some((name.clone(), decode::<PublishedState>(&kv?).ok()?.value))
        };
        Ok(names.into_iter().zip(kvs).filter_map(known).collect())
    }
}
