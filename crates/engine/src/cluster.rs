//! What decisions rest on: units, machines and what is on them, kept up to date in place.
//!
//! The model of the leader's mirror. Every change costs what it touches, so that a pass finds
//! everything it asks for ready: which units wait for a machine, and how loaded each machine is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use fleet_core::{
    JobState, Machine, MachineId, MachineStanding, Obstacle, Pattern, Requirements, UnitName,
    eligibility::{Candidate, Refusal},
};
use fleet_registry::{
    Event, HostObstacle, Leaving, MachineRecord, Model, Stale, Unclear, UnitRecord, Versioned,
    effective_metadata,
};
use fleet_store::Revision;
use tracing::{debug, info, warn};

mod residents;
mod rings;

pub(crate) use residents::{Residents, Units};
pub(crate) use rings::Rings;

/// A unit as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// What is decided about it, at the revision it was read.
    pub record: Versioned<UnitRecord>,
    /// What it asks of its machine, evaluated.
    pub requirements: Arc<Requirements>,
}

impl Unit {
    fn new(name: UnitName, record: Versioned<UnitRecord>, known: Option<&Self>) -> Self {
        let requirements = match known {
            Some(known) if known.record.value.x_fleet == record.value.x_fleet => {
                Arc::clone(&known.requirements)
            }
            _ => {
                let requirements = record.value.x_fleet.requirements(&name);
                report_patterns(&name, &requirements);
                Arc::new(requirements)
            }
        };
        Self { name, record, requirements }
    }

    /// The machine it is scheduled to; `None` for units that are never scheduled.
    #[must_use]
    pub fn target(&self) -> Option<&MachineId> {
        if self.is_scheduled_kind() { self.record.value.machine.as_ref() } else { None }
    }

    /// Whether it should be on a machine but has none.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.is_scheduled_kind() && self.is_wanted() && self.record.value.machine.is_none()
    }

    /// Whether it is to stay where it is, as far as its record tells: it is wanted, and wasn't asked
    /// to leave.
    pub(crate) fn stays(&self) -> bool {
        !self.record.value.leaves()
    }

    pub(crate) fn is_global(&self) -> bool {
        self.record.value.global
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.record.value.desired_state != JobState::Inactive
    }

    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate { name: &self.name, requirements: &self.requirements }
    }

    /// Whether it names units it must share a machine with.
    pub(crate) fn has_peers(&self) -> bool {
        !self.requirements.peers.is_empty()
    }

    /// Whether it pushes `other` off a machine they share; units of a ring don't (`cluster.md` 4).
    pub(crate) fn replaces(&self, other: &Self, rings: &Rings) -> bool {
        let is_matched = |pattern: &Pattern| pattern.matches(other.name.as_str());
        self.name != other.name
            && self.requirements.replaces.iter().any(is_matched)
            && !rings.join(&self.name, &other.name)
    }

    fn is_replacer(&self) -> bool {
        !self.requirements.replaces.is_empty()
    }

    /// Whether it is on machines, or would be if one took it.
    pub(crate) fn may_be_somewhere(&self) -> bool {
        !self.record.value.template && (self.is_global() || self.is_wanted())
    }

    /// What it can have to do with rings.
    fn ties(&self) -> Option<&Arc<Requirements>> {
        let is_tied = self.may_be_somewhere() && (self.is_replacer() || self.has_peers());
        is_tied.then_some(&self.requirements)
    }

    /// Whether others have to ask it before they share a machine with it.
    fn is_choosy(&self) -> bool {
        !self.requirements.conflicts.is_empty() || self.is_replacer()
    }

    /// Whether it has to look at every unit of a machine before it goes there.
    fn looks_around(&self) -> bool {
        self.is_choosy() || self.has_peers()
    }

    /// Global units go everywhere and templates nowhere: neither has a target.
    pub(crate) fn is_scheduled_kind(&self) -> bool {
        !self.record.value.global && !self.record.value.template
    }
}

