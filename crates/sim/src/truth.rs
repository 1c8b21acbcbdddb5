//! What the store has said so far: for each unit and machine what held when.

use std::collections::BTreeMap;

use fleet_agent::manager::RunId;
use fleet_core::{JobState, MachineId, UnitHash, UnitName};
use fleet_registry::{LeaderRecord, MachineRecord, UnitRecord, effective_metadata};
use fleet_store::{Change, Key, KeyValue, MemoryStore, Range, Revision};
use tokio::time::Instant;

use crate::{
    checks::LEARNS,
    sometimes::{Rare, Sometimes},
    world::PREFIX,
};

/// See the module.
#[derive(Default, Debug)]
pub struct Truth {
    seen: Revision,
    units: BTreeMap<UnitName, Vec<Version>>,
    machines: BTreeMap<MachineId, Present>,
    /// When what is said of a machine (its metadata, how it stands) changed last.
    judged_anew: BTreeMap<MachineId, Revision>,
    restarts: BTreeMap<(MachineId, UnitName), Asked>,
    leader: Option<MachineId>,
    last_leader: Option<MachineId>,
    metadata: BTreeMap<MachineId, BTreeMap<String, String>>,
    /// Units that were taken from machines that were absent, since that was asked for last.
    taken: Vec<(UnitName, MachineId)>,
    /// The last run of each unit on each machine.
    runs: BTreeMap<(MachineId, UnitName), Begun>,
    /// What was so before the store lost some of it, and until when who learnt of that may act on it.
    lost: Vec<(Instant, Self)>,
    /// Whether it has lost everything, which is no reason to stop what runs.
    is_empty: bool,
}

/// A run that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its id.
    pub run: RunId,
    /// Its content.
    pub hash: UnitHash,
    /// What the store had said by then.
    pub since: Revision,
    /// Whether the store has lost what came after: nobody can tell why another run begins.
    pub is_excused: bool,
}

/// What was decided about a unit, from a revision on until the next.
#[derive(Clone, Debug)]
pub struct Version {
    /// From when.
    pub since: Revision,
    /// `None` is that there is no such unit.
    pub record: Option<UnitRecord>,
}

/// A machine that is present.
#[derive(Clone, Debug)]
pub struct Present {
    /// Since when.
    pub since: Revision,
    /// What it says of itself.
    pub record: MachineRecord,
}

/// A restart that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    last: Revision,
    /// When the last request was acknowledged, or taken back.
    done: Option<Revision>,
    /// How many requests there were, and how many of them were carried out.
    requests: u32,
    carried_out: u32,
}

/// The requests for restarts that there may have been where nobody knows.
const MANY: u32 = 1_000;

impl Truth {
    /// Takes in what the store has said since.
    pub fn absorb(&mut self, store: &MemoryStore, sometimes: &Sometimes) {
        let now = store.revision();
        if now == self.seen {
            return;
        }
        let all = [Range::prefix(&Key::from(format!("{PREFIX}/")))];
        for change in store.changes_since(&all, self.seen.next()) {
            self.apply(&change, sometimes);
        }
        self.seen = now;
    }

    /// The store has lost what was written last, and has only this.
    pub fn is_restored(
        &mut self,
        revision: Revision,
        found: impl Iterator<Item = KeyValue>,
        sometimes: &Sometimes,
    ) {
        let before = std::mem::take(self);
        let mut runs = before.runs.clone();
        for begun in runs.values_mut() {
            (begun.since, begun.is_excused) = (revision, true);
        }
        let mut restarts = before.restarts.clone();
        for asked in restarts.values_mut() {
            asked.requests = MANY;
            asked.done = asked.done.map_or(Some(revision), |_| Some(Revision::default()));
        }
        let mut lost = before.lost;
        lost.retain(|(until, _)| Instant::now() < *until);
        lost.push((Instant::now() + LEARNS, Self { lost: Vec::new(), ..before }));
        *self = Self { seen: revision, runs, restarts, lost, ..Self::default() };
        for kv in found {
            self.apply(&Change::Put(kv), sometimes);
        }
    }

    /// The store has lost everything, and not to a backup.
    pub fn is_lost(&mut self) {
        self.is_empty = true;
    }

