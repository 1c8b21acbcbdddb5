//! The cluster as it will be: what a pass has decided so far, on top of what is known.
//!
//! Only machines that a decision touches are copied.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet_core::{Machine, MachineId, MachineStanding, Obstacle};

use crate::cluster::{Cluster, Host, Residents, Rings, Unit, Units};

/// A machine in a [`Picture`].
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) standing: MachineStanding,
    /// Whether its agent says when units that had to go are gone.
    pub(crate) hands_over: bool,
    pub(crate) residents: Cow<'a, Residents>,
}

/// The machines with what is on them after the decisions taken so far.
#[derive(Debug)]
pub(crate) struct Picture<'a> {
    globals: &'a Units,
    rings: &'a Rings,
    places: BTreeMap<&'a MachineId, Place<'a>>,
    by_load: BTreeSet<(usize, &'a MachineId)>,
}

impl<'a> Picture<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        let places: BTreeMap<_, _> = cluster
            .hosts()
            .iter()
            .map(|(id, host)| {
                let residents = Cow::Borrowed(&host.residents);
                let Host { machine, standing, hands_over, .. } = host;
                let (standing, hands_over) = (*standing, *hands_over);
                (id, Place { machine, standing, hands_over, residents })
            })
            .collect();
        let by_load = places.iter().map(|(id, place)| (place.residents.len(), *id)).collect();
        Self { globals: cluster.globals(), rings: cluster.rings(), places, by_load }
    }

    pub(crate) fn place(&self, id: &MachineId) -> Option<&Place<'a>> {
        self.places.get(id)
    }

    /// The machines, the least loaded first and by id among equals.
    fn by_load(&self) -> impl Iterator<Item = &Place<'a>> {
        self.by_load.iter().filter_map(|(_, id)| self.places.get(id))
    }

    /// What keeps `unit` from being in `place`, whether it is there already or not.
    pub(crate) fn obstacle(&self, unit: &Unit, place: &Place<'_>) -> Option<Obstacle> {
        place.residents.obstacle(unit, place.machine, self.rings)
    }

    /// The machine that had `unit` when its content was replaced, if it takes it still; else the
    /// least loaded that does, and among equals the one with the smaller id (`cluster.md` 3).
    pub(crate) fn choose(&self, unit: &Unit) -> Option<&'a MachineId> {
        let takes = |place: &&Place<'a>| {
            let Place { machine, standing, residents, .. } = place;
            residents.obstacle_to_coming(unit, machine, *standing, self.rings).is_none()
        };
        let before = unit.record.value.return_to.as_ref().and_then(|id| self.place(id));
        let chosen = before.filter(takes).or_else(|| self.by_load().find(takes))?;
        Some(&chosen.machine.id)
    }

    pub(crate) fn add(&mut self, unit: &Arc<Unit>, id: &MachineId) {
        let globals = self.globals;
        self.change(id, |residents, machine| residents.add(unit, machine, globals));
    }

    pub(crate) fn remove(&mut self, unit: &Unit, id: &MachineId) {
        let globals = self.globals;
        self.change(id, |residents, machine| residents.remove(unit, machine, globals));
    }

    fn change(&mut self, id: &MachineId, change: impl FnOnce(&mut Residents, &Machine)) {
        let Some(place) = self.places.get_mut(id) else { return };
        let id = &place.machine.id;
        self.by_load.remove(&(place.residents.len(), id));
        change(place.residents.to_mut(), place.machine);
        self.by_load.insert((place.residents.len(), id));
    }
}
