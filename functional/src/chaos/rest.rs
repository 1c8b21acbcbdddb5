//! What must be when nothing has gone wrong for a while.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use super::follow;
use super::history::{FOLDER, Record};
use super::look::{self, Seen};
use super::plan::Desired;
use super::units::{Kind, variant_in};
use super::users;
use super::world::World;
use crate::host::Host;

/// All that etcd has.
#[derive(Debug, Default)]
struct Stored {
    units: BTreeMap<String, Record>,
    files: BTreeMap<String, String>,
    /// What machines say of themselves, and what was set for them.
    machines: BTreeMap<String, Value>,
    roles: BTreeMap<String, String>,
    /// By unit and machine.
    states: BTreeMap<(String, String), Value>,
    is_led: bool,
    /// Each path below fleet's folder.
    paths: Vec<String>,
}

impl Stored {
    fn read(world: &World<'_>) -> Result<Self> {
        let mut stored = Self::default();
        for (key, value) in follow::everything(world)? {
            let Some(path) = key.strip_prefix(FOLDER) else { continue };
            stored.paths.push(path.to_owned());
            let parts: Vec<&str> = path.split('/').collect();
            let parsed = || serde_json::from_str(&value).unwrap_or_default();
            match parts[..] {
                ["unit", name] => {
                    stored.units.extend(Record::read(&value).map(|it| (name.to_owned(), it)));
                }
                ["file", name] => drop(stored.files.insert(name.to_owned(), value)),
                ["machine", id] => drop(stored.machines.insert(id.to_owned(), parsed())),
                ["metadata", id, "role"] => drop(stored.roles.insert(id.to_owned(), value)),
                ["state", pair] => {
                    let (unit, machine) = pair.split_once(',').unwrap_or((pair, ""));
                    stored.states.insert((unit.to_owned(), machine.to_owned()), parsed());
                }
                ["lease", "engine-leader"] => stored.is_led = true,
                _ => {}
            }
        }
        Ok(stored)
    }

    /// What users see of the units.
    fn there(&self) -> BTreeMap<String, (u8, Desired)> {
        let variant = |name: &String| {
            self.files.get(name).and_then(|text| variant_in(text)).unwrap_or(u8::MAX)
        };
        let units = self.units.iter();
        units
            .map(|(name, it)| (name.clone(), (variant(name), users::desired(&it.desired))))
            .collect()
    }

    fn suits(&self, kind: Kind, host: &Host) -> bool {
        kind.suits(host.name(), self.roles.get(host.machine_id()).map(String::as_str))
    }

    /// The units that a host has to have.
    fn expected(&self, host: &Host) -> BTreeMap<&String, &Record> {
        let belongs = |name: &str, record: &Record| match Kind::of_name(name) {
            Some(kind) if record.global => self.suits(kind, host),
            _ => record.machine.as_deref() == Some(host.machine_id()),
        };
        let wanted = self.units.iter().filter(|(_, record)| record.desired != "inactive");
        wanted.filter(|(name, record)| belongs(name, record)).collect()
    }
}

/// All that isn't as it should be, in words; empty when all is. Users' requests count as settled
/// then.
pub(crate) fn what_is_wrong(world: &World<'_>) -> Result<Vec<String>> {
    let stored = Stored::read(world)?;
    let mut wrong = Vec::new();
    if !stored.is_led {
        wrong.push("no engine leads".to_owned());
    }
    for host in world.lab.hosts() {
        match stored.machines.get(host.machine_id()) {
            None => wrong.push(format!("{} is absent", host.name())),
            Some(says) if says.get("standing").is_some_and(|it| !it.is_null()) => {
                wrong.push(format!("{} says {says}", host.name()));
            }
            Some(_) => {}
        }
    }
    if !wrong.is_empty() {
        return Ok(wrong);
    }
    wrong.extend(world.asked().compare(&stored.there()));
    wrong.extend(stored.units.iter().filter_map(|it| misplaced(world, &stored, it)));
    let mut systemd = BTreeMap::new();
    for host in world.lab.hosts() {
        let units = look::units(host)?;
        host_is_wrong(host, &stored, &units, &mut wrong)?;
        systemd.insert(host.machine_id().to_owned(), units);
    }
    for host in world.lab.hosts() {
        let states = said(host)?;
        wrong.extend(
            lies(&stored, world, &systemd, &states)
                .map(|it| format!("the API of {} says something else: {it}", host.name())),
        );
    }
    wrong.extend(left_over(&stored, world));
    if wrong.is_empty() {
        world.asked().settle(&stored.there());
    }
    Ok(wrong)
}

/// Whether a unit that could be somewhere isn't, or is where it may not be.
fn misplaced(world: &World<'_>, stored: &Stored, unit: (&String, &Record)) -> Option<String> {
    let (name, record) = unit;
    let kind = Kind::of_name(name)?;
    if record.global {
        return None;
    }
    if record.leaving {
        return Some(format!("{name} is still to leave"));
    }
    let wanted = record.desired != "inactive";
    let Some(machine) = &record.machine else {
        let pushed = name == "c-plain-3.service"
            && stored.units.iter().any(|(other, record)| {
                Kind::of_name(other) == Some(Kind::Replacing) && record.machine.is_some()
            });
        let takes = world.lab.hosts().iter().find(|host| stored.suits(kind, host));
        let place = takes.filter(|_| wanted && !pushed && !kind.depends())?;
        return Some(format!("{name} has no machine, and {} would take it", place.name()));
    };
    if !wanted {
        return Some(format!("{name} is inactive and has a machine"));
    }
    let Ok(host) = world.lab.host_with_id(machine) else {
        return Some(format!("{name} is on {machine}, which nobody knows"));
    };
    if !stored.suits(kind, host) {
        return Some(format!("{name} is on {}, which may not have it", host.name()));
    }
    let others = stored
        .units
        .iter()
        .filter(|(other, it)| *other != name && it.machine.as_ref() == Some(machine));
    let rival = others
        .map(|(other, _)| other)
        .find(|other| kind == Kind::Single && Kind::of_name(other) == Some(Kind::Single));
    if let Some(rival) = rival {
        return Some(format!("{name} and {rival} are both on {}", host.name()));
    }
    let peer = stored.units.get("c-plain-0.service").and_then(|peer| peer.machine.as_ref());
    let is_apart = kind == Kind::Peer && peer != Some(machine);
    is_apart.then(|| format!("{name} is on {}, and its peer is elsewhere", host.name()))
}

