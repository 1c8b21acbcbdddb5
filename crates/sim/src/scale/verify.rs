//! Whether every unit is as it was asked for: it runs on one machine and no other, which satisfies its
//! requirements, and is said to. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleet_core::{
    Machine, Requirements, UnitName,
    eligibility::{Candidate, Verdict, judge},
};

use super::{observer::Seen, workload::Workload};

/// The most that is told of what is wrong.
const MOST: usize = 20;

/// What is expected.
pub(super) struct Expected<'a> {
    pub(super) workload: Workload,
    /// The units that should run, each in this version.
    pub(super) units: &'a BTreeMap<usize, usize>,
    /// The machines that have power.
    pub(super) alive: &'a BTreeSet<usize>,
}

/// Compares it with what etcd has, and with what runs on the machines; says what is wrong.
pub(super) fn verify(
    expected: &Expected<'_>,
    seen: &Seen,
    running: &[(String, usize)],
) -> Vec<String> {
    let Expected { workload, units, alive } = expected;
    let mut broken = Vec::new();
    let mut found = HashMap::<&str, Vec<usize>>::new();
    running.iter().for_each(|(unit, machine)| found.entry(unit).or_default().push(*machine));
    let wanted: BTreeMap<UnitName, (usize, Requirements)> = units
        .keys()
        .map(|unit| {
            let name = workload.name(*unit);
            let options = workload.file(*unit, units[unit]).fleet_options();
            let requirements = options.requirements(&name);
            (name, (*unit, requirements))
        })
        .collect();
    let mut residents = BTreeMap::<usize, Vec<Candidate<'_>>>::new();
    for (name, (unit, requirements)) in &wanted {
        let on = found.remove(name.as_str()).unwrap_or_default();
        let [machine] = on[..] else {
            broken.push(format!("{name} runs on {on:?}"));
            continue;
        };
        residents.entry(machine).or_default().push(Candidate { name, requirements });
        let hash = workload.file(*unit, units[unit]).hash();
        let id = workload.machine(machine).id;
        let decided = seen.units.get(name.as_str()).and_then(|it| it.machine.as_deref());
        if !alive.contains(&machine) {
            broken.push(format!("{name} runs on machine {machine}, which is off"));
        } else if decided != Some(id.as_str()) {
            broken.push(format!("{name} runs on machine {machine} and belongs on {decided:?}"));
        } else if !seen.is_active(name.as_str(), &hash) {
            broken.push(format!("{name} isn't said to be active as it should be"));
        }
    }
    broken.extend(found.keys().map(|unit| format!("{unit} runs, and nobody wants it")));
    for name in seen.units.keys() {
        let is_wanted = name.parse().is_ok_and(|name: UnitName| wanted.contains_key(&name));
        if !is_wanted {
            broken.push(format!("{name} is there, and nobody wants it"));
        }
    }
    for (machine, residents) in &residents {
        broken.extend(misplaced(&workload.machine(*machine), residents));
    }
    shortened(broken)
}

/// The units of a machine that it may not have.
fn misplaced(machine: &Machine, residents: &[Candidate<'_>]) -> Vec<String> {
    let refused = |unit: &Candidate<'_>| match judge(*unit, machine, residents.iter().copied()) {
        Verdict::Eligible => None,
        verdict => Some(format!("{} is on {}: {verdict:?}", unit.name, machine.id)),
    };
    residents.iter().filter_map(refused).collect()
}

fn shortened(mut broken: Vec<String>) -> Vec<String> {
    let more = broken.len().saturating_sub(MOST);
    if more > 0 {
        broken.truncate(MOST);
        broken.push(format!("and {more} more"));
    }
    broken
}

#[cfg(test)]
mod tests;
