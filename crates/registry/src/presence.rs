//! Machine presence (`cluster.md` 6, `design.md` 3 "Presence in detail").

use std::time::Duration;

use fleet_core::MachineId;
use fleet_store::{Compare, KeyValue, Lease, LeaseId, Op, StoreError, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    MachineRecord, Registry, RegistryError, Versioned,
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
}

impl Registry {
    /// Makes a machine present: creates its entry, or adopts the one that carries the same
    /// nonce (keeping its lease, and so the states an earlier fleetd published).
    ///
    /// # Errors
    /// `DuplicateMachine` when an entry with another nonce is there.
    pub async fn register(
        &self,
        machine: &MachineId,
        record: &MachineRecord,
        ttl: Duration,
    ) -> Result<Presence, RegistryError> {
        let key = self.keys.machine(machine.as_str());
        let lease = self.store.grant(ttl).await?;
        let present =
            |lease: Lease| Presence { machine: machine.clone(), lease: lease.id, ttl: lease.ttl };
        let Some(kv) = self.get(key.clone()).await? else {
            let absent = Compare::Absent(key);
            self.put_machine(absent, machine, record, lease.id).await?;
            return Ok(present(lease));
        };
        let found = match decode::<MachineRecord>(&kv) {
            Ok(found) if found.value.nonce == record.nonce => found,
            foreign => {
                self.store.revoke(lease.id).await?;
                let address = foreign.map(|found| found.value.public_ip).unwrap_or_default();
                return Err(RegistryError::DuplicateMachine { id: machine.clone(), address });
            }
        };
        let unchanged = Compare::ModRevision(key, kv.mod_revision);
        match self.adoptable(&kv, lease.ttl).await? {
            Some(old) => {
                self.store.revoke(lease.id).await?;
                if found.value != *record {
                    self.put_machine(unchanged, machine, record, old.id).await?;
                }
                Ok(present(old))
            }
            None => {
                self.put_machine(unchanged, machine, record, lease.id).await?;
                // What an earlier fleetd published hangs on its lease; ours is published anew.
                if let Some(old) = kv.lease {
                    self.store.revoke(old).await?;
                }
                Ok(present(lease))
            }
        }
    }

    /// The lease of an entry of ours, renewed, if it lives and grants the time we want.
    async fn adoptable(
        &self,
        kv: &KeyValue,
        ttl: Duration,
    ) -> Result<Option<Lease>, RegistryError> {
        let Some(id) = kv.lease else { return Ok(None) };
        match self.store.keep_alive(id).await {
            Ok(granted) if granted == ttl => Ok(Some(Lease { id, ttl })),
            Ok(_) | Err(StoreError::NoSuchLease(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn put_machine(
        &self,
        compare: Compare,
        machine: &MachineId,
        record: &MachineRecord,
        lease: LeaseId,
    ) -> Result<(), RegistryError> {
        let key = self.keys.machine(machine.as_str());
        let then = vec![Op::Put { key, value: encode(record), lease: Some(lease) }];
        match self.store.commit(Txn { compare: vec![compare], then }).await {
            Ok(outcome) if outcome.applied => Ok(()),
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
        let Some(kv) = found.filter(|kv| kv.lease == Some(presence.lease)) else {
            return Err(RegistryError::PresenceLost(presence.machine.clone()));
        };
        if decode::<MachineRecord>(&kv).is_ok_and(|found| found.value == *record) {
            return Ok(());
        }
        let unchanged = Compare::ModRevision(key, kv.mod_revision);
        self.put_machine(unchanged, &presence.machine, record, presence.lease).await
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
