//! Where everything is: the one place that knows the keys (`architecture.md`, "What is in etcd").

use std::sync::Arc;

use fleet_core::{MachineId, UnitName};
use fleet_store::Key;

/// What stands between unit and machine in the key of a state. It sorts before all that a unit's
/// name may hold, so that states come in the order of names (`api.md` 3.1): with a slash those of
/// `a.service` would come after those of `a.service-x.service`.
pub(crate) const OF_MACHINE: &str = ",";

/// The keys under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Starts and ends in one slash.
    prefix: Arc<str>,
}

/// A text that can't be a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key prefix {0:?}")]
pub struct InvalidPrefix(pub String);

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Unit(UnitName),
    File(UnitName),
    Schedule(MachineId, UnitName),
    Global(UnitName),
    State(UnitName, MachineId),
    Machine(MachineId),
    Metadata(MachineId, String),
    Restart(MachineId, UnitName),
    Leaving(UnitName),
    Trouble(UnitName, MachineId),
    Obstacle(UnitName, MachineId),
    Leader,
    EngineVersion,
}

impl Keys {
    /// The keys under `prefix`, normalised to one leading and one trailing slash and none doubled
    /// (`fleetd.md` 2.3, `etcd_key_prefix`).
    ///
    /// # Errors
    /// A prefix with `.` or `..` elements, or control characters.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let mut normal = String::from("/");
        for element in prefix.split('/').filter(|element| !element.is_empty()) {
            if element == "." || element == ".." || element.contains(char::is_control) {
                return Err(InvalidPrefix(prefix.to_owned()));
            }
            normal.push_str(element);
            normal.push('/');
        }
        Ok(Self { prefix: normal.into() })
    }

    fn key(&self, rest: &[&str]) -> Key {
        let mut key = String::with_capacity(
            self.prefix.len() + rest.iter().map(|part| part.len()).sum::<usize>(),
        );
        key.push_str(&self.prefix);
        rest.iter().for_each(|part| key.push_str(part));
        key.into()
    }

    pub(crate) fn units(&self) -> Key {
        self.key(&["unit/"])
    }

    pub(crate) fn unit(&self, name: &str) -> Key {
        self.key(&["unit/", name])
    }

    pub(crate) fn file(&self, name: &str) -> Key {
        self.key(&["file/", name])
    }

    pub(crate) fn schedules(&self) -> Key {
        self.key(&["schedule/"])
    }

    pub(crate) fn schedules_of(&self, machine: &MachineId) -> Key {
        self.key(&["schedule/", machine.as_str(), "/"])
    }

    pub(crate) fn schedule(&self, machine: &MachineId, name: &UnitName) -> Key {
        self.key(&["schedule/", machine.as_str(), "/", name.as_str()])
    }

    pub(crate) fn globals(&self) -> Key {
        self.key(&["global/"])
    }

    pub(crate) fn global(&self, name: &UnitName) -> Key {
        self.key(&["global/", name.as_str()])
    }

    pub(crate) fn states(&self) -> Key {
        self.key(&["state/"])
    }

    pub(crate) fn states_of(&self, name: &str) -> Key {
        self.key(&["state/", name, OF_MACHINE])
    }

    pub(crate) fn state(&self, name: &str, machine: &str) -> Key {
        self.key(&["state/", name, OF_MACHINE, machine])
    }

    pub(crate) fn machines(&self) -> Key {
        self.key(&["machine/"])
    }

    pub(crate) fn machine(&self, id: &str) -> Key {
        self.key(&["machine/", id])
    }

    pub(crate) fn all_metadata(&self) -> Key {
        self.key(&["metadata/"])
    }

    pub(crate) fn metadata_of(&self, id: &MachineId) -> Key {
        self.key(&["metadata/", id.as_str(), "/"])
    }

    pub(crate) fn metadata(&self, id: &MachineId, key: &str) -> Key {
        self.key(&["metadata/", id.as_str(), "/", key])
    }

    pub(crate) fn restarts_of(&self, machine: &MachineId) -> Key {
        self.key(&["restart/", machine.as_str(), "/"])
    }

    pub(crate) fn restart(&self, machine: &MachineId, name: &UnitName) -> Key {
        self.key(&["restart/", machine.as_str(), "/", name.as_str()])
    }

    pub(crate) fn all_leaving(&self) -> Key {
        self.key(&["leaving/"])
    }

    pub(crate) fn leaving(&self, name: &str) -> Key {
        self.key(&["leaving/", name])
    }

    pub(crate) fn trouble(&self, name: &str, machine: &str) -> Key {
        self.key(&["trouble/", name, OF_MACHINE, machine])
    }

    pub(crate) fn obstacles(&self) -> Key {
        self.key(&["obstacle/"])
    }

    pub(crate) fn obstacle(&self, name: &str, machine: &str) -> Key {
        self.key(&["obstacle/", name, OF_MACHINE, machine])
    }

    pub(crate) fn leader(&self) -> Key {
        self.key(&["lease/engine-leader"])
    }

    pub(crate) fn engine_version(&self) -> Key {
        self.key(&["engine/version"])
    }

    /// What a key is about; `None` for one that isn't fleet's or holds an impossible name.
    pub(crate) fn parse(&self, key: &Key) -> Option<Entry> {
        let (kind, rest) = key.as_str().strip_prefix(&*self.prefix)?.split_once('/')?;
        let pair = || rest.split_once('/');
        Some(match kind {
            "unit" => Entry::Unit(rest.parse().ok()?),
            "file" => Entry::File(rest.parse().ok()?),
            "schedule" => {
                let (machine, name) = pair()?;
                Entry::Schedule(machine.parse().ok()?, name.parse().ok()?)
            }
            "global" => Entry::Global(rest.parse().ok()?),
            "state" => {
                let (name, machine) = rest.split_once(OF_MACHINE)?;
                Entry::State(name.parse().ok()?, machine.parse().ok()?)
            }
            "trouble" => {
                let (name, machine) = rest.split_once(OF_MACHINE)?;
                Entry::Trouble(name.parse().ok()?, machine.parse().ok()?)
            }
            "obstacle" => {
                let (name, machine) = rest.split_once(OF_MACHINE)?;
                Entry::Obstacle(name.parse().ok()?, machine.parse().ok()?)
            }
            "machine" => Entry::Machine(rest.parse().ok()?),
            "metadata" => {
                let (machine, key) = pair()?;
                Entry::Metadata(machine.parse().ok()?, key.to_owned())
            }
            "restart" => {
                let (machine, name) = pair()?;
                Entry::Restart(machine.parse().ok()?, name.parse().ok()?)
            }
            "leaving" => Entry::Leaving(rest.parse().ok()?),
            "lease" if rest == "engine-leader" => Entry::Leader,
            "engine" if rest == "version" => Entry::EngineVersion,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_normalised() {
        for (given, unit) in [
            ("/_coreos.com/fleet/", "/_coreos.com/fleet/unit/a.service"),
            ("foo", "/foo/unit/a.service"),
            ("//foo//bar", "/foo/bar/unit/a.service"),
            ("", "/unit/a.service"),
        ] {
            assert_eq!(Keys::new(given).unwrap().unit("a.service").as_str(), unit, "{given:?}");
        }
        for bad in ["/a/../b", "./a", "a\nb"] {
            assert_eq!(Keys::new(bad), Err(InvalidPrefix(bad.to_owned())));
        }
    }

    #[test]
    fn every_key_is_recognised_again() {
        let keys = Keys::new("/x").unwrap();
        let name: UnitName = "a@1.service".parse().unwrap();
        let id: MachineId = "m1".parse().unwrap();
        for (key, entry) in [
            (keys.unit(name.as_str()), Entry::Unit(name.clone())),
            (keys.file(name.as_str()), Entry::File(name.clone())),
            (keys.schedule(&id, &name), Entry::Schedule(id.clone(), name.clone())),
            (keys.global(&name), Entry::Global(name.clone())),
            (keys.state(name.as_str(), id.as_str()), Entry::State(name.clone(), id.clone())),
            (keys.machine(id.as_str()), Entry::Machine(id.clone())),
            (keys.metadata(&id, "region"), Entry::Metadata(id.clone(), "region".to_owned())),
            (keys.restart(&id, &name), Entry::Restart(id.clone(), name.clone())),
            (keys.leaving(name.as_str()), Entry::Leaving(name.clone())),
            (keys.trouble(name.as_str(), id.as_str()), Entry::Trouble(name.clone(), id.clone())),
            (keys.obstacle(name.as_str(), id.as_str()), Entry::Obstacle(name.clone(), id.clone())),
            (keys.leader(), Entry::Leader),
            (keys.engine_version(), Entry::EngineVersion),
        ] {
            assert_eq!(keys.parse(&key), Some(entry), "{key}");
        }
        for stranger in [
            "/y/unit/a.service",
            "/x/unit/",
            "/x/unit/a",
            "/x/state/a.service",
            "/x/state/a.service/m1",
            "/x/z/q",
        ] {
            assert_eq!(keys.parse(&stranger.into()), None, "{stranger}");
        }
    }

    #[test]
    fn states_sort_by_unit_and_then_by_machine() {
        let keys = Keys::new("/x").unwrap();
        for first in '!'..='~' {
            let longer = format!("a.service{first}.service");
            if longer.parse::<UnitName>().is_ok() {
                let (short, long) = (keys.state("a.service", "~"), keys.state(&longer, "0"));
                assert!(short < long, "{short} {long}");
            }
        }
    }
}
