//! Which machine may take a unit, and which of those does.

use std::collections::BTreeMap;

use fleet_core::{MachineId, Obstacle, UnitName};

use crate::{
    cluster::{Cluster, Host, Unit},
    picture::{Picture, Place},
};

/// The machines that are there with what keeps each from taking a unit; `None` is nothing.
pub type WhyNot = BTreeMap<MachineId, Option<Obstacle>>;

/// Tells for every present machine what keeps it from taking `unit`, as things are now.
///
/// `None` for a unit that doesn't wait for a machine: it has one, isn't wanted, isn't there, or
/// is a template. A global unit waits for every machine, so all of them answer for it.
#[must_use]
pub fn why_not(cluster: &Cluster, unit: &UnitName) -> Option<WhyNot> {
    let is_global = |unit: &Unit| unit.is_global() && unit.is_wanted();
    let unit = cluster.unit(unit).filter(|unit| unit.waits() || is_global(unit))?;
    let answers = cluster.hosts().iter().map(|(id, Host { machine, residents, standing, .. })| {
        let obstacle = if let Err(refusal) = standing.takes_newcomers() {
            Some(Obstacle::Refused(refusal))
        } else if unit.is_global() {
            residents.obstacle_of_global(unit, machine)
        } else {
            residents.obstacle(unit, machine, cluster.rings())
        };
        (id.clone(), obstacle)
    });
    let unclear = cluster.unclear_machines().keys();
    Some(answers.chain(unclear.map(|id| (id.clone(), Some(Obstacle::Unclear)))).collect())
}

/// The machine that had `unit` when its content was replaced, if it takes it still; else the least
/// loaded that does, and among equals the one with the smaller id.
pub(crate) fn choose<'a>(picture: &Picture<'a>, unit: &Unit) -> Option<&'a MachineId> {
    let takes = |place: &&Place<'a>| picture.obstacle_to_coming(unit, place).is_none();
    let before = unit.record.value.return_to.as_ref().and_then(|id| picture.place(id));
    let chosen = before.filter(takes).or_else(|| picture.by_load().find(takes))?;
    Some(&chosen.machine.id)
}
