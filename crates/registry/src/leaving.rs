//! Units that leave a machine (`docs/decisions/0013`).
//!
//! A machine has a unit until its agent has let it go. What says so is never in doubt: the unit's
//! record while there is one with this target, and `leaving/<name>` once the unit is destroyed.
//!
//! ```text
//!               asked to leave                 released                placed
//!  on machine ──────────────────▶ leaving ────────────────▶ nowhere ───────────▶ on a machine
//!      │          (engine; or the user,         (agent)        ▲      (engine)
//!      │           who wants it inactive)                      │
//!      └── destroyed: leaving/<name> ── released: it is gone ──┘ created anew
//! ```
//!
//! What leaves has an order of its machine that says so, which its agent watches like any other.

use std::collections::BTreeSet;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Compare, Key, KeyValue, MAX_TXN_OPS, Op, Revision, StoreError, Txn};

use crate::{
    Assignment, Leadership, Leaving, Presence, Registry, RegistryError, UnitRecord, Versioned,
    registry::{decode, encode, halves},
    units::put,
};

/// Operations of one release at most: record, order, a restart asked for, where it is leaving. It
/// compares as many keys, and the machine's entry.
const OPS_OF_RELEASE: usize = 4;

/// Releases that are written together.
const BATCH: usize = (MAX_TXN_OPS - 1) / OPS_OF_RELEASE;

/// What an agent knows of a unit it was told to let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It isn't here.
    Gone,
    /// It is here, as a global unit of that name should be.
    Stays,
}

/// An entry under `leaving/` that no longer says anything, and what that rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moot {
    /// The unit.
    pub unit: UnitName,
    /// The entry as seen.
    pub seen: Versioned<Leaving>,
    /// Why.
    pub why: Stale,
}

/// Why nothing has to wait for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It isn't present.
    Absent,
    /// Its agent says nothing of units that are gone; its entry was created at this revision.
    Silent(Revision),
    /// The unit has a machine by now: another.
    Elsewhere,
    /// The unit has a machine by now: that one. Or the entry names none.
    Settled,
    /// The machine has no order to let the unit go. Whether that is so is seen when it is written.
    NoOrder,
}

/// What one release writes, and what it rests on.
struct Release {
    unit: UnitName,
    compare: Vec<Compare>,
    then: Vec<Op>,
}

