//! Units: submit, replace, set the desired state, destroy. Each is one transaction.

use std::{collections::BTreeMap, time::Duration};

use fleet_core::{JobState, MachineId, UnitFile, UnitHash, UnitName};
use fleet_store::{Compare, Key, KeyValue, MAX_TXN_OPS, Op, Range, Revision, Txn};

use crate::{
    Assignment, Attempts, Leaving, PublishedState, Registry, RegistryError, UnitRecord, Versioned,
    keys::Entry,
    registry::{decode, encode},
};

/// How long a destroy starts over when the unit keeps changing under it.
const DESTROY_TIME: Duration = Duration::from_secs(10);

/// Orders about one unit that are deleted at most, where there should be one.
const MAX_ORDERS: usize = MAX_TXN_OPS / 2;

/// A unit as the API shows it, all of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// What is decided about it.
    pub record: Versioned<UnitRecord>,
    /// Its content.
    pub file: UnitFile,
    /// Its current state as a whole (`cluster.md` 1); `inactive` for global units.
    pub current_state: JobState,
    /// What its machine has published of it; `None` for global units.
    pub published: Option<PublishedState>,
}

impl Registry {
    /// Reads one unit.
    ///
    /// # Errors
    /// The store failed, or the stored unit is corrupt.
    pub async fn unit(&self, name: &UnitName) -> Result<Option<Unit>, RegistryError> {
        self.files.get.count(self.read_unit(name)).await
    }

    async fn read_unit(&self, name: &UnitName) -> Result<Option<Unit>, RegistryError> {
        let ranges = [self.keys.unit(name.as_str()), self.keys.file(name.as_str())].map(Range::key);
        let snapshot = self.store.read(&ranges, None).await?;
        let revision = snapshot.revision;
        let mut kvs = snapshot.ranges.into_iter().map(|range| range.kvs.into_iter().next());
        let (record, file) = (kvs.next().flatten(), kvs.next().flatten());
        let Some(record) = record else { return Ok(None) };
        let record: Versioned<UnitRecord> = decode(&record)?;
        let state = match &record.value.machine {
            Some(machine) => {
                let key = self.keys.state(name.as_str(), machine.as_str());
                self.get_all(&[key], Some(revision)).await?.pop().flatten()
            }
            None => None,
        };
        self.assemble(name.clone(), record, file.as_ref(), state.as_ref()).map(Some)
    }

    /// Joins what is stored about a unit.
    pub(crate) fn assemble(
        &self,
        name: UnitName,
        record: Versioned<UnitRecord>,
        file: Option<&KeyValue>,
        state: Option<&KeyValue>,
    ) -> Result<Unit, RegistryError> {
        let corrupt = |reason: String| RegistryError::Corrupt {
            key: self.keys.file(name.as_str()).to_string(),
            reason,
        };
        let text = file.ok_or_else(|| corrupt("there is a record but no content".to_owned()))?;
        let file =
            UnitFile::parse_stored(&text.value).map_err(|error| corrupt(error.to_string()))?;
        let published = state.map(decode::<PublishedState>).transpose()?.map(|state| state.value);
        let current_state = match &published {
            // What is said of another content says nothing of this one.
            Some(state) if state.hash != record.value.hash => JobState::Inactive,
            Some(state) if state.claim == JobState::Launched => JobState::Launched,
            Some(_) => JobState::Loaded,
            None => JobState::Inactive,
        };
        Ok(Unit { name, record, file, current_state, published })
    }

    /// Creates a unit.
    ///
    /// # Errors
    /// `Conflict` when there is one of that name.
    pub async fn create_unit(
        &self,
        name: &UnitName,
        file: &UnitFile,
        desired: JobState,
    ) -> Result<(), RegistryError> {
        self.files.set.count(self.write_new(name, file, desired)).await
    }