/// Says which patterns of a unit match nothing, as people know it (`units.md` 5.7), and whether they
/// are too many: once, not at every match.
fn report_patterns(unit: &UnitName, requirements: &Requirements) {
    let Requirements { conflicts, replaces, excess, .. } = requirements;
    for pattern in conflicts.iter().chain(replaces).filter(|pattern| pattern.is_malformed()) {
        let pattern = pattern.as_str();
        debug!(%unit, "Received error while matching pattern '{pattern}': syntax error in pattern");
    }
    if let Some(excess) = excess {
        warn!(%unit, %excess, "unit stays where it is, and goes nowhere");
    }
}

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
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    units: Units,
    /// Units with a target, whatever their desired state.
    scheduled: Units,
    /// Units that should be on a machine but have none.
    waiting: Units,
    globals: Units,
    /// Where units that were destroyed may still be.
    leaving: BTreeMap<UnitName, Versioned<Leaving>>,
    /// Units that are there, but of which nothing is known.
    unclear: BTreeSet<UnitName>,
    /// Units that replace others.
    replacers: Units,
    /// Worked out when they are asked for.
    rings: OnceLock<Rings>,
    hosts: BTreeMap<MachineId, Host>,
    /// Machines whose entry can't be understood, and why: nothing new goes there, and what is there
    /// stays (`docs/decisions/0009`).
    unclear_machines: BTreeMap<MachineId, Unclear>,
    /// How many units each machine is the target of, present or not.
    targets: BTreeMap<MachineId, usize>,
    /// Dynamic metadata, of machines that are present and others: it outlives presence.
    dynamic: BTreeMap<MachineId, BTreeMap<String, String>>,
    /// What machines say that they can't have, where they say so.
    barred: BTreeMap<MachineId, Arc<BTreeMap<UnitName, HostObstacle>>>,
    is_seen: bool,
}