impl Registry {
    /// Tells that units this machine was to let go are gone from it, as many in a transaction as fit.
    /// Each insists on its record and its order, and all on the machine's entry. Returns those of
    /// which nothing is left to be told; what was changed meanwhile isn't among them.
    ///
    /// # Errors
    /// `PresenceLost` when the machine's entry is another one's by now, and store errors.
    pub async fn release(
        &self,
        presence: &Presence,
        units: &[(UnitName, Gone)],
    ) -> Result<BTreeSet<UnitName>, RegistryError> {
        let mut done = BTreeSet::new();
        for batch in units.chunks(BATCH) {
            let mut releases = Vec::new();
            for (unit, found) in batch.iter().zip(self.found(&presence.machine, batch).await?) {
                match self.release_of(&presence.machine, unit, found) {
                    Some(release) if release.then.is_empty() => drop(done.insert(release.unit)),
                    release => releases.extend(release),
                }
            }
            // The next one is the last.
            let mut batches: Vec<&[Release]> = vec![&releases];
            while let Some(batch) = batches.pop() {
                if batch.is_empty() {
                    continue;
                }
                match self.commit_releases(presence, batch).await {
                    Ok(true) => done.extend(batch.iter().map(|release| release.unit.clone())),
                    Ok(false) if batch.len() > 1 => batches.extend(batch.chunks(1).rev()),
                    Ok(false) => self.insist_on(presence).await?,
                    Err(RegistryError::Store(StoreError::Refused(_))) if batch.len() > 1 => {
                        batches.extend(halves(batch));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(done)
    }

    /// Record, order and where it is leaving of each unit, at one revision.
    async fn found(
        &self,
        machine: &MachineId,
        units: &[(UnitName, Gone)],
    ) -> Result<Vec<[Option<KeyValue>; 3]>, RegistryError> {
        let keys: Vec<Key> =
            units.iter().flat_map(|(unit, _)| self.keys_of(machine, unit)).collect();
        let mut kvs = self.get_all(&keys, None).await?.into_iter();
        let next = || Some([kvs.next()?, kvs.next()?, kvs.next()?]);
        Ok(std::iter::from_fn(next).collect())
    }

    fn keys_of(&self, machine: &MachineId, unit: &UnitName) -> [Key; 3] {
        let name = unit.as_str();
        [self.keys.unit(name), self.keys.schedule(machine, unit), self.keys.leaving(name)]
    }

    /// What is to be written of a unit; `None` when it isn't to go any more, or nobody can tell.
    fn release_of(
        &self,
        machine: &MachineId,
        (unit, gone): &(UnitName, Gone),
        [record, order, leaving]: [Option<KeyValue>; 3],
    ) -> Option<Release> {
        let decoded = record.as_ref().map(decode::<UnitRecord>).transpose().ok()?;
        if let Some(order) = &order
            && !decode::<Assignment>(order).ok()?.value.leaves()
        {
            return None;
        }
        let is_here = |kv: &&KeyValue| {
            decode::<Leaving>(kv).is_ok_and(|found| found.value.machine.as_ref() == Some(machine))
        };
        let mut then = Vec::new();
        if let Some(kv) = leaving.as_ref().filter(is_here) {
            then.push(Op::Delete(kv.key.clone()));
        }
        if let Some(kv) = &order {
            then.push(Op::Delete(kv.key.clone()));
            then.push(Op::Delete(self.keys.restart(machine, unit)));
        }
        match decoded.map(|record| record.value) {
            Some(record) if record.machine.as_ref() == Some(machine) => {
                if *gone == Gone::Stays || !record.leaves() {
                    return None;
                }
                let record = UnitRecord { machine: None, leaving: false, ..record };
                then.push(put(self.keys.unit(unit.as_str()), encode(&record)));
            }
            Some(record) if *gone == Gone::Stays && !record.global => return None,
            None if *gone == Gone::Stays => return None,
            _ => {}
        }
        let revision = |kv: Option<KeyValue>| kv.map_or(Revision(0), |kv| kv.mod_revision);
        let seen = [record, order, leaving].map(revision);
        let compare = self.keys_of(machine, unit).into_iter().zip(seen);
        let compare = compare.map(|(key, seen)| Compare::ModRevision(key, seen)).collect();
        Some(Release { unit: unit.clone(), compare, then })
    }

    /// Returns whether everything they rest on held.
    async fn commit_releases(
        &self,
        presence: &Presence,
        releases: &[Release],
    ) -> Result<bool, RegistryError> {
        let entry = self.keys.machine(presence.machine.as_str());
        let mut compare = vec![Compare::CreateRevision(entry, presence.created)];
        compare.extend(releases.iter().flat_map(|release| release.compare.clone()));
        let then = releases.iter().flat_map(|release| release.then.clone()).collect();
        Ok(self.store.commit(Txn { compare, then }).await?.applied)
    }

    /// Tells a release that was refused for its unit from one that this machine may not make.
    async fn insist_on(&self, presence: &Presence) -> Result<(), RegistryError> {
        let entry = self.get(self.keys.machine(presence.machine.as_str())).await?;
        match entry {
            Some(kv) if kv.create_revision == presence.created => Ok(()),
            _ => Err(RegistryError::PresenceLost(presence.machine.clone())),
        }
    }

    /// Forgets where destroyed units are leaving, as far as what that rests on holds: each by itself,
    /// as there are few. The orders go as well, but for those of units that are wanted there by now.
    /// Returns the units of which nothing is said any more.
    ///
    /// # Errors
    /// `LeadershipLost` when `lead` is no longer ours, and store errors.
    pub async fn forget_leaving(
        &self,
        lead: &Leadership,
        moot: &[Moot],
    ) -> Result<BTreeSet<UnitName>, RegistryError> {
        let mut forgotten = BTreeSet::new();
        for Moot { unit, seen, why } in moot {
            let leaving = self.keys.leaving(unit.as_str());
            let mut compare = vec![
                Compare::ModRevision(self.keys.leader(), lead.revision),
                Compare::ModRevision(leaving.clone(), seen.revision),
            ];
            let mut then = vec![Op::Delete(leaving)];
            if let Some(machine) = &seen.value.machine {
                let entry = self.keys.machine(machine.as_str());
                let order = self.keys.schedule(machine, unit);
                match why {
                    Stale::Absent => compare.push(Compare::Absent(entry)),
                    Stale::Silent(created) => {
                        compare.push(Compare::CreateRevision(entry, *created));
                    }
                    Stale::NoOrder => compare.push(Compare::Absent(order.clone())),
                    Stale::Elsewhere | Stale::Settled => {}
                }
                if matches!(why, Stale::Absent | Stale::Silent(_) | Stale::Elsewhere) {
                    then.push(Op::Delete(order));
                }
            }
            if self.store.commit(Txn { compare, then }).await?.applied {
                forgotten.insert(unit.clone());
            } else if !self.leads(lead).await? {
                return Err(RegistryError::LeadershipLost);
            }
        }
        Ok(forgotten)
    }

    async fn leads(&self, lead: &Leadership) -> Result<bool, RegistryError> {
        let held = self.get(self.keys.leader()).await?;
        Ok(held.is_some_and(|kv| kv.mod_revision == lead.revision))
    }

    /// The machine that a unit of this name, since destroyed, is still leaving. An entry that can't
    /// be understood says nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leaving(&self, unit: &UnitName) -> Result<Option<MachineId>, RegistryError> {
        let kv = self.get(self.keys.leaving(unit.as_str())).await?;
        Ok(kv.and_then(|kv| decode::<Leaving>(&kv).ok()?.value.machine))
    }
}
