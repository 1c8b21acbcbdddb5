use fleet_core::JobState;
use fleet_registry::PublishedState;
use fleet_store::{KeyValue, Revision};
use serde_json::json;

use super::*;
use crate::scale::role::PREFIX;

const WORKLOAD: Workload = Workload { seed: 1, machines: 12 };

/// A cluster in which each of these units is placed, and said to be active, on its machine.
struct Played {
    seen: Seen,
    units: BTreeMap<usize, usize>,
    alive: BTreeSet<usize>,
    running: Vec<(String, usize)>,
}

impl Played {
    fn with(units: &[(usize, usize)]) -> Self {
        let mut played = Self {
            seen: Seen::default(),
            units: units.iter().map(|(unit, _)| (*unit, 0)).collect(),
            alive: (0..WORKLOAD.machines).collect(),
            running: Vec::new(),
        };
        units.iter().for_each(|(unit, machine)| played.place(*unit, *machine));
        played
    }

    fn place(&mut self, unit: usize, machine: usize) {
        let (name, hash) = (WORKLOAD.name(unit), WORKLOAD.file(unit, 0).hash());
        let id = WORKLOAD.machine(machine).id;
        let mut put = |key: String, value: serde_json::Value| {
            let (key, value) = (format!("{PREFIX}{key}").into(), value.to_string().into_bytes());
            let (create_revision, mod_revision) = (Revision(1), Revision(1));
            self.seen.put(&KeyValue { key, value, create_revision, mod_revision, lease: None });
        };
        let decided = json!({ "hash": hash, "desiredState": "launched", "machine": id.as_str() });
        put(format!("unit/{name}"), decided);
        let systemd = json!({ "load": "loaded", "active": "active", "sub": "running" });
        let systemd = serde_json::from_value(systemd).unwrap();
        let state = PublishedState::new(systemd, hash, JobState::Launched);
        put(format!("state/{name},{id}"), serde_json::to_value(state).unwrap());
        self.running.push((name.to_string(), machine));
    }

    fn verify(&self) -> Vec<String> {
        let (units, alive) = (&self.units, &self.alive);
        verify(&Expected { workload: WORKLOAD, units, alive }, &self.seen, &self.running)
    }

    #[track_caller]
    fn is_broken(&self, how: &str) {
        let broken = self.verify();
        assert!(broken.iter().any(|it| it.contains(how)), "{how:?} in {broken:?}");
    }
}

/// An app and its side, a unit that wants a region (`eu`, that of machine 0), two that conflict.
fn sound() -> Played {
    Played::with(&[(0, 1), (19, 1), (12, 0), (16, 2), (17, 3)])
}

#[test]
fn what_is_as_it_was_asked_for_is_sound() {
    assert_eq!(sound().verify(), Vec::<String>::new());
}

#[test]
fn a_unit_runs_once() {
    let mut played = sound();
    played.running.retain(|(unit, _)| *unit != WORKLOAD.name(12).to_string());
    played.is_broken("near-0000012.service runs on []");
    let mut played = sound();
    played.running.push((WORKLOAD.name(12).to_string(), 3));
    played.is_broken("near-0000012.service runs on [0, 3]");
}

#[test]
fn requirements_are_judged() {
    Played::with(&[(12, 1)]).is_broken("Metadata");
    Played::with(&[(0, 1), (19, 2)]).is_broken("PeerAbsent");
    Played::with(&[(16, 2), (17, 2)]).is_broken("Conflict");
}

#[test]
fn what_is_decided_said_and_true_is_the_same() {
    let mut played = sound();
    played.running.retain(|(unit, _)| *unit != WORKLOAD.name(12).to_string());
    played.running.push((WORKLOAD.name(12).to_string(), 6));
    played.is_broken("runs on machine 6 and belongs on");
    let mut played = sound();
    played.alive.remove(&1);
    played.is_broken("app-0000000.service runs on machine 1, which is off");
    let mut played = sound();
    played.units.insert(0, 1);
    played.is_broken("app-0000000.service isn't said to be active as it should be");
}

#[test]
fn nothing_is_there_that_nobody_wants() {
    let mut played = sound();
    played.units.remove(&12);
    played.is_broken("near-0000012.service runs, and nobody wants it");
    played.is_broken("near-0000012.service is there, and nobody wants it");
}

#[test]
fn of_much_that_is_wrong_the_beginning_is_told() {
    let mut played = Played::with(&(0..100).map(|unit| (unit, 0)).collect::<Vec<_>>());
    played.running.clear();
    let broken = played.verify();
    assert_eq!((broken.len(), &*broken[MOST]), (MOST + 1, "and 80 more"));
}
