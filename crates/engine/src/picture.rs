//! The cluster as it will be: what a pass has decided so far, on top of what is known.
//!
//! Only machines that a decision touches are copied, and only what they change in the order of loads
//! is kept beside it: so a pass costs what it looks at, and not what there is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use fleet_core::{Machine, MachineId, Obstacle};

use crate::cluster::{ByLoad, Cluster, GroupId, Host, Residents, Shift, Unit};

/// The machines with what is on them after the decisions taken so far.
#[derive(Debug)]
pub(crate) struct Picture<'a> {
    cluster: &'a Cluster,
    /// What is on the machines that decisions have touched.
    touched: HashMap<&'a MachineId, Residents>,
    /// The orders that were asked for; `None` is that of all machines.
    orders: BTreeMap<Option<GroupId>, Order<'a>>,
    /// Where units were placed.
    placed: HashMap<&'a str, &'a MachineId>,
}

/// Machines by load, as they will be.
#[derive(Debug)]
struct Order<'a> {
    /// As they are.
    known: &'a ByLoad,
    /// All of `known` before this one are touched.
    begin: Option<&'a (usize, MachineId)>,
    /// Those that are touched, with their new loads.
    touched: BTreeSet<(usize, &'a MachineId)>,
}

impl<'a> Order<'a> {
    /// What is left of those that aren't touched, and some in between that are.
    fn rest(&self) -> impl Iterator<Item = &'a (usize, MachineId)> + use<'a> {
        let from = self.begin.map_or(Bound::Unbounded, Bound::Included);
        self.known.range::<(usize, MachineId), _>((from, Bound::Unbounded))
    }
}

/// Two orders as one.
fn merged<'a>(
    one: impl Iterator<Item = (usize, &'a MachineId)>,
    other: impl Iterator<Item = (usize, &'a MachineId)>,
) -> impl Iterator<Item = &'a MachineId> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let is_one = match (one.peek(), other.peek()) {
            (Some(one), Some(other)) => one < other,
            (one, _) => one.is_some(),
        };
        if is_one { one.next() } else { other.next() }.map(|(_, id)| id)
    })
}

impl<'a> Picture<'a> {
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        let (touched, placed) = (HashMap::new(), HashMap::new());
        Self { cluster, touched, orders: BTreeMap::new(), placed }
    }

    /// The machine called `id`, if it is there, and what will be on it.
    pub(crate) fn place(&self, id: &MachineId) -> Option<(&'a Host, &Residents)> {
        let host = self.cluster.hosts().get(id)?;
        Some((host, self.touched.get(id).unwrap_or(&host.residents)))
    }

    /// What keeps `unit` from being on a machine, whether it is there already or not.
    pub(crate) fn obstacle(
        &self,
        unit: &Unit,
        machine: &Machine,
        residents: &Residents,
    ) -> Option<Obstacle> {
        residents.obstacle(unit, machine, self.cluster.rings())
    }

    /// Whether the machine called `id` takes `unit`.
    pub(crate) fn takes(&self, unit: &Unit, id: &MachineId) -> bool {
        self.place(id).is_some_and(|(host, residents)| {
            let Host { machine, standing, .. } = host;
            let rings = self.cluster.rings();
            residents.obstacle_to_coming(unit, machine, *standing, rings).is_none()
        })
    }

    /// The machine that had `unit` when its content was replaced, if it takes it still; else the
    /// least loaded that does, and among equals the one with the smaller id (`cluster.md` 3).
    pub(crate) fn choose(&mut self, unit: &'a Unit) -> Option<&'a MachineId> {
        if let Some(before) = &unit.record.value.return_to
            && self.takes(unit, before)
        {
            return Some(before);
        }
        // Its peers, or it itself, may leave no choice.
        for peer in &unit.requirements.peers {
            let peer = self.cluster.called(peer)?;
            if !peer.is_global() {
                return self.home(peer).filter(|home| self.takes(unit, home));
            }
        }
        if let Some(called) = &unit.requirements.machine {
            return self.called(unit, called);
        }
        self.least_loaded(unit)
    }

    /// Where a unit is, or would be if it stays.
    fn home(&self, unit: &'a Unit) -> Option<&'a MachineId> {
        self.placed.get(unit.name.as_str()).copied().or_else(|| unit.target())
    }

    /// The least loaded of the machines that are called so, as far as they take `unit`.
    fn called(&self, unit: &Unit, called: &str) -> Option<&'a MachineId> {
        let from = called.parse::<MachineId>().ok()?;
        let hosts = self.cluster.hosts().range(from..);
        let alike = hosts.map(|(id, _)| id).take_while(|id| id.as_str().starts_with(called));
        let takes = alike.filter(|id| id.is_called(called) && self.takes(unit, id));
        takes.min_by_key(|id| (self.place(id).map(|(_, residents)| residents.len()), *id))
    }

    fn least_loaded(&mut self, unit: &Unit) -> Option<&'a MachineId> {
        let group = self.cluster.order().group(&unit.requirements);
        self.prepare(group);
        let order = self.orders.get(&group)?;
        let rest = order.rest().filter(|(_, id)| !self.touched.contains_key(id));
        let rest = rest.map(|(load, id)| (*load, id));
        merged(rest, order.touched.iter().copied()).find(|id| self.takes(unit, id))
    }

    /// Has an order ready, as things are now.
    fn prepare(&mut self, group: Option<GroupId>) {
        let Self { cluster, touched, orders, .. } = self;
        let order = orders.entry(group).or_insert_with(|| {
            let known = cluster.order();
            let is_in =
                |id: &MachineId| group.is_none_or(|group| known.groups_of(id).contains(&group));
            let here = touched.iter().filter(|(id, _)| is_in(id));
            let touched = here.map(|(id, residents)| (residents.len(), *id)).collect();
            Order { known: known.of(group), begin: None, touched }
        });
        let begin = order.rest().find(|(_, id)| !touched.contains_key(id));
        order.begin = begin.or_else(|| order.known.last());
    }

    pub(crate) fn add(&mut self, unit: &'a Arc<Unit>, id: &'a MachineId) -> Shift {
        self.placed.insert(unit.name.as_str(), id);
        let globals = self.cluster.globals();
        self.change(id, |residents, machine| residents.add(unit, machine, globals))
    }

    pub(crate) fn remove(&mut self, unit: &Unit, id: &MachineId) -> Shift {
        let globals = self.cluster.globals();
        self.change(id, |residents, machine| residents.remove(unit, machine, globals))
    }

    fn change(
        &mut self,
        id: &MachineId,
        change: impl FnOnce(&mut Residents, &Machine) -> Shift,
    ) -> Shift {
        let Some(host) = self.cluster.hosts().get(id) else { return Shift::default() };
        let id = &host.machine.id;
        let residents = self.touched.entry(id).or_insert_with(|| host.residents.clone());
        let before = residents.len();
        let shift = change(residents, &host.machine);
        let after = residents.len();
        let groups = self.cluster.order().groups_of(id).iter().copied().map(Some);
        for group in groups.chain([None]) {
            if let Some(order) = self.orders.get_mut(&group) {
                order.touched.remove(&(before, id));
                order.touched.insert((after, id));
            }
        }
        shift
    }
}