/// What a host has isn't what it should have.
fn host_is_wrong(
    host: &Host,
    stored: &Stored,
    units: &BTreeMap<String, Seen>,
    wrong: &mut Vec<String>,
) -> Result<()> {
    let name = host.name();
    let expected = stored.expected(host);
    let files = look::files(host)?;
    for unit in expected.keys().filter(|unit| !files.units.contains(**unit)) {
        wrong.push(format!("{name} lacks {unit}"));
    }
    for file in files.units.iter().filter(|file| !expected.contains_key(file)) {
        wrong.push(format!("{name} has {file} in its folder of units"));
    }
    for link in &files.links {
        let unit = link.rsplit('/').next().unwrap_or(link);
        if !expected.contains_key(&unit.to_owned()) {
            wrong.push(format!("{name} has {link}"));
        }
    }
    for (unit, seen) in units {
        if seen.is_up() && !expected.contains_key(unit) {
            wrong.push(format!("{unit} is {} on {name}, where it doesn't belong", seen.active));
        }
    }
    let contents = look::contents(host, units.values())?;
    for (unit, record) in expected {
        let pid = units.get(unit).map(|seen| seen.pid.as_str()).unwrap_or_default();
        let (has, wanted) =
            (contents.get(pid), stored.files.get(unit).and_then(|it| variant_in(it)));
        if has.is_some_and(|has| Some(*has) != wanted) {
            wrong.push(format!("{unit} on {name} runs content {has:?}, and is to be {wanted:?}"));
        }
        let active = units.get(unit).map_or("inactive", |seen| seen.active.as_str());
        let Some(kind) = Kind::of_name(unit) else { continue };
        if !kind.states(record.desired == "launched").contains(&active) {
            wrong.push(format!("{unit} is {active} on {name}, and is to be {}", record.desired));
        }
        let state = stored.states.get(&(unit.clone(), host.machine_id().to_owned()));
        let hash = state.and_then(|state| state.get("hash")).and_then(Value::as_str);
        if hash != Some(&record.hash) {
            wrong.push(format!("{name} publishes {state:?} of {unit}, which is {record:?}"));
        }
    }
    Ok(())
}

/// The states that a host's API tells, by unit and machine.
fn said(host: &Host) -> Result<BTreeMap<(String, String), (String, String)>> {
    let states = host.api()?.states()?.into_iter();
    Ok(states.map(|it| ((it.unit, it.machine), (it.active, it.sub))).collect())
}

/// Whether what the API tells of states isn't what the hosts' systemds say.
fn lies(
    stored: &Stored,
    world: &World<'_>,
    systemd: &BTreeMap<String, BTreeMap<String, Seen>>,
    states: &BTreeMap<(String, String), (String, String)>,
) -> Option<String> {
    let mut expected = BTreeSet::new();
    for host in world.lab.hosts() {
        for unit in stored.expected(host).into_keys() {
            expected.insert((unit.clone(), host.machine_id().to_owned()));
        }
    }
    let told: BTreeSet<_> = states.keys().cloned().collect();
    if let Some(differs) = told.symmetric_difference(&expected).next() {
        return Some(format!("{differs:?} is told: {}", told.contains(differs)));
    }
    states.iter().find_map(|((unit, machine), (active, sub))| {
        let seen = systemd.get(machine).and_then(|units| units.get(unit))?;
        let goes_on = Kind::of_name(unit) == Some(Kind::Looping);
        let is_told = goes_on || (&seen.active, &seen.sub) == (active, sub);
        let is = format!("{}/{}", seen.active, seen.sub);
        (!is_told).then(|| format!("{unit} is {active}/{sub} on {machine}, and is {is}"))
    })
}

/// What is left of what is gone.
fn left_over(stored: &Stored, world: &World<'_>) -> Vec<String> {
    let belongs = |machine: &str, unit: &str| {
        let host = world.lab.host_with_id(machine).ok();
        host.is_some_and(|host| stored.expected(host).keys().any(|it| *it == unit))
    };
    let is_left = |path: &&String| match path.split('/').collect::<Vec<_>>()[..] {
        ["schedule", machine, unit] => {
            stored.units.get(unit).is_none_or(|it| it.machine.as_deref() != Some(machine))
        }
        ["restart" | "leaving" | "trouble" | "obstacle", ..] => true,
        ["global", unit] => stored.units.get(unit).is_none_or(|it| !it.global),
        ["state", pair] => {
            pair.split_once(',').is_none_or(|(unit, machine)| !belongs(machine, unit))
        }
        ["file", unit] => !stored.units.contains_key(unit),
        _ => false,
    };
    stored.paths.iter().filter(is_left).map(|path| format!("{path} is left")).collect()
}
