//! The units that wait for a machine, by what may end their waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use fleet_core::{Machine, Pattern, UnitName};

use super::{
    Unit, Units,
    order::{Asked, has},
};

type Names = BTreeSet<UnitName>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    all: Units,
    /// By the machine that they ask for. Units with peers are in neither: they come when those do.
    by_machine: BTreeMap<String, Names>,
    /// By the metadata that they ask for, where they name no machine.
    by_metadata: BTreeMap<Asked, Names>,
    /// By the patterns of their conflicts, under what every name that matches begins with.
    by_pattern: BTreeMap<String, BTreeMap<String, (Pattern, Names)>>,
}

/// Removes `name` from a set within `sets`, and the set when that was all.
fn take<K: Ord>(sets: &mut BTreeMap<K, Names>, key: &K, name: &UnitName) {
    if let Some(names) = sets.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            sets.remove(key);
        }
    }
}

impl Waiting {
    /// All of them.
    pub(crate) fn all(&self) -> &Units {
        &self.all
    }

    pub(super) fn insert(&mut self, unit: &Arc<Unit>) {
        let (name, asked) = (&unit.name, &unit.requirements);
        match &asked.machine {
            _ if unit.has_peers() => {}
            Some(machine) => {
                self.by_machine.entry(machine.clone()).or_default().insert(name.clone());
            }
            None => {
                self.by_metadata.entry(asked.metadata.clone()).or_default().insert(name.clone());
            }
        }
        for pattern in &asked.conflicts {
            let patterns = self.by_pattern.entry(pattern.literal_prefix()).or_default();
            let asking = || (pattern.clone(), Names::new());
            let entry = patterns.entry(pattern.as_str().to_owned()).or_insert_with(asking);
            entry.1.insert(name.clone());
        }
        self.all.insert(name.clone(), Arc::clone(unit));
    }

    pub(super) fn remove(&mut self, name: &UnitName) {
        let Some(unit) = self.all.remove(name) else { return };
        let asked = &unit.requirements;
        if let Some(machine) = &asked.machine {
            take(&mut self.by_machine, machine, name);
        }
        take(&mut self.by_metadata, &asked.metadata, name);
        for pattern in &asked.conflicts {
            let prefix = pattern.literal_prefix();
            if let Some(patterns) = self.by_pattern.get_mut(&prefix) {
                if let Some((_, names)) = patterns.get_mut(pattern.as_str()) {
                    names.remove(name);
                    if names.is_empty() {
                        patterns.remove(pattern.as_str());
                    }
                }
                if patterns.is_empty() {
                    self.by_pattern.remove(&prefix);
                }
            }
        }
    }

    /// Those that `machine` may take for all that it says of itself, but for those with peers.
    pub(crate) fn open_to(&self, machine: &Machine) -> impl Iterator<Item = &Arc<Unit>> {
        let (id, short) = (machine.id.as_str(), machine.id.short());
        let named = [Some(id), (short != id).then_some(short)].into_iter().flatten();
        let named = named.filter_map(|called| self.by_machine.get(called)).flatten();
        let like = self.by_metadata.iter().filter(|(asked, _)| has(&machine.metadata, asked));
        let names = named.chain(like.flat_map(|(_, names)| names));
        names.filter_map(|name| self.all.get(name))
    }

    /// Those that can't be where `unit` is, or that it pushes off, by what either asks for.
    pub(crate) fn kept_off_by<'a>(&'a self, unit: &Unit) -> Vec<&'a Arc<Unit>> {
        let name = unit.name.as_str();
        let ends = name.char_indices().map(|(end, _)| end).chain([name.len()]);
        let prefixes = ends.filter(|_| !self.by_pattern.is_empty()).map(|end| &name[..end]);
        let patterns = prefixes.filter_map(|prefix| self.by_pattern.get(prefix));
        let found = patterns.flat_map(BTreeMap::values);
        let found = found.filter(|(pattern, _)| pattern.matches(name)).flat_map(|(_, names)| names);
        let found = found.filter_map(|name| self.all.get(name));
        let asked = &unit.requirements;
        let patterns = asked.conflicts.iter().chain(&asked.replaces);
        found.chain(patterns.flat_map(|pattern| matching(&self.all, pattern))).collect()
    }
}

/// The units that a pattern matches. Only those that begin as it does are looked at.
fn matching<'a>(units: &'a Units, pattern: &Pattern) -> Vec<&'a Arc<Unit>> {
    let prefix = pattern.literal_prefix();
    let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
    let alike = units.range::<str, _>(from);
    let alike = alike.take_while(|(name, _)| name.as_str().starts_with(&prefix));
    alike.filter(|(name, _)| pattern.matches(name.as_str())).map(|(_, unit)| unit).collect()
}
