//! What decisions rest on: units, machines and what is on them, kept up to date in place.
//!
//! The model of the leader's mirror. Every change costs what it touches, and [marks](Marks) what it
//! may concern; so a pass finds everything it asks for ready, and looks at that alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use fleet_core::{Machine, MachineId, MachineStanding, Obstacle, UnitName, eligibility::Refusal};
use fleet_registry::{Event, HostObstacle, Leaving, Model, Stale, Unclear, UnitRecord, Versioned};
use fleet_store::Revision;

mod machines;
mod marking;
mod marks;
mod order;
mod residents;
mod rings;
mod unit;
mod waiting;

pub(crate) use marking::Seen;
pub use marks::Marks;
pub(crate) use order::{ByLoad, GroupId, Order};
pub(crate) use residents::{Residents, Shift, Units};
pub(crate) use rings::Rings;
pub use unit::Unit;
pub(crate) use waiting::Waiting;

/// A present machine and the units on it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Its id and effective metadata.
    pub(crate) machine: Machine,
    /// The revision that created its entry: tells it from one that came back.
    pub(crate) created: Revision,
    /// How it stands, in its own words.
    pub(crate) standing: MachineStanding,
    /// Whether its agent says when units that had to go are gone.
    pub(crate) hands_over: bool,
    pub(crate) residents: Residents,
    configured: BTreeMap<String, String>,
}

/// What the leader knows of the cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    units: Units,
    /// Units with a target, whatever their desired state.
    scheduled: Units,
    /// Units that should be on a machine but have none.
    waiting: Waiting,
    globals: Units,
    /// The units that must be with each, by what they call it.
    followers: BTreeMap<String, BTreeSet<UnitName>>,
    /// Where units that were destroyed may still be.
    leaving: BTreeMap<UnitName, Versioned<Leaving>>,
    /// The same by machine.
    leaving_from: BTreeMap<MachineId, BTreeSet<UnitName>>,
    /// Units that are there, but of which nothing is known.
    unclear: BTreeSet<UnitName>,
    /// Units that replace others.
    replacers: Units,
    /// Worked out when they are asked for.
    rings: OnceLock<Arc<Rings>>,
    hosts: BTreeMap<MachineId, Host>,
    /// The same in the order of their loads.
    order: Order,
    /// Machines whose entry can't be understood, and why: nothing new goes there, and what is there
    /// stays (`docs/decisions/0009`).
    unclear_machines: BTreeMap<MachineId, Unclear>,
    /// The units that each machine is the target of, present or not.
    targets: BTreeMap<MachineId, BTreeSet<UnitName>>,
    /// Machines that aren't there, though units are placed on them or may still leave them.
    away: BTreeSet<MachineId>,
    /// Dynamic metadata, of machines that are present and others: it outlives presence.
    dynamic: BTreeMap<MachineId, BTreeMap<String, String>>,
    /// What machines say that they can't have, where they say so.
    barred: BTreeMap<MachineId, Arc<BTreeMap<UnitName, HostObstacle>>>,
    marks: Marks,
    /// What the last pass knew of that isn't in the registry.
    seen: Seen,
    /// Whether machines have come or gone.
    roll_has_changed: bool,
}

impl Default for Cluster {
    /// Nothing is known, and what comes has to be looked at as a whole.
    fn default() -> Self {
        Self {
            units: Units::new(),
            scheduled: Units::new(),
            waiting: Waiting::default(),
            globals: Units::new(),
            followers: BTreeMap::new(),
            leaving: BTreeMap::new(),
            leaving_from: BTreeMap::new(),
            unclear: BTreeSet::new(),
            replacers: Units::new(),
            rings: OnceLock::new(),
            hosts: BTreeMap::new(),
            order: Order::default(),
            unclear_machines: BTreeMap::new(),
            targets: BTreeMap::new(),
            away: BTreeSet::new(),
            dynamic: BTreeMap::new(),
            barred: BTreeMap::new(),
            marks: Marks::all(),
            seen: Seen::default(),
            roll_has_changed: true,
        }
    }
}

