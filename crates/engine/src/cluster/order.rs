//! The machines by load: where a search for the least loaded begins.
//!
//! Beside all of them there are those that have some metadata, for every set of metadata that units
//! ask for: so no unit is compared with machines that it can't go to for that reason.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{Machine, MachineId, Requirements};

/// What units ask of a machine's metadata: the values that go, for each key.
pub(crate) type Asked = BTreeMap<String, BTreeSet<String>>;

/// Machines with their load, the least loaded first and by id among equals.
pub(crate) type ByLoad = BTreeSet<(usize, MachineId)>;

/// The number of a [`Group`].
pub(crate) type GroupId = usize;

/// The most groups. Units that ask for still other metadata are compared with all machines.
const MAX_GROUPS: usize = 4096;

/// The most groups that a machine is in, on average over all: the index is never larger than so many
/// times the cluster.
const MAX_PER_MACHINE: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    all: ByLoad,
    machines: BTreeMap<MachineId, Member>,
    ids: BTreeMap<Asked, GroupId>,
    groups: BTreeMap<GroupId, Group>,
    /// How many machines the groups have together.
    size: usize,
}

#[derive(Clone, Debug)]
struct Member {
    load: usize,
    groups: Vec<GroupId>,
}

/// The machines that have the metadata that some units ask for.
#[derive(Clone, Debug)]
struct Group {
    asked: Asked,
    /// How many units ask for it.
    units: usize,
    machines: ByLoad,
}

/// Whether a machine with this metadata has what is asked for.
pub(crate) fn has(metadata: &BTreeMap<String, String>, asked: &Asked) -> bool {
    asked.iter().all(|(key, values)| metadata.get(key).is_some_and(|value| values.contains(value)))
}

impl Order {
    /// The group of machines that have what `requirements` ask for; `None` stands for all of them.
    pub(crate) fn group(&self, requirements: &Requirements) -> Option<GroupId> {
        let asked = Some(&requirements.metadata).filter(|asked| !asked.is_empty())?;
        self.ids.get(asked).copied()
    }

    /// The machines of a group.
    pub(crate) fn of(&self, group: Option<GroupId>) -> &ByLoad {
        group.and_then(|id| self.groups.get(&id)).map_or(&self.all, |group| &group.machines)
    }

    /// The groups that a machine is in, but for that of all.
    pub(crate) fn groups_of(&self, machine: &MachineId) -> &[GroupId] {
        self.machines.get(machine).map_or(&[], |member| &member.groups)
    }

    /// Takes in a machine that has come, or whose metadata has changed.
    pub(super) fn set_machine(&mut self, machine: &Machine, load: usize) {
        self.remove_machine(&machine.id);
        let mut groups = Vec::new();
        for (id, group) in &mut self.groups {
            if has(&machine.metadata, &group.asked) {
                group.machines.insert((load, machine.id.clone()));
                groups.push(*id);
            }
        }
        self.size += groups.len();
        self.all.insert((load, machine.id.clone()));
        self.machines.insert(machine.id.clone(), Member { load, groups });
    }

    pub(super) fn remove_machine(&mut self, id: &MachineId) {
        let Some(Member { load, groups }) = self.machines.remove(id) else { return };
        self.size -= groups.len();
        let entry = (load, id.clone());
        self.all.remove(&entry);
        for group in groups {
            if let Some(group) = self.groups.get_mut(&group) {
                group.machines.remove(&entry);
            }
        }
    }

    /// Takes in how many units a machine has.
    pub(super) fn set_load(&mut self, id: &MachineId, load: usize) {
        let Some(member) = self.machines.get_mut(id).filter(|member| member.load != load) else {
            return;
        };
        let (old, new) = ((member.load, id.clone()), (load, id.clone()));
        member.load = load;
        for group in &member.groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.machines.remove(&old);
                group.machines.insert(new.clone());
            }
        }
        self.all.remove(&old);
        self.all.insert(new);
    }

    /// One more unit asks for this metadata, of machines like these.
    pub(super) fn ask<'a>(&mut self, asked: &Asked, machines: impl Iterator<Item = &'a Machine>) {
        if asked.is_empty() {
            return;
        }
        if let Some(group) = self.ids.get(asked).and_then(|id| self.groups.get_mut(id)) {
            group.units += 1;
            return;
        }
        let having: Vec<&Machine> =
            machines.filter(|machine| has(&machine.metadata, asked)).collect();
        let most = MAX_PER_MACHINE * self.machines.len().max(1);
        if self.groups.len() >= MAX_GROUPS || self.size + having.len() > most {
            return;
        }
        let id = self.groups.last_key_value().map_or(0, |(id, _)| id + 1);
        let mut group = Group { asked: asked.clone(), units: 1, machines: ByLoad::new() };
        for machine in having {
            if let Some(member) = self.machines.get_mut(&machine.id) {
                member.groups.push(id);
                group.machines.insert((member.load, machine.id.clone()));
            }
        }
        self.size += group.machines.len();
        self.ids.insert(asked.clone(), id);
        self.groups.insert(id, group);
    }

    /// One unit less asks for it.
    pub(super) fn forget(&mut self, asked: &Asked) {
        let Some(id) = self.ids.get(asked).copied() else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.units = group.units.saturating_sub(1);
        if group.units > 0 {
            return;
        }
        for (_, machine) in &group.machines {
            if let Some(member) = self.machines.get_mut(machine) {
                member.groups.retain(|group| *group != id);
            }
        }
        self.size -= group.machines.len();
        self.groups.remove(&id);
        self.ids.remove(asked);
    }
}
