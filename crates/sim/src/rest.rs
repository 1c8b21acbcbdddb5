//! What must be when nothing has gone wrong for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet_core::{JobState, Requirements, UnitName};
use fleet_registry::{PublishedState, UnitRecord};
use fleet_store::{Key, Range, Revision, Store};

use crate::{
    machine::Machine,
    plan::Kind,
    world::{PREFIX, World},
};

/// What was held when something went wrong last has run out after that: engine lease and presence.
const SETTLES: Duration = Duration::from_secs(12);

/// All that isn't as it should be, in words; empty when all is.
pub async fn what_is_wrong(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for machine in &world.machines {
        if machine.life().is_none_or(|life| life.is_over()) {
            wrong.push(format!("{machine} has no fleetd"));
        } else if machine.calm_for() < SETTLES {
            wrong.push(format!("{machine} was in trouble just now"));
        }
    }
    if !wrong.is_empty() {
        return wrong;
    }
    let (units, here) = {
        let truth = world.truth();
        if !world.machines.iter().any(|machine| truth.leads(&machine.id)) {
            wrong.push("no engine leads".to_owned());
        }
        for machine in &world.machines {
            match truth.presence(&machine.id) {
                None => wrong.push(format!("{machine} is absent")),
                Some(present) if present.record.metadata != machine.configured() => {
                    let said = &present.record.metadata;
                    wrong.push(format!("{machine} says that its configuration is {said:?}"));
                }
                Some(_) => {}
            }
        }
        let units: BTreeMap<UnitName, UnitRecord> =
            truth.units().map(|(name, record)| (name.clone(), record.clone())).collect();
        let zones: BTreeMap<usize, BTreeMap<String, String>> = world
            .machines
            .iter()
            .map(|machine| (machine.number, truth.metadata(&machine.id)))
            .collect();
        (units, zones)
    };
    if !wrong.is_empty() {
        return wrong;
    }
    for (name, record) in &units {
        wrong.extend(misplaced(world, name, record, &units, &here));
    }
    for machine in &world.machines {
        machine_is_wrong(world, machine, &units, &here[&machine.number], &mut wrong).await;
    }
    wrong.extend(left_over(world, &units).await);
    wrong
}

/// Whether a unit that could be somewhere isn't, or is where it may not be.
fn misplaced(
    world: &World,
    name: &UnitName,
    record: &UnitRecord,
    units: &BTreeMap<UnitName, UnitRecord>,
    metadata: &BTreeMap<usize, BTreeMap<String, String>>,
) -> Option<String> {
    if record.global {
        return None;
    }
    if record.leaving {
        return Some(format!("{name} is still to leave"));
    }
    let wanted = record.desired_state != JobState::Inactive;
    let requirements = record.x_fleet.requirements(name);
    let takes = |machine: &Machine| is_eligible(&requirements, &metadata[&machine.number]);
    let owner =
        record.machine.as_ref().map(|id| world.machines.iter().find(|machine| machine.id == *id));
    match owner {
        None if !wanted => None,
        None => {
            let free = requirements.peers.is_empty() && requirements.conflicts.is_empty();
            let pushed = units.iter().any(|(other, record)| {
                record.machine.is_some()
                    && record
                        .x_fleet
                        .requirements(other)
                        .replaces
                        .iter()
                        .any(|p| p.matches(name.as_str()))
            });
            let place = world.machines.iter().find(|machine| takes(machine));
            let place = place.filter(|_| free && !pushed && requirements.replaces.is_empty())?;
            Some(format!("{name} has no machine, and {place} would take it"))
        }
        Some(_) if !wanted => Some(format!("{name} is inactive and has a machine")),
        Some(None) => Some(format!("{name} is on a machine that nobody knows")),
        Some(Some(machine)) if !takes(machine) => {
            Some(format!("{name} is on {machine}, which may not have it"))
        }
        Some(Some(machine)) => {
            let rival = units.iter().find(|(other, record)| {
                *other != name
                    && record.machine.as_ref() == Some(&machine.id)
                    && requirements.conflicts.iter().any(|p| p.matches(other.as_str()))
            });
            rival.map(|(other, _)| format!("{name} and {other} are both on {machine}"))
        }
    }
}

/// Whether a machine with this metadata may have a unit that asks for that.
fn is_eligible(requirements: &Requirements, metadata: &BTreeMap<String, String>) -> bool {
    let fits = |(key, values): (&String, &BTreeSet<String>)| {
        metadata.get(key).is_some_and(|value| values.contains(value))
    };
    requirements.metadata.iter().all(fits)
}