impl Model for Cluster {
    /// Takes in one change. A unit's record that isn't newer than the one known is old news:
    /// the engine takes in its own writes at once, and the watch brings them again.
    fn apply(&mut self, event: Event) {
        match event {
            Event::Unit(name, Some(Ok(record))) => self.set_unit(name, record),
            Event::Unit(name, Some(Err(_))) => {
                self.remove_unit(&name);
                self.set_unclear(name);
            }
            Event::Unit(name, None) => self.remove_unit(&name),
            Event::Machine(id, Some(Ok(record))) => self.set_machine(id, record),
            Event::Machine(id, Some(Err(unclear))) => self.set_unclear_machine(id, unclear),
            Event::Machine(id, None) => self.remove_machine(&id),
            Event::Metadata(id, key, value) => self.set_metadata(id, key, value),
            Event::Leaving(name, entry) => self.set_leaving(name, entry),
            Event::Obstacle(unit, machine, found) => self.set_obstacle(unit, machine, found),
            Event::Schedule(..)
            | Event::Global(..)
            | Event::Restart(..)
            | Event::Leader(_)
            | Event::EngineVersion(_) => {}
        }
    }
}

impl Cluster {
    /// The unit called `name`.
    #[must_use]
    pub fn unit(&self, name: &UnitName) -> Option<&Unit> {
        self.units.get(name).map(Arc::as_ref)
    }

    /// The present machines in the order of their ids, each with its load: the number of units
    /// on it (`cluster.md` 2).
    pub fn loads(&self) -> impl Iterator<Item = (&Machine, usize)> {
        self.hosts.values().map(|host| (&host.machine, host.residents.len()))
    }

    pub(crate) fn scheduled(&self) -> &Units {
        &self.scheduled
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// The units that must be where `unit` is.
    pub(crate) fn followers(&self, unit: &UnitName) -> impl Iterator<Item = &Arc<Unit>> {
        let followers = self.followers.get(unit.as_str()).into_iter().flatten();
        followers.filter_map(|name| self.units.get(name))
    }

    /// The units that are placed on a machine, whether they stay there or not.
    pub(crate) fn placed_on(&self, machine: &MachineId) -> impl Iterator<Item = &Arc<Unit>> {
        let placed = self.targets.get(machine).into_iter().flatten();
        placed.filter_map(|name| self.scheduled.get(name))
    }

    /// What is known of the unit that somebody calls so.
    pub(crate) fn called(&self, name: &str) -> Option<&Arc<Unit>> {
        self.units.get(name)
    }

    pub(crate) fn globals(&self) -> &Units {
        &self.globals
    }

    /// Whether an obstacle is no reason to leave a machine. It may be none, as it rests on a unit of
    /// which nothing is known: a peer that isn't seen anywhere may well be where it was. Or the unit
    /// asks for more than anybody judges, and was put there when that was another matter.
    pub(crate) fn is_doubtful(&self, obstacle: &Obstacle) -> bool {
        match obstacle {
            Obstacle::Refused(Refusal::PeerAbsent(peer)) => self.unclear.contains(peer.as_str()),
            Obstacle::Refused(Refusal::Excess(_)) => true,
            Obstacle::Refused(
                Refusal::OtherMachine { .. }
                | Refusal::Metadata
                | Refusal::NameTaken(_)
                | Refusal::Conflict(_)
                | Refusal::Leaving
                | Refusal::Silent,
            )
            | Obstacle::Replaced(_)
            | Obstacle::Unclear => false,
        }
    }

    /// Where units that were destroyed may still be.
    pub(crate) fn leaving(&self) -> &BTreeMap<UnitName, Versioned<Leaving>> {
        &self.leaving
    }

    /// Why an entry of [`leaving`](Self::leaving) says nothing any more, if that is so. `Absent` says
    /// that it depends on what the machine's absence is taken for.
    pub(crate) fn stale(&self, unit: &UnitName, entry: &Leaving) -> Option<Stale> {
        let Some(machine) = &entry.machine else { return Some(Stale::Settled) };
        let target = self.unit(unit).and_then(|unit| unit.record.value.machine.as_ref());
        match (target, self.hosts.get(machine)) {
            (Some(target), _) if target == machine => Some(Stale::Settled),
            (Some(_), _) => Some(Stale::Elsewhere),
            (None, None) if self.is_unclear(machine) => None,
            (None, None) => Some(Stale::Absent),
            (None, Some(host)) => (!host.hands_over).then_some(Stale::Silent(host.created)),
        }
    }

    /// The machines that are there, whether their entries can be understood or not.
    pub(crate) fn present(&self) -> impl Iterator<Item = &MachineId> {
        self.hosts.keys().chain(self.unclear_machines.keys())
    }

    /// The machines that units are placed on, and those that may still have destroyed ones.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &MachineId> {
        self.targets.keys().chain(self.leaving_from.keys())
    }

