//! What etcd has said so far: for each unit what held when, as the simulation's truth has it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// Where fleet keeps its things in etcd.
pub(crate) const FOLDER: &str = "/_coreos.com/fleet/";

/// A change in etcd.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    /// When that became known here.
    pub(crate) at: Duration,
    pub(crate) key: String,
    /// `None` is that it was deleted.
    pub(crate) value: Option<String>,
}

/// What was decided about a unit, from a revision on until the next.
#[derive(Clone, Debug)]
struct Version {
    since: u64,
    at: Duration,
    record: Option<Record>,
}

/// What is decided about a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) hash: String,
    pub(crate) desired: String,
    pub(crate) machine: Option<String>,
    pub(crate) leaving: bool,
    pub(crate) global: bool,
}

impl Record {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let is = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or_default();
        Some(Self {
            hash: word("hash")?,
            desired: word("desiredState").unwrap_or_else(|| "inactive".to_owned()),
            machine: word("machine"),
            leaving: is("leaving"),
            global: is("global"),
        })
    }

    fn has_run_on(&self, machine: &str) -> bool {
        let is_here = self.global || self.machine.as_deref() == Some(machine);
        self.desired == "launched" && !self.leaving && is_here
    }
}

/// A restart that was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    done: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The newest revision that is known.
    pub(crate) seen: u64,
    units: BTreeMap<String, Vec<Version>>,
    /// Since when a machine is present.
    present: BTreeMap<String, (u64, Duration)>,
    /// When what is said of a machine changed last.
    judged_anew: BTreeMap<String, u64>,
    restarts: BTreeMap<(String, String), Asked>,
    /// The machine whose engine leads.
    pub(crate) leader: Option<String>,
}

