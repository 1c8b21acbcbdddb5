//! A large cluster with units of every kind, and changes of it: what the benchmarks measure.

use std::collections::BTreeSet;

use fleet_core::{FleetOptions, JobState, MachineId, UnitHash, UnitName};
use fleet_engine::{Absent, Action, Cluster, Marks, Pace, Plan, Sweep, plan, plan_within};
use fleet_registry::{Event, MachineRecord, Model as _, UnitRecord, Versioned};
use fleet_store::Revision;

/// What the units of a cluster ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Plain,
    /// One region of five, some a disk as well.
    Metadata,
    /// Not to be with the others of their ten.
    Conflicts,
    /// Nothing, but for five in a hundred that must be with another.
    Peers,
    /// All of these, some replace others, and ten are global.
    Mixed,
    /// The same, and one in a hundred names a peer that isn't there.
    Absent,
}

/// For plans that may take as long as they do.
pub(crate) struct NoLimit;

impl Pace for NoLimit {
    fn has_time(&mut self, _: Sweep, _: &UnitName) -> bool {
        true
    }
}

/// The name of the unit with this number.
pub(crate) fn name(unit: usize) -> UnitName {
    format!("web{}@{unit:06}.service", unit / 10).parse().expect("it is a unit name")
}

/// The id of the machine with this number.
pub(crate) fn id(machine: usize) -> MachineId {
    format!("{:032x}", machine.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .parse()
        .expect("digits are an id")
}

fn options(kind: Kind, unit: usize) -> Vec<(&'static str, String)> {
    let region = || ("MachineMetadata", format!("region={}", unit % 5));
    let disk = || ("MachineMetadata", "disk=ssd".to_owned());
    let alone = || ("Conflicts", format!("web{}@*.service", unit / 10));
    match (kind, unit % 20) {
        (Kind::Plain, _) => vec![],
        (Kind::Metadata, part) if part % 4 == 0 => vec![region(), disk()],
        (Kind::Metadata, _) => vec![region()],
        (Kind::Conflicts, _) => vec![alone()],
        (Kind::Absent, _) if unit % 100 == 3 => vec![("MachineOf", "nobody.service".to_owned())],
        (Kind::Peers | Kind::Mixed | Kind::Absent, 7) => {
            vec![("MachineOf", name(unit - 1).to_string())]
        }
        (Kind::Peers, _) => vec![],
        (Kind::Mixed | Kind::Absent, 0 | 4 | 8 | 12) => vec![region()],
        (Kind::Mixed | Kind::Absent, 16) => vec![region(), disk()],
        (Kind::Mixed | Kind::Absent, 1 | 5 | 9 | 13) => vec![alone()],
        (Kind::Mixed | Kind::Absent, 17) if unit % 200 == 17 => {
            vec![("Replaces", name(unit - 2).to_string())]
        }
        (Kind::Mixed | Kind::Absent, 18) if unit % 200 == 18 => {
            vec![("MachineID", id(unit / 200).to_string())]
        }
        (Kind::Mixed | Kind::Absent, _) => vec![],
    }
}

fn versioned<T>(revision: i64, value: T) -> Versioned<T> {
    Versioned { value, revision: Revision(revision), created: Revision(1) }
}

fn record(kind: Kind, unit: usize) -> UnitRecord {
    let options = options(kind, unit).into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    UnitRecord {
        hash: UnitHash::of(b""),
        size: 0,
        desired_state: JobState::Launched,
        machine: None,
        leaving: false,
        return_to: None,
        global: false,
        template: false,
        x_fleet: FleetOptions(options),
    }
}

/// A cluster whose decisions are carried out, and a clock of revisions.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    kind: Kind,
    revision: i64,
}

impl World {
    /// A cluster in which no unit has a machine.
    pub(crate) fn new(kind: Kind, units: usize, machines: usize) -> Self {
        let mut world = Self { cluster: Cluster::default(), kind, revision: 1 };
        (0..machines).for_each(|machine| world.come(machine));
        if matches!(kind, Kind::Mixed | Kind::Absent) {
            for global in 0..10 {
                let unit = format!("global{global}.service").parse().expect("it is a unit name");
                let record = versioned(1, UnitRecord { global: true, ..record(Kind::Plain, 0) });
                world.cluster.apply(Event::Unit(unit, Some(Ok(record))));
            }
        }
        for unit in 0..units {
            world
                .cluster
                .apply(Event::Unit(name(unit), Some(Ok(versioned(1, record(kind, unit))))));
        }
        world
    }

    /// The same after all units were placed, and all that follows from that was done.
    pub(crate) fn settled(kind: Kind, units: usize, machines: usize) -> Self {
        let mut world = Self::new(kind, units, machines);
        world.settle();
        world
    }

    /// Passes until nothing follows from what was done.
    pub(crate) fn settle(&mut self) {
        while self.pass() > 0 {}
    }

    fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    /// A machine comes.
    pub(crate) fn come(&mut self, machine: usize) {
        let metadata = [("region", (machine % 5).to_string()), ("host", machine.to_string())];
        let disk = ("disk", if machine.is_multiple_of(2) { "ssd" } else { "hdd" }.to_owned());
        let metadata = metadata.into_iter().chain([disk]).map(|(k, v)| (k.to_owned(), v)).collect();
        let record = versioned(self.next(), MachineRecord { metadata, ..MachineRecord::default() });
        self.cluster.apply(Event::Machine(id(machine), Some(Ok(record))));
    }

    /// A machine goes.
    pub(crate) fn go(&mut self, machine: usize) {
        self.cluster.apply(Event::Machine(id(machine), None));
    }

    /// A machine's metadata is changed through the API.
    pub(crate) fn metadata(&mut self, machine: usize, key: &str, value: Option<&str>) {
        self.cluster.apply(Event::Metadata(id(machine), key.to_owned(), value.map(str::to_owned)));
    }

    /// A unit comes.
    pub(crate) fn add(&mut self, unit: usize) {
        let record = versioned(self.next(), record(self.kind, unit));
        self.cluster.apply(Event::Unit(name(unit), Some(Ok(record))));
    }

    /// A unit goes.
    pub(crate) fn remove(&mut self, unit: usize) {
        self.cluster.apply(Event::Unit(name(unit), None));
    }

    /// What a plan from scratch decides.
    pub(crate) fn plan(&self) -> Plan {
        plan(&self.cluster, Absent::Dead, &BTreeSet::new())
    }

    /// A pass over what has changed, with all that follows from it; the number of its tasks.
    pub(crate) fn pass(&mut self) -> usize {
        let nothing = BTreeSet::new();
        let marks = self.cluster.take_marks(&Absent::Dead, &nothing);
        let plan = plan_within(&self.cluster, Absent::Dead, &nothing, marks, &mut NoLimit);
        self.cluster.mark_again(Marks::of(plan.again));
        for task in &plan.tasks {
            let Some(unit) = self.cluster.unit(&task.unit) else { continue };
            let machine = (task.action == Action::Schedule).then(|| task.machine.clone());
            let record = UnitRecord { machine, ..unit.record.value.clone() };
            let record = versioned(self.next(), record);
            self.cluster.take_in(task.unit.clone(), record);
        }
        plan.tasks.len()
    }
}