    /// Creates a unit if there is none of that name and etcd has room for it. Returns whether it did. That
    /// there was one counts as no attempt.
    ///
    /// # Errors
    /// The store failed.
    pub async fn create_if_absent(
        &self,
        name: &UnitName,
        file: &UnitFile,
        desired: JobState,
    ) -> Result<bool, RegistryError> {
        let is_nothing = |error: &RegistryError| {
            matches!(error, RegistryError::Conflict(_)) || error.is_out_of_space()
        };
        let write = self.write_new(name, file, desired);
        match self.files.set.count_unless(write, is_nothing).await {
            Ok(()) => Ok(true),
            Err(error) if is_nothing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write_new(
        &self,
        name: &UnitName,
        file: &UnitFile,
        desired: JobState,
    ) -> Result<(), RegistryError> {
        let record = record_of(name, file, desired, None);
        let absent = Compare::Absent(self.keys.unit(name.as_str()));
        self.write_unit(name, absent, None, &record, Some(file)).await
    }

    /// Replaces content and desired state of a unit; it stays on its machine, or goes back there
    /// when it is wanted again. One that was asked to leave is judged anew.
    ///
    /// # Errors
    /// `Conflict` when it changed since `seen`.
    pub async fn replace_unit(
        &self,
        seen: &Unit,
        file: &UnitFile,
        desired: JobState,
    ) -> Result<(), RegistryError> {
        let old = &seen.record.value;
        let mut record = record_of(&seen.name, file, desired, old.machine.clone());
        if desired == JobState::Inactive {
            record.return_to = record.machine.clone();
        }
        let unchanged = self.unchanged(seen);
        let write = self.write_unit(&seen.name, unchanged, Some(old), &record, Some(file));
        self.files.set.count(write).await
    }

    /// Sets the desired state of a unit. Setting what is set already writes nothing. A unit that
    /// isn't wanted any more need not go back to where its old content was.
    ///
    /// # Errors
    /// `Conflict` when it changed since `seen`.
    pub async fn set_desired_state(
        &self,
        seen: &Unit,
        desired: JobState,
    ) -> Result<(), RegistryError> {
        let old = &seen.record.value;
        let is_bound_back = desired != JobState::Inactive && old.machine.is_none();
        let return_to = old.return_to.clone().filter(|_| is_bound_back);
        let record = UnitRecord { desired_state: desired, return_to, ..old.clone() };
        if record == *old {
            return Ok(());
        }
        self.write_unit(&seen.name, self.unchanged(seen), Some(old), &record, None).await
    }

    fn unchanged(&self, seen: &Unit) -> Compare {
        Compare::ModRevision(self.keys.unit(seen.name.as_str()), seen.record.revision)
    }

    /// Writes a record together with all that follows from it.
    async fn write_unit(
        &self,
        name: &UnitName,
        compare: Compare,
        old: Option<&UnitRecord>,
        new: &UnitRecord,
        file: Option<&UnitFile>,
    ) -> Result<(), RegistryError> {
        let mut then = self.unit_ops(name, old, new);
        if let Some(file) = file {
            then.push(put(self.keys.file(name.as_str()), file.to_text().into_bytes()));
        }
        let outcome = self.store.commit(Txn { compare: vec![compare], then }).await?;
        if outcome.applied { Ok(()) } else { Err(RegistryError::Conflict(format!("unit {name}"))) }
    }

    /// What turns `old` into `new`: the record, and the orders to machines that follow from it.
    pub(crate) fn unit_ops(
        &self,
        name: &UnitName,
        old: Option<&UnitRecord>,
        new: &UnitRecord,
    ) -> Vec<Op> {
        let mut ops = vec![put(self.keys.unit(name.as_str()), encode(new))];
        let orders = |record: &UnitRecord| -> Option<Key> {
            match (&record.machine, record.global) {
                (_, true) => Some(self.keys.global(name)),
                (Some(machine), false) => Some(self.keys.schedule(machine, name)),
                (None, false) => None,
            }
        };
        let now = orders(new);
        if let Some(before) = old.and_then(orders)
            && now.as_ref() != Some(&before)
        {
            ops.push(Op::Delete(before));
            // What was asked of the machine it leaves is void.
            let left = old.and_then(|old| old.machine.as_ref());
            ops.extend(left.map(|machine| Op::Delete(self.keys.restart(machine, name))));
        }
        if let Some(key) = now {
            ops.push(put(key, encode(&new.assignment())));
        }
        ops
    }

    /// Destroys a unit: its record, content and restarts asked for. The machine that has it is told
    /// to let it go, and is said to have it until then. Works on a corrupt record too.
    ///
    /// # Errors
    /// `NoSuchUnit`; `Conflict` when it changes faster than it can be destroyed.
    pub async fn destroy_unit(&self, name: &UnitName) -> Result<(), RegistryError> {
        let mut attempts = Attempts::within(DESTROY_TIME);
        loop {
            let Some(kv) = self.get(self.keys.unit(name.as_str())).await? else {
                return Err(RegistryError::NoSuchUnit(name.clone()));
            };
            let mut then = vec![
                Op::Delete(kv.key.clone()),
                Op::Delete(self.keys.file(name.as_str())),
                Op::Delete(self.keys.global(name)),
            ];
            match decode::<UnitRecord>(&kv) {
                Ok(Versioned { value: record, .. }) if record.global => {
                    let restarts = self.restarts_of_global(name).await?;
                    let left = MAX_TXN_OPS - then.len();
                    then.extend(restarts.into_iter().take(left).map(Op::Delete));
                }
                Ok(Versioned { value: UnitRecord { machine, hash, .. }, .. }) => {
                    then.extend(machine.iter().flat_map(|at| self.let_go(name, at, hash)));
                }
                Err(_) => then.extend(self.let_go_anywhere(name).await?),
            }
            let compare = vec![Compare::ModRevision(kv.key, kv.mod_revision)];
            if self.store.commit(Txn { compare, then }).await?.applied {
                return Ok(());
            }
            if !attempts.again().await {
                return Err(RegistryError::Conflict(format!("unit {name}")));
            }
        }
    }

    /// What tells a machine to let go of a unit that is destroyed, and others that it has it.
    fn let_go(&self, name: &UnitName, machine: &MachineId, hash: UnitHash) -> [Op; 3] {
        let leaving = Leaving { machine: Some(machine.clone()) };
        [
            put(self.keys.schedule(machine, name), encode(&Assignment::to_leave(hash))),
            put(self.keys.leaving(name.as_str()), encode(&leaving)),
            Op::Delete(self.keys.restart(machine, name)),
        ]
    }

    /// The same for a unit whose record doesn't say where it is: by its schedule entry. There is one
    /// at most, or somebody else has written it.
    async fn let_go_anywhere(&self, name: &UnitName) -> Result<Vec<Op>, RegistryError> {
        let (kvs, _) = self.scan(&[Range::prefix(&self.keys.schedules())]).await?;
        let mut its = kvs.iter().filter_map(|kv| match self.keys.parse(&kv.key) {
            Some(Entry::Schedule(machine, of)) if of == *name => Some((machine, kv)),
            _ => None,
        });
        let Some((machine, kv)) = its.next() else { return Ok(Vec::new()) };
        let order = decode::<Assignment>(kv).map(|order| order.value.hash);
        let hash = order.unwrap_or_else(|_| UnitHash::of(b"")); // what is to go needs no content
        let others = its.take(MAX_ORDERS).map(|(_, kv)| Op::Delete(kv.key.clone()));
        Ok(self.let_go(name, &machine, hash).into_iter().chain(others).collect())
    }

    /// What is decided about several units, at one revision; those that don't exist, or that can't be
    /// understood, are left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unit_records<'a>(
        &self,
        names: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<BTreeMap<UnitName, UnitRecord>, RegistryError> {
        let names: Vec<&UnitName> = names.into_iter().collect();
        let keys: Vec<Key> = names.iter().map(|name| self.keys.unit(name.as_str())).collect();
        let kvs = self.get_all(&keys, None).await?;
        let record = |(name, kv): (&UnitName, Option<KeyValue>)| {
            Some((name.clone(), decode::<UnitRecord>(&kv?).ok()?.value))
        };
        Ok(names.into_iter().zip(kvs).filter_map(record).collect())
    }

    /// The contents of several units, read at one revision; those that don't exist are left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unit_texts<'a>(
        &self,
        names: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<BTreeMap<UnitName, Vec<u8>>, RegistryError> {
        let names: Vec<&UnitName> = names.into_iter().collect();
        let kvs = self.files.get.count(self.contents(&names, None)).await?;
        let named = names.into_iter().zip(kvs);
        Ok(named.filter_map(|(name, kv)| Some((name.clone(), kv?.value))).collect())
    }

    /// The files of several units, at one revision.
    pub(crate) async fn contents(
        &self,
        names: &[&UnitName],
        at: Option<Revision>,
    ) -> Result<Vec<Option<KeyValue>>, RegistryError> {
        let keys: Vec<Key> = names.iter().map(|name| self.keys.file(name.as_str())).collect();
        self.get_all(&keys, at).await
    }
}

fn record_of(
    name: &UnitName,
    file: &UnitFile,
    desired: JobState,
    machine: Option<MachineId>,
) -> UnitRecord {
    let x_fleet = file.fleet_options();
    let global = x_fleet.requirements(name).global;
    let text = file.to_text();
    UnitRecord {
        hash: UnitHash::of(text.as_bytes()),
        size: text.len(),
        desired_state: desired,
        machine: machine.filter(|_| !global),
        leaving: false,
        return_to: None,
        global,
        template: name.is_template(),
        x_fleet,
    }
}

pub(crate) fn put(key: Key, value: Vec<u8>) -> Op {
    Op::Put { key, value, lease: None }
}
