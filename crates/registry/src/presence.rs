//! Machine presence (`cluster.md` 6, decision 3).

use std::time::Duration;

use fleet_core::MachineId;
use fleet_store::{Compare, KeyValue, Lease, LeaseId, Op, Revision, StoreError, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    EarlierEntry, MachineRecord, Registry, RegistryError, Versioned,
    earlier::may_be_our_own,
    registry::{decode, encode},
};

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
    /// The revision that created its entry: tells the entry from one that came later.
    pub created: Revision,
}

/// An entry as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryVersion {
    /// Its last change.
    pub(crate) revision: Revision,
    /// What created it.
    pub(crate) created: Revision,
}

/// The lease for an entry that is there.
enum Found {
    Old(Lease),
    New(Lease),
}

impl Registry {
    /// Makes a machine present: creates its entry, or adopts the one that carries the same
    /// nonce (keeping its lease, and so the states an earlier fleetd published).
    ///
    /// # Errors
    /// `EarlierEntry` when an entry with another nonce is there that carries this address, and
    /// `DuplicateMachine` when one with another address is.
    pub async fn register(
        &self,
        machine: &MachineId,
        record: &MachineRecord,
        ttl: Duration,
    ) -> Result<Presence, RegistryError> {
        let key = self.keys.machine(machine.as_str());
        let Some(kv) = self.get(key.clone()).await? else {
            let lease = self.store.grant(ttl).await?;
            return self.enter(None, machine, record, lease).await;
        };
        let found = match decode::<MachineRecord>(&kv) {
            Ok(found) if found.value.nonce == record.nonce => found,
            Ok(found) if may_be_our_own(&found.value, record) => {
                let entry = EarlierEntry::of(machine.clone(), found.value, &kv);
                return Err(RegistryError::EarlierEntry(Box::new(entry)));
            }
            foreign => {
                let address = foreign.map(|found| found.value.public_ip).unwrap_or_default();
                return Err(RegistryError::DuplicateMachine { id: machine.clone(), address });
            }
        };
        match self.lease_for(&kv, ttl).await? {
            Found::Old(Lease { id: lease, ttl }) => {
                if found.value != *record {
                    let unchanged = Compare::ModRevision(key, kv.mod_revision);
                    self.put_machine(unchanged, machine, record, lease).await?;
                }
                let created = kv.create_revision;
                Ok(Presence { machine: machine.clone(), lease, ttl, created })
            }
            Found::New(lease) => {
                let old = EntryVersion { revision: kv.mod_revision, created: kv.create_revision };
                let presence = self.enter(Some(old), machine, record, lease).await?;
                // What an earlier fleetd published hangs on its lease; ours is published anew.
                if let Some(old) = kv.lease {
                    self.store.revoke(old).await?;
                }
                Ok(presence)
            }
        }
    }

    /// Makes the entry on a new lease, which doesn't stay without it. It takes the place of `old`.
    pub(crate) async fn enter(
        &self,
        old: Option<EntryVersion>,
        machine: &MachineId,
        record: &MachineRecord,
        Lease { id: lease, ttl }: Lease,
    ) -> Result<Presence, RegistryError> {
        let key = self.keys.machine(machine.as_str());
        let compare = match old {
            Some(old) => Compare::ModRevision(key, old.revision),
            None => Compare::Absent(key),
        };
        let entered = self.put_machine(compare, machine, record, lease).await;
        if entered.as_ref().is_err_and(|error| !error.is_unavailable()) {
            // Nothing hangs on it. When this fails it expires.
            let _ = self.store.revoke(lease).await;
        }
        let created = old.map(|old| old.created);
        let machine = machine.clone();
        entered.map(|at| Presence { machine, lease, ttl, created: created.unwrap_or(at) })
    }

    /// The lease of an entry of ours, renewed, if it lives and grants the time we want; else a
    /// new one.
    async fn lease_for(&self, kv: &KeyValue, ttl: Duration) -> Result<Found, RegistryError> {
        let Some(id) = kv.lease else { return Ok(Found::New(self.store.grant(ttl).await?)) };
        let granted = match self.store.keep_alive(id).await {
            Ok(granted) if granted == ttl => return Ok(Found::Old(Lease { id, ttl })),
            Ok(granted) => Some(granted),
            Err(StoreError::NoSuchLease(_)) => None,
            Err(error) => return Err(error.into()),
        };
        // Stores grant more than was asked for, if they like. Only another lease can tell.
        let lease = self.store.grant(ttl).await?;
        if granted != Some(lease.ttl) {
            return Ok(Found::New(lease));
        }
        self.store.revoke(lease.id).await?;
        Ok(Found::Old(Lease { id, ttl: lease.ttl }))
    }

    /// Returns the revision that this made.
    pub(crate) async fn put_machine(
        &self,
        compare: Compare,
        machine: &MachineId,
        record: &MachineRecord,
        lease: LeaseId,
    ) -> Result<Revision, RegistryError> {
        let key = self.keys.machine(machine.as_str());
        let then = vec![Op::Put { key, value: encode(record), lease: Some(lease) }];
        match self.store.commit(Txn { compare: vec![compare], then }).await {
            Ok(outcome) if outcome.applied => Ok(outcome.revision),
            Ok(_) => Err(RegistryError::Conflict(format!("machine {machine}"))),
            Err(StoreError::NoSuchLease(_)) => Err(RegistryError::PresenceLost(machine.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The entry of one machine, if it is present.
    ///
    /// # Errors
    /// The store failed, or the entry is corrupt.
    pub async fn machine(
        &self,
        id: &MachineId,
    ) -> Result<Option<Versioned<MachineRecord>>, RegistryError> {
        self.get(self.keys.machine(id.as_str())).await?.as_ref().map(decode).transpose()
    }

    /// Publishes what has changed about a machine that is present, under the lease it has.
    /// Nothing is written to say nothing new.
    ///
    /// # Errors
    /// `PresenceLost` when its entry is gone or hangs on another lease: register again.
    pub async fn update_machine(
        &self,
        presence: &Presence,
        record: &MachineRecord,
    ) -> Result<(), RegistryError> {
        let key = self.keys.machine(presence.machine.as_str());
        let found = self.get(key.clone()).await?;
        let is_held = |kv: &KeyValue| {
            kv.lease == Some(presence.lease) && kv.create_revision == presence.created
        };
        let Some(kv) = found.filter(is_held) else {
            return Err(RegistryError::PresenceLost(presence.machine.clone()));
        };
        if decode::<MachineRecord>(&kv).is_ok_and(|found| found.value == *record) {
            return Ok(());
        }
        let unchanged = Compare::ModRevision(key, kv.mod_revision);
        self.put_machine(unchanged, &presence.machine, record, presence.lease).await.map(drop)
    }

    /// Renews a machine's lease.
    ///
    /// # Errors
    /// `PresenceLost` when it has expired: register again, and publish everything again.
    pub async fn beat(&self, presence: &Presence) -> Result<(), RegistryError> {
        match self.store.keep_alive(presence.lease).await {
            Ok(_) => Ok(()),
            Err(StoreError::NoSuchLease(_)) => {
                Err(RegistryError::PresenceLost(presence.machine.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a machine's presence, and with it all states it published.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leave(&self, presence: &Presence) -> Result<(), RegistryError> {
        Ok(self.store.revoke(presence.lease).await?)
    }
}
