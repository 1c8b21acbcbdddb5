//! Units that would push each other round for ever.
//!
//! A unit that comes moves those that it replaces, and a unit that moves takes along those that
//! must share its machine (`MachineOf`). Where that leads from a unit back to itself, nothing would
//! ever come to rest. Two units that replace each other are such a ring, and neither goes
//! (`cluster.md` 4); so it is with rings of any length.
//!
//! Rings are the strongly connected components of a graph over the units that replace others and
//! the units that these must be with. Every pattern is a node as well, however many units have it,
//! so that the graph is as large as the options that make it.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem,
    ops::Bound,
};

use fleet_core::{Pattern, UnitName};

use super::{Unit, Units};

/// Which units are in a ring, and in which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    rings: BTreeMap<UnitName, usize>,
    /// All that were looked at: what becomes of others changes no ring.
    nodes: BTreeSet<String>,
}

impl Rings {
    /// Finds the rings that `replacers` are in, which are some of `units`.
    pub(crate) fn of(replacers: &Units, units: &Units) -> Self {
        let nodes: BTreeMap<&str, Option<&Unit>> = nodes(replacers, units);
        let components = components(&edges(&nodes));
        let looked_at = nodes.keys().map(|name| (*name).to_owned()).collect();
        let mut sizes = vec![0; components.len()];
        components.iter().take(nodes.len()).for_each(|ring| sizes[*ring] += 1);
        let names = nodes.into_values().zip(components);
        let shared = names.filter(|(_, ring)| sizes[*ring] > 1);
        let rings = shared.filter_map(|(unit, ring)| Some((unit?.name.clone(), ring))).collect();
        Self { rings, nodes: looked_at }
    }

    /// Whether two units are in the same ring.
    pub(crate) fn join(&self, one: &UnitName, other: &UnitName) -> bool {
        self.rings.get(one).is_some_and(|ring| self.rings.get(other) == Some(ring))
    }

    /// Whether the unit called `name`, which replaces none, can have to do with a ring.
    pub(crate) fn concern(&self, name: &UnitName) -> bool {
        self.nodes.contains(name.as_str())
    }

    /// The units in rings, if those aren't the same as in `others`.
    pub(crate) fn changed_from<'a>(&'a self, others: &'a Self) -> Vec<&'a UnitName> {
        if self.rings == others.rings {
            return Vec::new();
        }
        self.rings.keys().chain(others.rings.keys()).collect()
    }
}

/// The units that replace others, and those that these must be with, whether they are there or not.
fn nodes<'a>(replacers: &'a Units, units: &'a Units) -> BTreeMap<&'a str, Option<&'a Unit>> {
    let mut nodes = BTreeMap::new();
    let mut open: Vec<&str> = replacers.keys().map(UnitName::as_str).collect();
    while let Some(name) = open.pop() {
        if let Entry::Vacant(entry) = nodes.entry(name) {
            let unit = units.get(name).map(AsRef::as_ref).filter(|unit| unit.may_be_somewhere());
            entry.insert(unit);
            open.extend(unit.iter().flat_map(|unit| &unit.requirements.peers).map(String::as_str));
        }
    }
    nodes
}

/// Where a move of each node leads: first the units in order, then the patterns.
fn edges(nodes: &BTreeMap<&str, Option<&Unit>>) -> Vec<Vec<usize>> {
    let index: BTreeMap<&str, usize> = nodes.keys().copied().zip(0..).collect();
    let mut edges = vec![Vec::new(); nodes.len()];
    let mut patterns: BTreeMap<&str, usize> = BTreeMap::new();
    for (node, unit) in nodes.values().enumerate() {
        let Some(unit) = unit else { continue };
        for pattern in &unit.requirements.replaces {
            let pattern = *patterns.entry(pattern.as_str()).or_insert_with(|| {
                edges.push(matching(pattern, &index));
                edges.len() - 1
            });
            edges[node].push(pattern);
        }
        for peer in &unit.requirements.peers {
            edges[index[peer.as_str()]].push(node);
        }
    }
    edges
}

/// The units that a pattern matches. Only those that begin as it does are looked at.
fn matching(pattern: &Pattern, index: &BTreeMap<&str, usize>) -> Vec<usize> {
    let prefix = pattern.literal_prefix();
    index
        .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
        .take_while(|(name, _)| name.starts_with(&prefix))
        .filter(|(name, _)| pattern.matches(name))
        .map(|(_, node)| *node)
        .collect()
}

/// The strongly connected component that each node is in, by the number of one of its nodes
/// (Kosaraju; without recursion, as chains may be long).
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards = vec![Vec::new(); edges.len()];
    for (from, all) in edges.iter().enumerate() {
        all.iter().for_each(|to| backwards[*to].push(from));
    }
    let mut components = vec![None; edges.len()];
    for first in in_order_of_leaving(edges).into_iter().rev() {
        let mut open = vec![first];
        while let Some(node) = open.pop() {
            if components[node].is_none() {
                components[node] = Some(first);
                open.extend(&backwards[node]);
            }
        }
    }
    components.into_iter().flatten().collect()
}

/// The nodes, each after all that is reached from it for the first time.
fn in_order_of_leaving(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(edges.len());
    let mut is_known = vec![false; edges.len()];
    for first in 0..edges.len() {
        if mem::replace(&mut is_known[first], true) {
            continue;
        }
        let mut path = vec![(first, edges[first].iter())];
        while let Some((node, ahead)) = path.last_mut() {
            match ahead.next() {
                Some(next) if mem::replace(&mut is_known[*next], true) => {}
                Some(next) => path.push((*next, edges[*next].iter())),
                None => {
                    order.push(*node);
                    path.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_lead_to_each_other_are_one_component() {
        // 0 ⇄ 1 → 2 → 3 → 4 → 2, and 5 alone with itself.
        let edges = [vec![1], vec![0, 2], vec![3], vec![4], vec![2], vec![5]];
        let found = components(&edges);
        assert_eq!(found[0], found[1]);
        assert!(found[2] == found[3] && found[3] == found[4]);
        assert!(found[1] != found[2] && found[5] != found[0] && found[5] != found[2]);
    }

    #[test]
    fn long_chain_takes_no_stack() {
        let edges: Vec<Vec<usize>> = (0..200_000).map(|n| vec![(n + 1) % 200_000]).collect();
        let found = components(&edges);
        assert!(found.iter().all(|component| *component == found[0]));
    }
}
