//! What machines and units there are: a function of the seed. Of each twenty units in a row twelve
//! ask for nothing, four for metadata, three conflict with others and one goes where another is.

use std::collections::BTreeMap;

use fleet_core::{Machine, MachineId, UnitFile, UnitName};
use fleet_schema::{Unit, UnitOption};

/// Units in a row of which there is one of each kind, at least.
const ROW: usize = 20;
/// The units of a row that ask for nothing.
const PLAIN: usize = 12;
/// Those and the ones that ask for metadata.
const METADATA: usize = 16;
/// Those and the ones that conflict. The last one goes where the first of the row is.
const CONFLICTS: usize = 19;

/// The most units that conflict with each other.
const GROUP: usize = 10;

/// Times that systemd takes to start a unit, in milliseconds.
const STARTS: std::ops::RangeInclusive<u64> = 5..=20;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const DISKS: [&str; 2] = ["ssd", "hdd"];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    /// Where all is drawn from.
    pub(super) seed: u64,
    /// How many machines there are.
    pub(super) machines: usize,
}

impl Workload {
    /// The machine of this number.
    pub(super) fn machine(&self, number: usize) -> Machine {
        let id = format!("{:08x}{number:024x}", self.seed as u32);
        let id: MachineId = id.parse().unwrap_or_else(|_| unreachable!("digits make an id"));
        let place = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let region = REGIONS[number % REGIONS.len()];
        let disk = DISKS[number / REGIONS.len() % DISKS.len()];
        Machine { id, metadata: BTreeMap::from([place("region", region), place("disk", disk)]) }
    }

    /// The name of the unit of this number.
    pub(super) fn name(&self, unit: usize) -> UnitName {
        let name = match unit % ROW {
            0..PLAIN => format!("app-{unit:07}.service"),
            PLAIN..METADATA => format!("near-{unit:07}.service"),
            METADATA..CONFLICTS => format!("shard{}-{unit:07}.service", self.group(unit)),
            _ => format!("side-{unit:07}.service"),
        };
        name.parse().unwrap_or_else(|_| unreachable!("it is a unit name"))
    }

    /// Whether nothing hangs on the unit, and it asks for nothing: it may go at any time.
    pub(super) fn is_plain(&self, unit: usize) -> bool {
        (1..PLAIN).contains(&(unit % ROW))
    }

    /// The content of the unit of this number, of which there are versions.
    pub(super) fn file(&self, unit: usize, version: usize) -> UnitFile {
        let mut drawn = fastrand::Rng::with_seed(self.seed ^ ((unit as u64) << 20));
        let takes = drawn.u64(STARTS);
        let wants = match unit % ROW {
            0..PLAIN => String::new(),
            kind @ PLAIN..METADATA => {
                let region = format!("MachineMetadata=region={}\n", REGIONS[unit / ROW % 3]);
                let disk = format!("MachineMetadata=disk={}\n", DISKS[unit / ROW % 2]);
                if kind % 2 == 0 { region } else { region + &disk }
            }
            METADATA..CONFLICTS => format!("Conflicts=shard{}-*.service\n", self.group(unit)),
            _ => format!("MachineOf={}\n", self.name(unit - unit % ROW)),
        };
        let wants = if wants.is_empty() { wants } else { format!("\n[X-Fleet]\n{wants}") };
        let text = format!(
            "[Unit]\nDescription=Unit {unit}, version {version}\nAfter=network.target\n\n\
             [Service]\nEnvironment=NUMBER={unit} VERSION={version}\n\
             ExecStartPre=/bin/sleep 0.{takes:03}\nExecStart=/bin/sleep infinity\n\
             Restart=on-failure\nTimeoutStopSec=10\n{wants}"
        );
        UnitFile::parse(text.as_bytes()).unwrap_or_else(|_| unreachable!("it is a unit file"))
    }

    /// What is sent to submit it.
    pub(super) fn request(&self, unit: usize, version: usize) -> Unit {
        let options = self.file(unit, version).into_options();
        Unit {
            name: self.name(unit).to_string(),
            options: options.into_iter().map(UnitOption::from).collect(),
            desired_state: "launched".to_owned(),
            ..Unit::default()
        }
    }

    /// Which units it conflicts with: few enough for all to have a machine, also when some are lost.
    fn group(&self, unit: usize) -> usize {
        let of_kind = unit / ROW * (CONFLICTS - METADATA) + unit % ROW - METADATA;
        of_kind / (self.machines / 4).clamp(1, GROUP)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SMALL: Workload = Workload { seed: 1, machines: 20 };

    #[test]
    fn names_and_machines_differ() {
        let names: BTreeSet<UnitName> = (0..200).map(|unit| SMALL.name(unit)).collect();
        let machines: BTreeSet<MachineId> = (0..20).map(|it| SMALL.machine(it).id).collect();
        assert_eq!((names.len(), machines.len()), (200, 20));
    }

    #[test]
    fn a_share_of_the_units_asks_for_something() {
        let wants = |unit| {
            let options = SMALL.file(unit, 0).fleet_options();
            options.requirements(&SMALL.name(unit))
        };
        let count = |has: fn(&fleet_core::Requirements) -> bool| {
            (0..100).filter(|unit| has(&wants(*unit))).count()
        };
        assert_eq!(count(|wants| !wants.metadata.is_empty()), 20);
        assert_eq!(count(|wants| !wants.conflicts.is_empty()), 15);
        assert_eq!(count(|wants| !wants.peers.is_empty()), 5);
        assert!(wants(39).peers.iter().eq([SMALL.name(20).as_str()]));
    }

    #[test]
    fn groups_of_conflicts_fit_on_the_machines() {
        let all = |unit: &usize| (METADATA..CONFLICTS).contains(&(unit % ROW));
        let mut sizes = BTreeMap::<usize, usize>::new();
        for unit in (0..1_000).filter(all) {
            *sizes.entry(SMALL.group(unit)).or_default() += 1;
        }
        assert_eq!(sizes.values().max(), Some(&5));
    }

    #[test]
    fn a_version_is_another_content() {
        assert_eq!(SMALL.file(3, 0), SMALL.file(3, 0));
        assert_ne!(SMALL.file(3, 0).hash(), SMALL.file(3, 1).hash());
    }
}
