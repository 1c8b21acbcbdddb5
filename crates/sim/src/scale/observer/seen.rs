//! What is known of a cluster, and how many there are of what. No I/O.

use std::collections::{HashMap, HashSet};

use fleet_core::{JobState, UnitHash};
use fleet_registry::{LeaderRecord, PublishedState};
use fleet_store::{Change, Key, KeyValue, LeaseId};
use serde::Deserialize;
use tokio::time::Instant;

use crate::scale::role::PREFIX;

/// What is decided about a unit, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::scale) struct Decided {
    /// Its content.
    pub(in crate::scale) hash: UnitHash,
    #[serde(default)]
    desired_state: JobState,
    /// Where it is to be.
    #[serde(default)]
    pub(in crate::scale) machine: Option<String>,
}

/// How many there are of what, and how much has happened since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::scale) struct Counts {
    /// Machines that are present.
    pub(in crate::scale) present: usize,
    /// Units that are to run.
    pub(in crate::scale) wanted: usize,
    /// Those that have a machine.
    pub(in crate::scale) placed: usize,
    /// Those that are active there, with the content that is wanted.
    pub(in crate::scale) active: usize,
    /// Entries of machines that have gone.
    pub(in crate::scale) gone: u64,
    /// Machines that were present and have another lease since.
    pub(in crate::scale) anew: u64,
    /// Units that were given to another machine than before, or taken off theirs.
    pub(in crate::scale) moved: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(in crate::scale) struct Seen {
    /// Machines that are present.
    pub(in crate::scale) machines: HashSet<String>,
    pub(in crate::scale) units: HashMap<String, Decided>,
    /// What machines say of each unit: whether it is active, and with which content.
    pub(in crate::scale) states: HashMap<String, HashMap<String, (bool, UnitHash)>>,
    /// Who leads, and since when that is so.
    pub(in crate::scale) leader: Option<String>,
    pub(in crate::scale) leader_since: Option<Instant>,
    /// When an entry of a machine went last.
    pub(in crate::scale) last_gone: Option<Instant>,
    /// The leases that machines had last, also of those that are gone.
    leases: HashMap<String, Option<LeaseId>>,
    counts: Counts,
}

/// Which of the counts a unit is in.
#[derive(Clone, Copy, Default)]
struct Stand {
    wanted: bool,
    placed: bool,
    active: bool,
}

impl Seen {
    pub(in crate::scale) fn counts(&self) -> Counts {
        Counts { present: self.machines.len(), ..self.counts }
    }

    /// Whether a unit is active where it is to be, with this content.
    pub(in crate::scale) fn is_active(&self, unit: &str, hash: &UnitHash) -> bool {
        self.units.get(unit).is_some_and(|it| it.hash == *hash) && self.stand(unit).active
    }

    /// Takes a snapshot in place of all that was known. What isn't in it has gone.
    pub(in crate::scale) fn replace(&mut self, kvs: &[KeyValue]) {
        let old = std::mem::take(self);
        (self.leases, self.last_gone, self.leader_since) =
            (old.leases, old.last_gone, old.leader_since);
        let Counts { gone, anew, moved, .. } = old.counts;
        self.counts = Counts { gone, anew, moved, ..Counts::default() };
        kvs.iter().for_each(|kv| self.put(kv));
        let lost = old.machines.difference(&self.machines).count();
        if lost > 0 {
            self.counts.gone += lost as u64;
            self.last_gone = Some(Instant::now());
        }
        let is_elsewhere = |(name, it): &(&String, &Decided)| {
            let now = self.units.get(*name).and_then(|now| now.machine.as_ref());
            it.machine.is_some() && now != it.machine.as_ref()
        };
        self.counts.moved += old.units.iter().filter(is_elsewhere).count() as u64;
        if self.leader != old.leader {
            self.leader_since = Some(Instant::now());
        }
    }

    pub(in crate::scale) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(kv) => self.put(kv),
            Change::Delete { key, .. } => self.delete(key),
        }
    }

    pub(in crate::scale) fn put(&mut self, kv: &KeyValue) {
        match parse(&kv.key) {
            Some(("machine", id)) => {
                let before = self.leases.insert(id.to_owned(), kv.lease);
                if before.is_some_and(|lease| lease != kv.lease) {
                    self.counts.anew += 1;
                }
                self.machines.insert(id.to_owned());
            }
            Some(("unit", name)) => {
                let Ok(decided) = serde_json::from_slice::<Decided>(&kv.value) else { return };
                self.changing(name, |seen| {
                    let before = seen.units.insert(name.to_owned(), decided);
                    let now = seen.units.get(name).and_then(|it| it.machine.as_ref());
                    let before = before.and_then(|it| it.machine);
                    if before.is_some() && before.as_ref() != now {
                        seen.counts.moved += 1;
                    }
                });
            }
            Some(("state", of)) => {
                let Some((name, machine)) = of.split_once(',') else { return };
                let Ok(state) = serde_json::from_slice::<PublishedState>(&kv.value) else { return };
                let state = (state.systemd.active == "active", state.hash);
                self.changing(name, |seen| {
                    let states = seen.states.entry(name.to_owned()).or_default();
                    states.insert(machine.to_owned(), state);
                });
            }
            Some(("lease", _)) => {
                let leader = LeaderRecord::parse(&kv.value).map(|it| it.machine.to_string());
                self.leads(leader);
            }
            _ => {}
        }
    }

    fn delete(&mut self, key: &Key) {
        match parse(key) {
            Some(("machine", id)) => {
                let was_there = self.machines.remove(id);
                if was_there {
                    self.counts.gone += 1;
                    self.last_gone = Some(Instant::now());
                }
            }
            Some(("unit", name)) => self.changing(name, |seen| {
                seen.units.remove(name);
            }),
            Some(("state", of)) => {
                let Some((name, machine)) = of.split_once(',') else { return };
                self.changing(name, |seen| {
                    if let Some(states) = seen.states.get_mut(name) {
                        states.remove(machine);
                        if states.is_empty() {
                            seen.states.remove(name);
                        }
                    }
                });
            }
            Some(("lease", _)) => self.leads(None),
            _ => {}
        }
    }

    fn leads(&mut self, leader: Option<String>) {
        if self.leader != leader {
            (self.leader, self.leader_since) = (leader, Some(Instant::now()));
        }
    }

    /// Changes what is known of a unit, and the counts with it.
    fn changing(&mut self, unit: &str, change: impl FnOnce(&mut Self)) {
        let before = self.stand(unit);
        change(self);
        let now = self.stand(unit);
        let Counts { wanted, placed, active, .. } = &mut self.counts;
        for (count, before, now) in [
            (wanted, before.wanted, now.wanted),
            (placed, before.placed, now.placed),
            (active, before.active, now.active),
        ] {
            *count = *count + usize::from(now) - usize::from(before);
        }
    }

    fn stand(&self, unit: &str) -> Stand {
        let Some(decided) = self.units.get(unit) else { return Stand::default() };
        let wanted = decided.desired_state == JobState::Launched;
        let Some(machine) = decided.machine.as_ref().filter(|_| wanted) else {
            return Stand { wanted, ..Stand::default() };
        };
        let state = self.states.get(unit).and_then(|states| states.get(machine));
        let active = state.is_some_and(|(active, hash)| *active && *hash == decided.hash);
        Stand { wanted, placed: true, active }
    }
}

/// The kind of a key, and what it is about.
fn parse(key: &Key) -> Option<(&str, &str)> {
    key.as_str().strip_prefix(PREFIX)?.split_once('/')
}

#[cfg(test)]
mod tests;
