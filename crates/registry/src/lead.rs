//! The engine lease (`cluster.md` 3).

use std::time::Duration;

use fleet_core::MachineId;
use fleet_store::{Compare, Lease, LeaseId, Op, Revision, StoreError, Txn};
use serde::{Deserialize, Serialize};

use crate::{Registry, RegistryError, Versioned, registry::encode, units::put};

/// How often raising the engine version starts over when another engine changes it as well.
const RAISE_ATTEMPTS: usize = 5;

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

impl LeaderRecord {
    /// Reads a lease value; one that isn't our JSON is a bare machine id of version 0
    /// (`fleetd.md` 9).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok().or_else(|| {
            let machine = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
            Some(Self { machine, version: 0 })
        })
    }
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
    /// Whether somebody has the engine lease.
    ///
    /// # Errors
    /// The store failed.
    pub async fn has_leader(&self) -> Result<bool, RegistryError> {
        Ok(self.get(self.keys.leader()).await?.is_some())
    }

    /// Takes the engine lease if nobody has it; `None` when somebody does.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acquire_lead(
        &self,
        me: &LeaderRecord,
        ttl: Duration,
    ) -> Result<Option<Leadership>, RegistryError> {
        self.take_lead(Compare::Absent(self.keys.leader()), me, ttl).await
    }

    /// Takes the engine lease from an engine of a lower version; `None` when it changed hands
    /// since `seen`. Returns the time that remained of the stolen lease: the caller waits it out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn steal_lead(
        &self,
        seen: &Versioned<LeaderRecord>,
        me: &LeaderRecord,
        ttl: Duration,
    ) -> Result<Option<(Leadership, Duration)>, RegistryError> {
        let Some(kv) = self.get(self.keys.leader()).await? else { return Ok(None) };
        let remaining = match kv.lease {
            Some(lease) => self.store.time_to_live(lease).await?.unwrap_or_default(),
            None => Duration::ZERO,
        };
        let unchanged = Compare::ModRevision(self.keys.leader(), seen.revision);
        Ok(self.take_lead(unchanged, me, ttl).await?.map(|lead| (lead, remaining)))
    }

    async fn take_lead(
        &self,
        compare: Compare,
        me: &LeaderRecord,
        ttl: Duration,
    ) -> Result<Option<Leadership>, RegistryError> {
        let lease = self.store.grant(ttl).await?;
        let key = self.keys.leader();
        let then = vec![Op::Put { key, value: encode(me), lease: Some(lease.id) }];
        let outcome = self.store.commit(Txn { compare: vec![compare], then }).await?;
        if outcome.applied {
            let Lease { id, ttl } = lease;
            return Ok(Some(Leadership { revision: outcome.revision, lease: id, ttl }));
        }
        self.store.revoke(lease.id).await?;
        Ok(None)
    }

    /// Renews the engine lease.
    ///
    /// # Errors
    /// `LeadershipLost` when it has expired.
    pub async fn renew_lead(&self, lead: &Leadership) -> Result<(), RegistryError> {
        match self.store.keep_alive(lead.lease).await {
            Ok(_) => Ok(()),
            Err(StoreError::NoSuchLease(_)) => Err(RegistryError::LeadershipLost),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the store for nothing: shows whether it answers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn probe(&self) -> Result<(), RegistryError> {
        self.store.read(&[], None).await?;
        Ok(())
    }

    /// Gives up the engine lease, so that another engine takes over at once.
    ///
    /// # Errors
    /// The store failed.
    pub async fn release_lead(&self, lead: Leadership) -> Result<(), RegistryError> {
        // A lease that was stolen no longer has the key, so this can't depose the thief.
        Ok(self.store.revoke(lead.lease).await?)
    }

    /// Raises the cluster's engine version to `to` unless it is that high already.
    ///
    /// # Errors
    /// The store failed, or `Conflict` when others keep changing it.
    pub async fn raise_engine_version(&self, to: u64) -> Result<(), RegistryError> {
        let key = self.keys.engine_version();
        for _ in 0..RAISE_ATTEMPTS {
            let compare = match self.get(key.clone()).await? {
                Some(kv) if parse_version(&kv.value) >= to => return Ok(()),
                Some(kv) => Compare::ModRevision(key.clone(), kv.mod_revision),
                None => Compare::Absent(key.clone()),
            };
            let then = vec![put(key.clone(), to.to_string().into_bytes())];
            if self.store.commit(Txn { compare: vec![compare], then }).await?.applied {
                return Ok(());
            }
        }
        Err(RegistryError::Conflict("engine version".to_owned()))
    }
}

/// The engine version as stored; anything else than a decimal number is 0.
pub(crate) fn parse_version(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
