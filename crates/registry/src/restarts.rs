//! Restarts that were asked for (`spec/README.md` 14): one key for each unit and machine.
//!
//! Whoever wants a restart writes `restart/<machine>/<name>`, the machine's agent deletes it when
//! it is done. Asking again before that replaces the request, so there is one at a time. A
//! request has no lease: it waits for a machine that is cut off. It goes when its unit leaves the
//! machine or is destroyed, and what is left over the next agent there acknowledges.

use std::collections::BTreeMap;

use fleet_core::{JobState, MachineId, UnitName};
use fleet_store::{Compare, Key, MAX_TXN_OPS, Op, Range, Revision, Txn};

use crate::{Registry, RegistryError, Unit, keys::Entry, units::put};

/// Requests that are written together: each is compared with its machine's entry, all with the
/// unit's record.
const BATCH: usize = MAX_TXN_OPS - 1;

/// Why no restart was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// It isn't wanted launched, or no machine has it.
    #[error("unit is not launched")]
    NotLaunched,
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Registry {
    /// Asks the machines that have a unit, or only `machine`, to restart it. Returns them.
    ///
    /// One transaction, which insists on the unit as `seen` and on the presence of each machine;
    /// a global unit on more than 127 machines takes one for each so many.
    ///
    /// # Errors
    /// `NotLaunched` when it isn't wanted launched or none of the machines is present and has
    /// it; `Conflict` when unit or machines changed meanwhile.
    pub async fn ask_restart(
        &self,
        seen: &Unit,
        machine: Option<&MachineId>,
    ) -> Result<Vec<MachineId>, RestartError> {
        if seen.record.value.desired_state != JobState::Launched {
            return Err(RestartError::NotLaunched);
        }
        let having = self.machines_having(seen, machine).await?;
        let present = self.present(having).await?;
        if present.is_empty() {
            return Err(RestartError::NotLaunched);
        }
        for batch in present.chunks(BATCH) {
            let unit = self.keys.unit(seen.name.as_str());
            let mut compare = vec![Compare::ModRevision(unit, seen.record.revision)];
            compare.extend(batch.iter().map(|(machine, created)| {
                Compare::CreateRevision(self.keys.machine(machine.as_str()), *created)
            }));
            let ask = |(machine, _): &(MachineId, _)| {
                put(self.keys.restart(machine, &seen.name), b"{}".to_vec())
            };
            let txn = Txn { compare, then: batch.iter().map(ask).collect() };
            if !self.store.commit(txn).await.map_err(RegistryError::from)?.applied {
                let what = format!("unit {} or its machine", seen.name);
                return Err(RegistryError::Conflict(what).into());
            }
        }
        Ok(present.into_iter().map(|(machine, _)| machine).collect())
    }

    /// The machines that were asked to restart a unit and haven't acknowledged, in order: of all
    /// that have it, or only `machine`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn pending_restarts(
        &self,
        unit: &Unit,
        machine: Option<&MachineId>,
    ) -> Result<Vec<MachineId>, RegistryError> {
        let candidates = match machine {
            Some(machine) => vec![machine.clone()],
            None => self.machines_having(unit, None).await?,
        };
        let keys: Vec<Key> =
            candidates.iter().map(|machine| self.keys.restart(machine, &unit.name)).collect();
        let kvs = self.get_all(&keys, None).await?;
        let asked = candidates.into_iter().zip(kvs).filter(|(_, kv)| kv.is_some());
        Ok(asked.map(|(machine, _)| machine).collect())
    }

    /// Deletes requests to `machine`, each at the revision it was carried out for: one that came
    /// since stays.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acknowledge_restarts(
        &self,
        machine: &MachineId,
        requests: &BTreeMap<UnitName, Revision>,
    ) -> Result<(), RegistryError> {
        let all: Vec<_> = requests.iter().collect();
        for batch in all.chunks(MAX_TXN_OPS) {
            if self.acknowledge(machine, batch).await? {
                continue;
            }
            for request in batch {
                self.acknowledge(machine, std::slice::from_ref(request)).await?;
            }
        }
        Ok(())
    }

    async fn acknowledge(
        &self,
        machine: &MachineId,
        requests: &[(&UnitName, &Revision)],
    ) -> Result<bool, RegistryError> {
        let key = |name| self.keys.restart(machine, name);
        let compare = requests.iter().map(|(name, at)| Compare::ModRevision(key(name), **at));
        let then = requests.iter().map(|(name, _)| Op::Delete(key(name)));
        let txn = Txn { compare: compare.collect(), then: then.collect() };
        Ok(self.store.commit(txn).await?.applied)
    }

    /// The machines that have a unit, in order: its target, or for a global unit those that
    /// report a state of it. With `only`, at most that one.
    async fn machines_having(
        &self,
        unit: &Unit,
        only: Option<&MachineId>,
    ) -> Result<Vec<MachineId>, RegistryError> {
        let mut machines: Vec<MachineId> = match (unit.record.value.global, only) {
            (false, _) => unit.record.value.machine.iter().cloned().collect(),
            (true, Some(only)) => {
                let key = self.keys.state(unit.name.as_str(), only.as_str());
                self.get(key).await?.map(|_| only.clone()).into_iter().collect()
            }
            (true, None) => self.reporting(&unit.name).await?,
        };
        machines.retain(|machine| only.is_none_or(|only| only == machine));
        Ok(machines)
    }

    /// The machines that report a state of a unit.
    async fn reporting(&self, name: &UnitName) -> Result<Vec<MachineId>, RegistryError> {
        let (kvs, _) = self.scan(&[Range::prefix(&self.keys.states_of(name.as_str()))]).await?;
        let machine = |key: &Key| match self.keys.parse(key) {
            Some(Entry::State(_, machine)) => Some(machine),
            _ => None,
        };
        Ok(kvs.iter().filter_map(|kv| machine(&kv.key)).collect())
    }

    /// Those that are present, each with the revision that created its entry.
    async fn present(
        &self,
        machines: Vec<MachineId>,
    ) -> Result<Vec<(MachineId, Revision)>, RegistryError> {
        let keys: Vec<Key> = machines.iter().map(|id| self.keys.machine(id.as_str())).collect();
        let kvs = self.get_all(&keys, None).await?;
        let entries = machines.into_iter().zip(kvs);
        Ok(entries.filter_map(|(machine, kv)| Some((machine, kv?.create_revision))).collect())
    }

    /// The requests there may be for a unit that is destroyed. Those to machines that report
    /// nothing of it any more are left to these machines.
    pub(crate) async fn restarts_of_global(
        &self,
        name: &UnitName,
    ) -> Result<Vec<Key>, RegistryError> {
        let machines = self.reporting(name).await?;
        let keys: Vec<Key> =
            machines.iter().map(|machine| self.keys.restart(machine, name)).collect();
        let kvs = self.get_all(&keys, None).await?;
        Ok(kvs.into_iter().flatten().map(|kv| kv.key).collect())
    }
}