impl Model for Cluster {
    /// Takes in one change. A unit's record that isn't newer than the one known is old news:
    /// the engine takes in its own writes at once, and the watch brings them again.
    fn apply(&mut self, event: Event) {
        match event {
            Event::Unit(name, Some(Ok(record))) => self.set_unit(name, record),
            Event::Unit(name, Some(Err(_))) => {
                self.remove_unit(&name);
                self.is_seen &= !self.unclear.insert(name);
            }
            Event::Unit(name, None) => self.remove_unit(&name),
            Event::Machine(id, Some(Ok(record))) => {
                self.is_seen &= self.unclear_machines.remove(&id).is_none();
                self.set_machine(id, record);
            }
            Event::Machine(id, Some(Err(unclear))) => {
                self.hosts.remove(&id);
                self.is_seen &= self.unclear_machines.insert(id, unclear).is_some();
            }
            Event::Machine(id, None) => {
                let was_unclear = self.unclear_machines.remove(&id).is_some();
                self.is_seen &= self.hosts.remove(&id).is_none() && !was_unclear;
            }
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

    /// Whether anything that decisions rest on has changed since the last call.
    pub(crate) fn has_news(&mut self) -> bool {
        !std::mem::replace(&mut self.is_seen, true)
    }

    /// Whether [`has_news`](Self::has_news) would say so.
    pub(crate) fn has_unseen(&self) -> bool {
        !self.is_seen
    }

    pub(crate) fn scheduled(&self) -> &Units {
        &self.scheduled
    }

    pub(crate) fn waiting(&self) -> &Units {
        &self.waiting
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
        let leaving = self.leaving.values().filter_map(|entry| entry.value.machine.as_ref());
        self.targets.keys().chain(leaving)
    }

    /// Whether a machine is there, but its entry can't be understood.
    pub(crate) fn is_unclear(&self, id: &MachineId) -> bool {
        self.unclear_machines.contains_key(id)
    }

    pub(crate) fn unclear_machines(&self) -> &BTreeMap<MachineId, Unclear> {
        &self.unclear_machines
    }

    pub(crate) fn rings(&self) -> &Rings {
        self.rings.get_or_init(|| Rings::of(&self.replacers, &self.units))
    }

    pub(crate) fn hosts(&self) -> &BTreeMap<MachineId, Host> {
        &self.hosts
    }

    fn set_unit(&mut self, name: UnitName, record: Versioned<UnitRecord>) {
        let known = self.units.get(&name).cloned();
        if known.as_ref().is_some_and(|known| known.record.revision >= record.revision) {
            return;
        }
        self.unclear.remove(&name);
        let unit = Arc::new(Unit::new(name, record, known.as_deref()));
        self.tie(known.as_deref(), Some(&unit));
        if let Some(known) = known {
            self.unlink(&known);
        }
        self.units.insert(unit.name.clone(), Arc::clone(&unit));
        self.link(&unit);
        assert!(self.is_indexed(&unit), "a unit is found by what its record says");
        self.is_seen = false;
    }

    /// Whether a unit is in the index that its record says, and in no other.
    fn is_indexed(&self, unit: &Unit) -> bool {
        let is_everywhere = unit.is_global() && !unit.record.value.template;
        self.scheduled.contains_key(&unit.name) == unit.target().is_some()
            && self.waiting.contains_key(&unit.name) == unit.waits()
            && self.globals.contains_key(&unit.name) == is_everywhere
    }

    fn remove_unit(&mut self, name: &UnitName) {
        self.is_seen &= !self.unclear.remove(name);
        if let Some(unit) = self.units.remove(name) {
            self.tie(Some(&unit), None);
            self.unlink(&unit);
            self.is_seen = false;
        }
    }

    fn set_leaving(&mut self, name: UnitName, entry: Option<Versioned<Leaving>>) {
        self.is_seen &= match entry {
            Some(entry) => self.leaving.insert(name, entry.clone()) == Some(entry),
            None => self.leaving.remove(&name).is_none(),
        };
    }

    /// Takes in what a change of a unit means for rings. Placing units changes none.
    fn tie(&mut self, old: Option<&Unit>, new: Option<&Arc<Unit>>) {
        let (before, now) = (old.and_then(Unit::ties), new.and_then(|unit| unit.ties()));
        if before != now {
            self.rings = OnceLock::new();
        }
        if let Some(old) = old {
            self.replacers.remove(&old.name);
        }
        if let Some(new) = new.filter(|unit| unit.may_be_somewhere() && unit.is_replacer()) {
            self.replacers.insert(new.name.clone(), Arc::clone(new));
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
            self.scheduled.insert(name, shared);
            *self.targets.entry(target.clone()).or_default() += 1;
            if let Some(host) = self.hosts.get_mut(target)
                && unit.stays()
            {
                host.residents.add(unit, &host.machine, &self.globals);
            }
        } else if unit.waits() {
            self.waiting.insert(name, shared);
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
        if let Some(host) = unit.target().and_then(|target| self.hosts.get_mut(target)) {
            host.residents.remove(unit, &host.machine, &self.globals);
        }
    }

    fn drop_target(&mut self, unit: &Unit) {
        let Some(target) = unit.target() else { return };
        if let Some(count) = self.targets.get_mut(target) {
            *count -= 1;
            if *count == 0 {
                self.targets.remove(target);
            }
        }
    }

    fn refresh_global(&mut self, name: &UnitName) {
        for host in self.hosts.values_mut() {
            host.residents.refresh(name, &host.machine, &self.globals);
        }
    }

    fn set_machine(&mut self, id: MachineId, record: Versioned<MachineRecord>) {
        let MachineRecord { metadata: configured, capabilities, standing, .. } = record.value;
        let (created, hands_over) = (record.created, capabilities.handover);
        if let Some(host) = self.hosts.get_mut(&id)
            && host.configured == configured
        {
            // Decisions insist on `created`, so a machine that came anew is news.
            self.is_seen &= host.created == created
                && host.hands_over == hands_over
                && host.standing == standing;
            (host.created, host.hands_over) = (created, hands_over);
            if host.standing != standing {
                info!(machine = %id, %standing, before = %host.standing, "a machine's standing has changed");
                host.standing = standing;
            }
            return;
        }
        let machine = Machine { metadata: self.effective(&id, &configured), id: id.clone() };
        let mut residents = Residents::default();
        for unit in self.scheduled.values() {
            if unit.target() == Some(&id) && unit.stays() {
                residents.add(unit, &machine, &Units::new());
            }
        }
        residents.bar(self.barred.get(&id).cloned().unwrap_or_default());
        residents.settle(&machine, &self.globals);
        let host = Host { machine, created, standing, hands_over, residents, configured };
        self.hosts.insert(id, host);
        self.is_seen = false;
    }

    fn set_metadata(&mut self, id: MachineId, key: String, value: Option<String>) {
        let of_machine = self.dynamic.entry(id.clone()).or_default();
        match value {
            Some(value) => drop(of_machine.insert(key, value)),
            None => drop(of_machine.remove(&key)),
        }
        if of_machine.is_empty() {
            self.dynamic.remove(&id);
        }
        let Some(host) = self.hosts.get(&id) else { return };
        let metadata = self.effective(&id, &host.configured);
        if let Some(host) = self.hosts.get_mut(&id)
            && host.machine.metadata != metadata
        {
            host.machine.metadata = metadata;
            host.residents.settle(&host.machine, &self.globals);
            self.is_seen = false;
        }
    }

    fn set_obstacle(&mut self, unit: UnitName, id: MachineId, found: Option<HostObstacle>) {
        let barred = self.barred.entry(id.clone()).or_default();
        let before = match found.clone() {
            Some(found) => Arc::make_mut(barred).insert(unit.clone(), found),
            None => Arc::make_mut(barred).remove(&unit),
        };
        let barred = Arc::clone(barred);
        if barred.is_empty() {
            self.barred.remove(&id);
        }
        if let Some(host) = self.hosts.get_mut(&id)
            && before != found
        {
            host.residents.bar(barred);
            if self.globals.contains_key(&unit) {
                host.residents.refresh(&unit, &host.machine, &self.globals);
            }
            self.is_seen = false;
        }
    }

    /// A machine's configured metadata overlaid with what was set through the API.
    fn effective(
        &self,
        id: &MachineId,
        configured: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        match self.dynamic.get(id) {
            Some(dynamic) => effective_metadata(configured, dynamic),
            None => configured.clone(),
        }
    }
}