    /// The newest revision that was taken in.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.seen
    }

    fn apply(&mut self, change: &Change, sometimes: &Sometimes) {
        let revision = change.revision();
        let key = change.key().as_str();
        let Some(path) = key.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')) else {
            return;
        };
        let kv = match change {
            Change::Put(kv) => Some(kv),
            Change::Delete { .. } => None,
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["unit", name] => self.unit(name, kv, revision, sometimes),
            ["machine", id] => self.machine(id, kv, revision),
            ["metadata", id, key] => {
                let id: MachineId = parsed(id);
                let set = self.metadata.entry(id.clone()).or_default();
                match kv {
                    Some(kv) => {
                        let value = String::from_utf8_lossy(&kv.value).into_owned();
                        set.insert(key.to_owned(), value);
                    }
                    None => drop(set.remove(key)),
                }
                self.judged_anew.insert(id, revision);
            }
            ["restart", id, name] => {
                let key = (parsed(id), parsed(name));
                let asked = self.restarts.entry(key);
                let asked = asked.or_insert(Asked {
                    last: revision,
                    done: None,
                    requests: 0,
                    carried_out: 0,
                });
                match kv {
                    Some(_) => {
                        if asked.last != revision && asked.done.is_none() {
                            sometimes.reached(Rare::RestartTwice);
                        }
                        (asked.last, asked.done) = (revision, None);
                        asked.requests += 1;
                    }
                    None => asked.done = Some(revision),
                }
            }
            ["lease", "engine-leader"] => {
                let record = kv.and_then(|kv| LeaderRecord::parse(&kv.value));
                self.leader = record.map(|record| record.machine);
                if let Some(new) = &self.leader
                    && self.last_leader.replace(new.clone()).is_some_and(|old| old != *new)
                {
                    sometimes.reached(Rare::LeaderChanges);
                }
            }
            _ => {}
        }
    }

    fn unit(&mut self, name: &str, kv: Option<&KeyValue>, since: Revision, sometimes: &Sometimes) {
        let record: Option<UnitRecord> = kv.and_then(|kv| serde_json(&kv.value));
        if record.as_ref().is_some_and(|record| record.leaving) {
            sometimes.reached(Rare::Handover);
        }
        let versions = self.units.entry(parsed(name)).or_default();
        let last = versions.last().and_then(|last| last.record.as_ref());
        let owner = last.filter(|last| !last.leaving).and_then(|last| last.machine.clone());
        if let (Some(owner), Some(now)) = (owner, &record)
            && now.machine.as_ref() != Some(&owner)
            && !now.leaves()
            && !self.machines.contains_key(&owner)
        {
            self.taken.push((parsed(name), owner));
        }
        versions.push(Version { since, record });
    }

    fn machine(&mut self, id: &str, kv: Option<&KeyValue>, revision: Revision) {
        let id: MachineId = parsed(id);
        let record = kv.and_then(|kv| Some((kv, serde_json::<MachineRecord>(&kv.value)?)));
        let before = self.machines.get(&id).map(|present| present.record.clone());
        let says = |record: &MachineRecord| (record.metadata.clone(), record.standing);
        if record.as_ref().map(|(_, record)| says(record)) != before.as_ref().map(says) {
            self.judged_anew.insert(id.clone(), revision);
        }
        match record {
            Some((kv, record)) => {
                self.machines.insert(id, Present { since: kv.create_revision, record });
            }
            None => drop(self.machines.remove(&id)),
        }
    }

    /// The units that were taken from machines that were absent, since this was asked last.
    pub fn take_taken(&mut self) -> Vec<(UnitName, MachineId)> {
        std::mem::take(&mut self.taken)
    }

    /// A run has begun.
    pub fn begun(&mut self, machine: &MachineId, unit: &UnitName, begun: Begun) {
        self.runs.insert((machine.clone(), unit.clone()), begun);
    }

    /// The last run of a unit on a machine.
    #[must_use]
    pub fn run(&self, machine: &MachineId, unit: &UnitName) -> Option<&Begun> {
        self.runs.get(&(machine.clone(), unit.clone()))
    }

    /// Whether a run that begins has no reason to: the one before it ended by itself, or goes on.
    #[must_use]
    pub fn begins_again(&self, machine: &MachineId, unit: &UnitName) -> bool {
        self.run(machine, unit).is_some_and(|last| {
            !last.is_excused && self.reason_to_stop(machine, unit, last.hash, last.since).is_none()
        })
    }

    /// A restart is carried out now. Says whether there was no request for it.
    pub fn restarts_twice(&mut self, machine: &MachineId, unit: &UnitName) -> bool {
        let Some(asked) = self.restarts.get_mut(&(machine.clone(), unit.clone())) else {
            return true;
        };
        asked.carried_out += 1;
        asked.carried_out > asked.requests
    }

    /// A machine has lost power, and with it all that was done there.
    pub fn boots(&mut self, machine: &MachineId) {
        let on_it = self.restarts.iter_mut().filter(|((id, _), _)| id == machine);
        on_it.for_each(|(_, asked)| asked.carried_out = 0);
        self.runs.retain(|(id, _), _| id != machine);
    }

    /// A machine stops all it has to leave: it all may begin again once it is back.
    pub fn purges(&mut self, machine: &MachineId) {
        let on_it = self.runs.iter_mut().filter(|((id, _), _)| id == machine);
        on_it.for_each(|(_, begun)| begun.is_excused = true);
    }

    /// Whether a machine's engine leads.
    #[must_use]
    pub fn leads(&self, machine: &MachineId) -> bool {
        self.leader.as_ref() == Some(machine)
    }

    /// A machine's presence.
    #[must_use]
    pub fn presence(&self, machine: &MachineId) -> Option<&Present> {
        self.machines.get(machine)
    }

    /// The units that there are now.
    pub fn units(&self) -> impl Iterator<Item = (&UnitName, &UnitRecord)> {
        self.units
            .iter()
            .filter_map(|(name, versions)| Some((name, versions.last()?.record.as_ref()?)))
    }

    /// What is decided about a unit now.
    #[must_use]
    pub fn unit_now(&self, name: &UnitName) -> Option<&Version> {
        self.units.get(name)?.last()
    }

    /// Whether a machine is present since before a unit was taken from it, so that it had a say in that.
    #[must_use]
    pub fn was_asked(&self, machine: &MachineId, unit: &UnitName) -> bool {
        let Some(presence) = self.machines.get(machine) else { return false };
        let has_it = |version: &Version| {
            version.record.as_ref().and_then(|record| record.machine.as_ref()) == Some(machine)
        };
        let versions = self.units.get(unit).map(Vec::as_slice).unwrap_or_default();
        let last = versions.iter().rposition(has_it);
        let taken = last.and_then(|last| versions.get(last + 1));
        taken.is_some_and(|taken| presence.since <= taken.since)
    }

    /// What a machine has by now of metadata: its own, and what was set.
    #[must_use]
    pub fn metadata(&self, machine: &MachineId) -> BTreeMap<String, String> {
        let none = BTreeMap::new();
        let own = self.machines.get(machine).map_or(&none, |present| &present.record.metadata);
        effective_metadata(own, self.metadata.get(machine).unwrap_or(&none))
    }

    /// Why a machine may have stopped (or restarted) a unit that it runs since `since` with this
    /// content; `None` when nothing was said that would have it stopped.
    #[must_use]
    pub fn reason_to_stop(
        &self,
        machine: &MachineId,
        unit: &UnitName,
        hash: UnitHash,
        since: Revision,
    ) -> Option<&'static str> {
        let mut lost = self.lost.iter().filter(|(until, _)| Instant::now() < *until);
        let earlier = lost.find_map(|(_, lost)| {
            let before = lost.run(machine, unit).filter(|before| before.hash == hash)?;
            lost.reason_to_stop(machine, unit, hash, before.since)
        });
        if earlier.is_some() {
            return earlier;
        }
        let Some(versions) = self.units.get(unit) else {
            return (!self.is_empty).then_some("there is no such unit");
        };
        let first = versions.partition_point(|version| version.since <= since).saturating_sub(1);
        if versions[0].since > since {
            return Some("there was no such unit");
        }
        let judged = self.judged_anew.get(machine).is_some_and(|at| *at >= since);
        let asked = self
            .restarts
            .get(&(machine.clone(), unit.clone()))
            .is_some_and(|asked| asked.done.is_none_or(|done| done >= since));
        if asked {
            return Some("a restart was asked for");
        }
        versions[first..].iter().find_map(|version| {
            let Some(record) = &version.record else { return Some("it was destroyed") };
            match () {
                () if record.desired_state != JobState::Launched => {
                    Some("it isn't wanted launched")
                }
                () if record.hash != hash => Some("its content was replaced"),
                () if record.leaving => Some("it is to leave"),
                () if record.global && judged => Some("the machine was judged anew"),
                () if !record.global && record.machine.as_ref() != Some(machine) => {
                    Some("another machine has it, or none")
                }
                () => None,
            }
        })
    }
}

fn serde_json<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the registry writes keys of its own only")
}
