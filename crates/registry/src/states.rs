//! What machines publish about their units.

use std::collections::BTreeMap;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Compare, Key, KeyValue, LeaseId, MAX_TXN_OPS, Op, Range, StoreError, Txn};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    HostObstacle, Presence, PublishedState, Registry, RegistryError, Trouble,
    keys::{Entry, Keys},
    registry::{decode, encode, halves},
};

/// What a machine publishes of a unit, each kind under keys of its own.
pub trait Published: Serialize + DeserializeOwned + Send + Sync {
    /// The key for a unit and a machine.
    const KEY: fn(&Keys, unit: &str, machine: &str) -> Key;
}

impl Published for PublishedState {
    const KEY: fn(&Keys, &str, &str) -> Key = Keys::state;
}

impl Published for Trouble {
    const KEY: fn(&Keys, &str, &str) -> Key = Keys::trouble;
}

impl Published for HostObstacle {
    const KEY: fn(&Keys, &str, &str) -> Key = Keys::obstacle;
}

impl Registry {
    /// Publishes something of units (or withdraws it: `None`), as much in a transaction as fits.
    /// What the store refuses as it is costs only itself.
    ///
    /// # Errors
    /// `PresenceLost` when the machine's lease has expired, or something is to be withdrawn and
    /// the machine's entry is another one's by now; nothing of the failing transaction was
    /// published.
    pub async fn publish<T: Published>(
        &self,
        presence: &Presence,
        news: &BTreeMap<UnitName, Option<T>>,
    ) -> Result<(), RegistryError> {
        let key = |name: &UnitName| (T::KEY)(&self.keys, name.as_str(), presence.machine.as_str());
        let op = |(name, value): (&UnitName, &Option<T>)| match value {
            Some(value) => {
                Op::Put { key: key(name), value: encode(value), lease: Some(presence.lease) }
            }
            None => Op::Delete(key(name)),
        };
        let ops: Vec<Op> = news.iter().map(op).collect();
        let lost = || RegistryError::PresenceLost(presence.machine.clone());
        // The next one is the last.
        let mut batches: Vec<&[Op]> = ops.chunks(MAX_TXN_OPS).rev().collect();
        let mut refused = None;
        while let Some(batch) = batches.pop() {
            let txn = Txn { compare: self.insists(presence, batch), then: batch.to_vec() };
            match self.store.commit(txn).await {
                Ok(outcome) if outcome.applied => {}
                Ok(_) | Err(StoreError::NoSuchLease(_)) => return Err(lost()),
                Err(StoreError::Refused(_)) if batch.len() > 1 => batches.extend(halves(batch)),
                Err(error @ StoreError::Refused(_)) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What `ops` rest on. Writing insists on the lease by itself; deleting doesn't, and could take
    /// away what another with the same id has published since this one's presence ended.
    fn insists(&self, presence: &Presence, ops: &[Op]) -> Vec<Compare> {
        let entry = || self.keys.machine(presence.machine.as_str());
        let deletes = ops.iter().any(|op| matches!(op, Op::Delete(_)));
        deletes.then(|| Compare::CreateRevision(entry(), presence.created)).into_iter().collect()
    }

    /// What keeps a unit from being as it should be on one machine, as that one says.
    ///
    /// # Errors
    /// The store failed, or what is there is corrupt.
    pub async fn trouble(
        &self,
        name: &UnitName,
        machine: &MachineId,
    ) -> Result<Option<Trouble>, RegistryError> {
        let kv = self.get(self.keys.trouble(name.as_str(), machine.as_str())).await?;
        Ok(kv.as_ref().map(decode).transpose()?.map(|trouble| trouble.value))
    }

    /// What every machine that publishes something of a unit has published, of `most` machines at
    /// most.
    ///
    /// # Errors
    /// The store failed. What is corrupt is left out.
    pub async fn published_by_all<T: Published>(
        &self,
        name: &UnitName,
        most: usize,
    ) -> Result<BTreeMap<MachineId, T>, RegistryError> {
        let prefix = (T::KEY)(&self.keys, name.as_str(), "");
        let snapshot = self.store.read(&[Range::prefix(&prefix).limit(most)], None).await?;
        let kvs = snapshot.ranges.into_iter().flat_map(|range| range.kvs);
        let said = kvs.filter_map(|kv| match self.keys.parse(&kv.key)? {
            Entry::State(_, machine) | Entry::Trouble(_, machine) | Entry::Obstacle(_, machine) => {
                Some((machine, decode::<T>(&kv).ok()?.value))
            }
            _ => None,
        });
        Ok(said.collect())
    }

    /// What this machine has published and is still there, by unit: for a fleetd that adopts an
    /// earlier one's presence and knows which units it may have published (`candidates`). With a
    /// `lease` only what hangs on that: the rest won't stay.
    ///
    /// # Errors
    /// The store failed.
    pub async fn published<'a, T: Published>(
        &self,
        machine: &MachineId,
        lease: Option<LeaseId>,
        candidates: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<BTreeMap<UnitName, T>, RegistryError> {
        let key = |name: &&UnitName| (T::KEY)(&self.keys, name.as_str(), machine.as_str());
        let names: Vec<&UnitName> = candidates.into_iter().collect();
        let keys: Vec<Key> = names.iter().map(key).collect();
        let kvs = self.get_all(&keys, None).await?;
        // One that can't be understood counts as not published, so it is written again.
        let known = |(name, kv): (&UnitName, Option<KeyValue>)| {
            let kv = kv.filter(|kv| lease.is_none() || kv.lease == lease)?;
            Some((name.clone(), decode::<T>(&kv).ok()?.value))
        };
        Ok(names.into_iter().zip(kvs).filter_map(known).collect())
    }
}