/// What a machine has isn't what it should have, or isn't what it says.
async fn machine_is_wrong(
    world: &World,
    machine: &Machine,
    units: &BTreeMap<UnitName, UnitRecord>,
    metadata: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) {
    let fake = machine.fake();
    let belongs = |(name, record): &(&UnitName, &UnitRecord)| {
        let wanted = record.desired_state != JobState::Inactive;
        let eligible = is_eligible(&record.x_fleet.requirements(name), metadata);
        wanted
            && if record.global { eligible } else { record.machine.as_ref() == Some(&machine.id) }
    };
    let expected: BTreeMap<&UnitName, &UnitRecord> = units.iter().filter(belongs).collect();
    let files = fake.files();
    let missing: BTreeSet<&UnitName> =
        expected.keys().copied().filter(|name| !files.contains_key(*name)).collect();
    let superfluous: BTreeSet<&UnitName> =
        files.keys().filter(|name| !expected.contains_key(name)).collect();
    if !missing.is_empty() {
        wrong.push(format!("{machine} lacks {:?}", names(&missing)));
    }
    if !superfluous.is_empty() {
        wrong.push(format!("{machine} has files of {:?}", names(&superfluous)));
    }
    for name in fake.in_memory() {
        if !expected.contains_key(&name) && machine.runs(&name) {
            wrong.push(format!("{name} runs on {machine}, where it doesn't belong"));
        }
    }
    let registry = world.registry();
    let published = registry.published(&machine.id, None, expected.keys().copied()).await;
    let published: BTreeMap<UnitName, PublishedState> = published.unwrap_or_default();
    for (name, record) in expected {
        let state = fake.state_of(name);
        if files.get(name).is_some_and(|listed| listed.hash != Some(record.hash)) {
            wrong.push(format!("{machine} has another content of {name}"));
        }
        if let Some(expected) = state_expected(name, record.desired_state)
            && !expected.contains(&state.active.as_str())
            && !(machine.took(name) && state.active == "inactive")
        {
            wrong.push(format!("{name} is {} on {machine}", state.active));
        }
        if fake.running(name).is_some_and(|running| running != record.hash) {
            wrong.push(format!("{name} runs another content on {machine}"));
        }
        match published.get(name) {
            None => wrong.push(format!("{machine} says nothing of {name}")),
            Some(said) if is_looping(name) && said.hash == record.hash => {}
            Some(said) if said.systemd != state || said.hash != record.hash => {
                wrong.push(format!("{machine} says {said:?} of {name}, which is {state:?}"));
            }
            Some(said) if said.claim != record.desired_state => {
                wrong.push(format!("{machine} claims {} of {name}", said.claim));
            }
            Some(_) => {}
        }
    }
}

fn names<'a>(units: &BTreeSet<&'a UnitName>) -> Vec<&'a str> {
    units.iter().map(|unit| unit.as_str()).collect()
}

fn is_looping(name: &UnitName) -> bool {
    Kind::named(name) == Some(Kind::Looping)
}

/// What a unit may be on its machine.
fn state_expected(name: &UnitName, desired: JobState) -> Option<&'static [&'static str]> {
    Some(match (desired, Kind::named(name)?) {
        (JobState::Launched, Kind::Once) => &["inactive"],
        (JobState::Launched, Kind::Failing) => &["failed"],
        (JobState::Launched, Kind::Looping) => &["activating"],
        (JobState::Launched, _) => &["active"],
        // A unit that was stopped in its failure may be remembered so.
        (_, Kind::Failing | Kind::Looping) => &["inactive", "failed"],
        _ => &["inactive"],
    })
}

/// What is left of what is gone.
async fn left_over(world: &World, units: &BTreeMap<UnitName, UnitRecord>) -> Vec<String> {
    let all = Range::prefix(&Key::from(format!("{PREFIX}/")));
    let Ok(snapshot) = world.store.read(&[all], None).await else { return Vec::new() };
    let mut left = Vec::new();
    for kv in snapshot.ranges.into_iter().flat_map(|range| range.kvs) {
        let path = kv.key.as_str().trim_start_matches(PREFIX).trim_start_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let belongs = |machine: &str, name: &str| {
            units.iter().any(|(unit, record)| {
                unit.as_str() == name
                    && (record.global
                        || record.machine.as_ref().is_some_and(|id| id.as_str() == machine))
            })
        };
        let is_excused = |pair: &str| {
            let machine = world.machines.iter().find(|it| pair.ends_with(it.id.as_str()));
            machine.is_some_and(|machine| world.knows_too_little(machine))
        };
        let is_left = match parts[..] {
            ["schedule", machine, name] => !belongs(machine, name),
            ["trouble" | "obstacle", pair] => !is_excused(pair),
            ["restart" | "leaving", ..] => true,
            ["global", name] => !units.iter().any(|(unit, it)| unit.as_str() == name && it.global),
            ["state", pair] => {
                let is_told_of = |(name, id): (&str, &str)| belongs(id, name);
                !pair.split_once(',').is_some_and(is_told_of) && !is_excused(pair)
            }
            ["file", name] => !units.keys().any(|unit| unit.as_str() == name),
            _ => false,
        };
        if is_left {
            left.push(format!("{path} is left: {}", String::from_utf8_lossy(&kv.value)));
        }
    }
    left
}

/// The keys that changed since, but for those of units that fail for ever.
#[must_use]
pub fn what_changed(world: &World, since: Revision) -> Vec<String> {
    let all = Range::prefix(&Key::from(format!("{PREFIX}/")));
    let changes = world.store.changes_since(&[all], since.next());
    let keys: BTreeSet<&str> = changes.iter().map(|change| change.key().as_str()).collect();
    let told = keys.into_iter().filter(|key| !key.contains("/state/looping-"));
    told.map(|key| format!("{key} changed")).collect()
}