    /// Whether a machine is there, but its entry can't be understood.
    pub(crate) fn is_unclear(&self, id: &MachineId) -> bool {
        self.unclear_machines.contains_key(id)
    }

    pub(crate) fn unclear_machines(&self) -> &BTreeMap<MachineId, Unclear> {
        &self.unclear_machines
    }

    pub(crate) fn rings(&self) -> &Arc<Rings> {
        self.rings.get_or_init(|| Arc::new(Rings::of(&self.replacers, &self.units)))
    }

    pub(crate) fn hosts(&self) -> &BTreeMap<MachineId, Host> {
        &self.hosts
    }

    fn set_unit(&mut self, name: UnitName, record: Versioned<UnitRecord>) {
        let known = self.units.get(&name).cloned();
        if known.as_ref().is_some_and(|known| known.record.revision >= record.revision) {
            return;
        }
        let was_unclear = self.unclear.remove(&name);
        let unit = Arc::new(Unit::new(name, record, known.as_deref()));
        self.tie(known.as_deref(), Some(&unit));
        self.ask(known.as_deref(), Some(&unit));
        if let Some(known) = known {
            self.unlink(&known);
        }
        self.units.insert(unit.name.clone(), Arc::clone(&unit));
        self.link(&unit);
        assert!(self.is_indexed(&unit), "a unit is found by what its record says");
        self.marks.unit(&unit.name);
        if was_unclear {
            self.mark_followers(&unit.name);
        }
    }

    /// Whether a unit is in the index that its record says, and in no other.
    fn is_indexed(&self, unit: &Unit) -> bool {
        let is_everywhere = unit.is_global() && !unit.record.value.template;
        self.scheduled.contains_key(&unit.name) == unit.target().is_some()
            && self.waiting.all().contains_key(&unit.name) == unit.waits()
            && self.globals.contains_key(&unit.name) == is_everywhere
    }

    fn remove_unit(&mut self, name: &UnitName) {
        if self.unclear.remove(name) {
            self.mark_followers(name);
        }
        if let Some(unit) = self.units.remove(name) {
            self.tie(Some(&unit), None);
            self.ask(Some(&unit), None);
            self.unlink(&unit);
            self.marks.unit(name);
        }
    }

    /// Takes in that a unit is there of which nothing is known.
    fn set_unclear(&mut self, name: UnitName) {
        self.mark_followers(&name);
        self.unclear.insert(name);
    }

    fn set_leaving(&mut self, name: UnitName, entry: Option<Versioned<Leaving>>) {
        let old = match entry.clone() {
            Some(entry) => self.leaving.insert(name.clone(), entry),
            None => self.leaving.remove(&name),
        };
        if old == entry {
            return;
        }
        if let Some(machine) = old.and_then(|old| old.value.machine) {
            if let Some(names) = self.leaving_from.get_mut(&machine) {
                names.remove(&name);
                if names.is_empty() {
                    self.leaving_from.remove(&machine);
                }
            }
            self.note_presence(&machine);
        }
        if let Some(machine) = entry.and_then(|entry| entry.value.machine) {
            self.leaving_from.entry(machine.clone()).or_default().insert(name.clone());
            self.note_presence(&machine);
        }
        self.marks.unit(&name);
    }

