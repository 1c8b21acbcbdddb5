//! An entry that this machine may have left itself, before it was booted (`docs/decisions/0016`).
//!
//! It carries the machine's own address and another nonce. Whoever wrote it is gone, or it is another
//! machine after all, behind the same kind of address translation, say. Time tells: nobody renews
//! the lease of one that is gone. So does a question, where whoever wrote the entry is of a kind that answers.

use std::time::Duration;

use fleet_core::{MachineId, MachineStanding};
use fleet_store::{Change, Compare, KeyValue, LeaseId, Range};

use crate::{MachineRecord, Presence, Registry, RegistryError, presence::EntryVersion};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierEntry {
    /// The machine.
    pub machine: MachineId,
    /// What it says.
    pub record: MachineRecord,
    seen: EntryVersion,
    lease: Option<LeaseId>,
}

/// Whether an entry with another nonce than `ours` may be of this machine all the same.
pub(crate) fn may_be_our_own(entry: &MachineRecord, ours: &MachineRecord) -> bool {
    !ours.public_ip.is_empty() && entry.public_ip == ours.public_ip
}

impl EarlierEntry {
    pub(crate) fn of(machine: MachineId, record: MachineRecord, kv: &KeyValue) -> Self {
        let seen = EntryVersion { revision: kv.mod_revision, created: kv.create_revision };
        Self { machine, record, seen, lease: kv.lease }
    }

    /// Whether it is of another boot than `boot_id`, and whoever wrote it would answer a question. One
    /// that leaves, or whose systemd doesn't answer, may be too busy to.
    #[must_use]
    pub fn can_be_asked(&self, boot_id: &str) -> bool {
        let is_known = !self.record.boot_id.is_empty() && !boot_id.is_empty();
        is_known
            && self.lease.is_some()
            && self.record.boot_id != boot_id
            && self.record.standing == MachineStanding::InService
    }
}

impl Registry {
    /// Asks whoever wrote `entry` whether it is still there, in the name of `nonce`; returns the entry
    /// as it is with the question. Whoever is there writes it anew.
    ///
    /// # Errors
    /// `Conflict` when it has changed meanwhile, `PresenceLost` when its lease has ended.
    pub async fn ask(
        &self,
        entry: &EarlierEntry,
        nonce: &str,
    ) -> Result<EarlierEntry, RegistryError> {
        let EarlierEntry { machine, record, seen, lease } = entry.clone();
        let lease = lease.ok_or_else(|| RegistryError::PresenceLost(machine.clone()))?;
        let asked = MachineRecord { asked_by: nonce.to_owned(), ..record.clone() };
        let unchanged = Compare::ModRevision(self.keys.machine(machine.as_str()), seen.revision);
        let revision = self.put_machine(unchanged, &machine, &asked, lease).await?;
        let seen = EntryVersion { revision, ..seen };
        Ok(EarlierEntry { machine, record, seen, lease: Some(lease) })
    }

    /// Waits until `entry` is no more what it was, and returns whether it is gone. Cancel-safe.
    ///
    /// # Errors
    /// The store failed, or the watch broke.
    pub async fn outlives(&self, entry: &EarlierEntry) -> Result<bool, RegistryError> {
        let key = Range::key(self.keys.machine(entry.machine.as_str()));
        let mut changes = self.store.watch(&[key], entry.seen.revision.next()).await?;
        match changes.next().await {
            Ok(changes) => Ok(matches!(changes.last(), Some(Change::Delete { .. }))),
            Err(error) => Err(error.into()),
        }
    }

    /// For how long `entry` stays if nobody renews its lease.
    ///
    /// # Errors
    /// The store failed.
    pub async fn time_left(&self, entry: &EarlierEntry) -> Result<Duration, RegistryError> {
        let Some(lease) = entry.lease else { return Ok(Duration::ZERO) };
        Ok(self.store.time_to_live(lease).await?.unwrap_or_default())
    }

    /// Makes a machine present in the place of `entry`, whose lease ends: the machine was never away.
    ///
    /// # Errors
    /// `Conflict` when the entry has changed meanwhile: whoever wrote it is there.
    pub async fn succeed(
        &self,
        entry: &EarlierEntry,
        record: &MachineRecord,
        ttl: Duration,
    ) -> Result<Presence, RegistryError> {
        let lease = self.store.grant(ttl).await?;
        let presence = self.enter(Some(entry.seen), &entry.machine, record, lease).await?;
        // What was published before the boot hangs on the old one.
        if let Some(old) = entry.lease {
            self.store.revoke(old).await?;
        }
        Ok(presence)
    }
}
