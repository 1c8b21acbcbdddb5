//! What changes as machines come, go, and say something of themselves.

use std::{collections::BTreeMap, sync::Arc};

use fleet_core::{Machine, MachineId, UnitName};
use fleet_registry::{HostObstacle, MachineRecord, Unclear, Versioned, effective_metadata};
use tracing::info;

use super::{Cluster, Host, Residents, Units};

impl Cluster {
    pub(super) fn set_machine(&mut self, id: MachineId, record: Versioned<MachineRecord>) {
        let was_unclear = self.unclear_machines.remove(&id).is_some();
        let MachineRecord { metadata: configured, capabilities, standing, .. } = record.value;
        let (created, hands_over) = (record.created, capabilities.handover);
        if let Some(host) = self.hosts.get_mut(&id)
            && host.configured == configured
        {
            // Decisions insist on `created`, so a machine that came anew is news.
            let is_news = host.created != created
                || host.hands_over != hands_over
                || host.standing != standing;
            (host.created, host.hands_over) = (created, hands_over);
            if host.standing != standing {
                info!(machine = %id, %standing, before = %host.standing, "a machine's standing has changed");
                host.standing = standing;
            }
            if is_news {
                self.mark_machine(&id);
            }
            return;
        }
        let machine = Machine { metadata: self.effective(&id, &configured), id: id.clone() };
        let mut residents = Residents::default();
        for unit in self.placed_on(&id).filter(|unit| unit.stays()) {
            // Global units come below.
            let shift = residents.add(unit, &machine, &Units::new());
            assert!(shift.is_empty(), "without global units none can move");
        }
        residents.bar(self.barred.get(&id).cloned().unwrap_or_default());
        drop(residents.settle(&machine, &self.globals));
        self.order.set_machine(&machine, residents.len());
        let host = Host { machine, created, standing, hands_over, residents, configured };
        let is_new = self.hosts.insert(id.clone(), host).is_none() && !was_unclear;
        self.roll_has_changed |= is_new;
        self.note_presence(&id);
        self.mark_machine(&id);
    }

    pub(super) fn set_unclear_machine(&mut self, id: MachineId, unclear: Unclear) {
        let was_there = self.forget_host(&id);
        let was_unclear = self.unclear_machines.insert(id.clone(), unclear).is_some();
        self.roll_has_changed |= !was_there && !was_unclear;
        self.note_presence(&id);
        if !was_unclear {
            self.mark_machine(&id);
        }
    }

    pub(super) fn remove_machine(&mut self, id: &MachineId) {
        let was_unclear = self.unclear_machines.remove(id).is_some();
        if self.forget_host(id) || was_unclear {
            self.roll_has_changed = true;
            self.note_presence(id);
            self.mark_machine(id);
        }
    }

    /// Whether it was there.
    fn forget_host(&mut self, id: &MachineId) -> bool {
        self.order.remove_machine(id);
        self.hosts.remove(id).is_some()
    }

    /// Takes in that a machine may have come, or gone, or be one that units are placed on.
    pub(super) fn note_presence(&mut self, id: &MachineId) {
        let is_there = self.hosts.contains_key(id) || self.unclear_machines.contains_key(id);
        let is_target = self.targets.contains_key(id) || self.leaving_from.contains_key(id);
        if is_there || !is_target {
            self.away.remove(id);
        } else {
            self.roll_has_changed |= self.away.insert(id.clone());
        }
    }

    pub(super) fn set_metadata(&mut self, id: MachineId, key: String, value: Option<String>) {
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
            let shift = host.residents.settle(&host.machine, &self.globals);
            self.order.set_machine(&host.machine, host.residents.len());
            self.mark_shift(&id, &shift);
            self.mark_machine(&id);
        }
    }

    pub(super) fn set_obstacle(
        &mut self,
        unit: UnitName,
        id: MachineId,
        found: Option<HostObstacle>,
    ) {
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
                let shift = host.residents.refresh(&unit, &host.machine, &self.globals);
                self.mark_shift(&id, &shift);
            }
            self.marks.unit(&unit);
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