impl History {
    /// Knows nothing of what was before a revision.
    pub(crate) fn from(seen: u64) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Takes in a change, and tells what the time line should have of it.
    pub(crate) fn apply(&mut self, change: Change) -> Option<String> {
        let Change { revision, at, key, value } = change;
        self.seen = self.seen.max(revision);
        let path = key.strip_prefix(FOLDER)?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["unit", name] => {
                let record = value.as_deref().and_then(Record::read);
                let told = match &record {
                    None => format!("r{revision} {name}: none"),
                    Some(it) => format!(
                        "r{revision} {name}: {} {}{}",
                        it.desired,
                        it.machine.as_deref().map_or("nowhere", |id| id.get(..8).unwrap_or(id)),
                        if it.leaving { ", to leave" } else { "" }
                    ),
                };
                let versions = self.units.entry(name.to_owned()).or_default();
                versions.push(Version { since: revision, at, record });
                Some(told)
            }
            ["machine", id] => {
                self.judged_anew.insert(id.to_owned(), revision);
                let was_there = self.present.contains_key(id);
                let short = id.get(..8).unwrap_or(id);
                match (value, was_there) {
                    (None, _) => {
                        self.present.remove(id);
                        Some(format!("r{revision} machine {short} is gone"))
                    }
                    (Some(_), false) => {
                        self.present.insert(id.to_owned(), (revision, at));
                        Some(format!("r{revision} machine {short} is there"))
                    }
                    (Some(_), true) => None,
                }
            }
            ["metadata", id, _] => {
                self.judged_anew.insert(id.to_owned(), revision);
                None
            }
            ["restart", id, name] => {
                let asked = self.restarts.entry((id.to_owned(), name.to_owned())).or_default();
                asked.done = value.is_none().then_some(revision);
                None
            }
            ["lease", "engine-leader"] => {
                let record: Option<Value> =
                    value.as_deref().and_then(|it| serde_json::from_str(it).ok());
                let id = record.as_ref().and_then(|it| it.get("MachineID")?.as_str());
                self.leader = id.map(str::to_owned);
                let short = id.map_or("nobody", |id| id.get(..8).unwrap_or(id));
                Some(format!("r{revision} {short} leads"))
            }
            _ => None,
        }
    }

    /// Whether a machine is present since before a unit was taken from it, so that it had a say in
    /// that.
    pub(crate) fn was_asked(&self, machine: &str, unit: &str) -> bool {
        let Some((present, _)) = self.present.get(machine) else { return false };
        let has_it = |version: &Version| {
            version.record.as_ref().and_then(|record| record.machine.as_deref()) == Some(machine)
        };
        let versions = self.units.get(unit).map(Vec::as_slice).unwrap_or_default();
        let last = versions.iter().rposition(has_it);
        let taken = last.and_then(|last| versions.get(last + 1));
        taken.is_some_and(|taken| *present <= taken.since)
    }

    /// Since when a machine that is present can know what is decided about a unit.
    pub(crate) fn known_since(&self, machine: &str, unit: &str) -> Option<Duration> {
        let (_, present) = self.present.get(machine)?;
        let decided = self.units.get(unit)?.last()?.at;
        Some(decided.max(*present))
    }

    /// What is decided about a unit now.
    pub(crate) fn unit(&self, name: &str) -> Option<&Record> {
        self.units.get(name)?.last()?.record.as_ref()
    }

    /// Why a machine may have stopped (or restarted) a unit whose run there began after `since`;
    /// `None` when nothing was said that would have it stopped.
    pub(crate) fn reason_to_stop(
        &self,
        machine: &str,
        unit: &str,
        since: u64,
    ) -> Option<&'static str> {
        let Some(versions) = self.units.get(unit) else { return Some("there is no such unit") };
        let in_force = versions.partition_point(|it| it.since <= since).saturating_sub(1);
        let runs =
            |it: &Version| it.record.as_ref().is_some_and(|record| record.has_run_on(machine));
        // It began when that was wanted, and not before.
        let later = versions.get(in_force..).unwrap_or_default();
        let Some(first) = later.iter().position(runs) else { return Some("it wasn't wanted") };
        let later = later.get(first..).unwrap_or_default();
        let since = later.first().map_or(since, |it| it.since.max(since));
        let hash = later.first().and_then(|it| it.record.as_ref()).map(|it| it.hash.clone());
        let asked = self.restarts.get(&(machine.to_owned(), unit.to_owned()));
        if asked.is_some_and(|asked| asked.done.is_none_or(|done| done >= since)) {
            return Some("a restart was asked for");
        }
        let judged = self.judged_anew.get(machine).is_some_and(|at| *at >= since);
        later.iter().find_map(|version| {
            let Some(record) = &version.record else { return Some("it was destroyed") };
            match () {
                () if record.desired != "launched" => Some("it isn't wanted launched"),
                () if Some(&record.hash) != hash.as_ref() => Some("its content was replaced"),
                () if record.leaving => Some("it is to leave"),
                () if record.global && judged => Some("the machine was judged anew"),
                () if !record.global && record.machine.as_deref() != Some(machine) => {
                    Some("another machine has it, or none")
                }
                () => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(history: &mut History, revision: u64, desired: &str, machine: Option<&str>) {
        let machine = machine.map(|id| format!(r#","machine":"{id}""#)).unwrap_or_default();
        let value = format!(r#"{{"hash":"1","desiredState":"{desired}"{machine}}}"#);
        let key = format!("{FOLDER}unit/a.service");
        history.apply(Change { revision, at: Duration::ZERO, key, value: Some(value) });
    }

    #[test]
    fn a_stop_has_its_reason_in_what_was_decided_since_the_start() {
        let mut history = History::default();
        unit(&mut history, 1, "inactive", None);
        unit(&mut history, 2, "launched", None);
        unit(&mut history, 3, "launched", Some("m1"));
        assert_eq!(history.reason_to_stop("m1", "a.service", 0), None);
        assert!(history.reason_to_stop("m2", "a.service", 0).is_some());
        unit(&mut history, 4, "loaded", Some("m1"));
        unit(&mut history, 5, "launched", Some("m1"));
        assert_eq!(history.reason_to_stop("m1", "a.service", 3), Some("it isn't wanted launched"));
        assert_eq!(history.reason_to_stop("m1", "a.service", 5), None);
        unit(&mut history, 6, "launched", Some("m2"));
        assert!(history.reason_to_stop("m1", "a.service", 5).is_some());
        assert_eq!(history.reason_to_stop("m2", "a.service", 5), None);
    }

    #[test]
    fn who_was_present_when_a_unit_was_taken_was_asked() {
        let present = |history: &mut History, revision: u64, value: Option<&str>| {
            let (key, value) = (format!("{FOLDER}machine/m1"), value.map(str::to_owned));
            history.apply(Change { revision, at: Duration::from_secs(revision), key, value });
        };
        let mut history = History::default();
        present(&mut history, 1, Some("{}"));
        unit(&mut history, 2, "launched", Some("m1"));
        assert!(!history.was_asked("m1", "a.service"), "it has it");
        unit(&mut history, 3, "launched", Some("m2"));
        assert!(history.was_asked("m1", "a.service"));
        present(&mut history, 4, Some("{\"standing\":\"silent\"}"));
        assert!(history.was_asked("m1", "a.service"), "it was there all the while");
        present(&mut history, 5, None);
        present(&mut history, 6, Some("{}"));
        assert!(!history.was_asked("m1", "a.service"));
        let known = history.known_since("m1", "a.service");
        assert_eq!(known, Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_restart_is_a_reason_until_it_is_done() {
        let mut history = History::default();
        unit(&mut history, 3, "launched", Some("m1"));
        let key = format!("{FOLDER}restart/m1/a.service");
        history.apply(Change {
            revision: 4,
            at: Duration::ZERO,
            key: key.clone(),
            value: Some("{}".to_owned()),
        });
        assert!(history.reason_to_stop("m1", "a.service", 3).is_some());
        history.apply(Change { revision: 5, at: Duration::ZERO, key, value: None });
        assert!(history.reason_to_stop("m1", "a.service", 4).is_some());
        assert_eq!(history.reason_to_stop("m1", "a.service", 6), None);
    }
}