    /// Takes in what a change of a unit means for rings. Placing units changes none.
    fn tie(&mut self, old: Option<&Unit>, new: Option<&Arc<Unit>>) {
        let (before, now) = (old.and_then(Unit::ties), new.and_then(|unit| unit.ties()));
        if before != now {
            let mut units = old.into_iter().chain(new.map(AsRef::as_ref));
            let concerns = |rings: &Arc<Rings>| {
                units.any(|unit| unit.is_replacer() || rings.concern(&unit.name))
            };
            if self.rings.get().is_some_and(concerns) {
                self.rings = OnceLock::new();
            }
        }
        if let Some(old) = old {
            self.replacers.remove(&old.name);
        }
        if let Some(new) = new.filter(|unit| unit.may_be_somewhere() && unit.is_replacer()) {
            self.replacers.insert(new.name.clone(), Arc::clone(new));
        }
    }

    /// Takes in what a change of a unit means for what is asked for.
    fn ask(&mut self, old: Option<&Unit>, new: Option<&Arc<Unit>>) {
        let asking = |unit: &&Unit| unit.is_scheduled_kind();
        let (old, new) = (old.filter(asking), new.map(AsRef::as_ref).filter(asking));
        if let (Some(old), Some(new)) = (old, new)
            && Arc::ptr_eq(&old.requirements, &new.requirements)
        {
            return;
        }
        if let Some(new) = new {
            let machines = self.hosts.values().map(|host| &host.machine);
            self.order.ask(&new.requirements.metadata, machines);
            for peer in &new.requirements.peers {
                self.followers.entry(peer.clone()).or_default().insert(new.name.clone());
            }
        }
        if let Some(old) = old {
            self.order.forget(&old.requirements.metadata);
            let is_over =
                |peer: &&String| new.is_none_or(|new| !new.requirements.peers.contains(peer));
            for peer in old.requirements.peers.iter().filter(is_over) {
                if let Some(names) = self.followers.get_mut(peer) {
                    names.remove(&old.name);
                    if names.is_empty() {
                        self.followers.remove(peer);
                    }
                }
            }
        }
    }

    /// Adds a unit to every index it belongs in.
    fn link(&mut self, unit: &Arc<Unit>) {
        if unit.record.value.template {
            return;
        }
        let (name, shared) = (unit.name.clone(), Arc::clone(unit));
        if unit.is_global() {
            self.globals.insert(name, shared);
            self.refresh_global(&unit.name);
        } else if let Some(target) = unit.target() {
            self.scheduled.insert(name.clone(), shared);
            self.targets.entry(target.clone()).or_default().insert(name);
            self.note_presence(target);
            if let Some(host) = self.hosts.get_mut(target)
                && unit.stays()
            {
                let shift = host.residents.add(unit, &host.machine, &self.globals);
                self.mark_arrival(unit, target);
                self.mark_shift(target, &shift);
            }
        } else if unit.waits() {
            self.waiting.insert(unit);
        }
    }

    /// Takes a unit out of every index it is in.
    fn unlink(&mut self, unit: &Arc<Unit>) {
        if self.scheduled.remove(&unit.name).is_some() {
            self.drop_target(unit);
        }
        self.waiting.remove(&unit.name);
        if self.globals.remove(&unit.name).is_some() {
            self.refresh_global(&unit.name);
        }
        if let Some(target) = unit.target()
            && let Some(host) = self.hosts.get_mut(target)
            && host.residents.has(&unit.name)
        {
            let shift = host.residents.remove(unit, &host.machine, &self.globals);
            self.mark_departure(unit, target);
            self.mark_shift(target, &shift);
        }
    }

    fn drop_target(&mut self, unit: &Unit) {
        let Some(target) = unit.target() else { return };
        if let Some(names) = self.targets.get_mut(target) {
            names.remove(&unit.name);
            if names.is_empty() {
                self.targets.remove(target);
            }
        }
        self.note_presence(target);
    }

    fn refresh_global(&mut self, name: &UnitName) {
        let mut shifts = Vec::new();
        for (id, host) in &mut self.hosts {
            let shift = host.residents.refresh(name, &host.machine, &self.globals);
            if !shift.is_empty() {
                shifts.push((id.clone(), shift));
            }
        }
        for (id, shift) in shifts {
            self.mark_shift(&id, &shift);
        }
    }
}
