//! Clusters made up for tests.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{FleetOptions, JobState, MachineId, MachineStanding, UnitHash, UnitName};
use fleet_engine::{Absent, Action, Cluster, Plan, plan};
use fleet_registry::{
    Capabilities, Event, HostObstacle, Leaving, MachineRecord, Model, Unclear, UnitRecord,
    Versioned,
};
use fleet_store::Revision;

pub(crate) fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> MachineId {
    text.parse().unwrap()
}

pub(crate) fn machine_record(metadata: &[(&str, &str)]) -> MachineRecord {
    MachineRecord {
        public_ip: String::new(),
        metadata: metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        capabilities: Capabilities::default(),
        version: "2.0.0".to_owned(),
        nonce: "nonce".to_owned(),
        ..MachineRecord::default()
    }
}

/// A wanted unit without a machine; change the fields to taste.
pub(crate) fn record(options: &[(&str, &str)]) -> UnitRecord {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
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

/// A cluster with a clock of revisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// What machines have said that they can't have.
    pub(crate) barred: BTreeSet<(UnitName, MachineId)>,
    revision: i64,
}

impl World {
    pub(crate) fn versioned<T>(&mut self, value: T) -> Versioned<T> {
        self.revision += 1;
        let revision = Revision(self.revision);
        Versioned { value, revision, created: revision }
    }

    pub(crate) fn machine(&mut self, machine: &str, metadata: &[(&str, &str)]) -> &mut Self {
        let record = self.versioned(machine_record(metadata));
        self.cluster.apply(Event::Machine(id(machine), Some(Ok(record))));
        self
    }

    /// The machine says how it stands now.
    pub(crate) fn standing(
        &mut self,
        machine: &str,
        metadata: &[(&str, &str)],
        standing: MachineStanding,
    ) -> &mut Self {
        let record = MachineRecord { standing, ..machine_record(metadata) };
        let record = self.versioned(record);
        self.cluster.apply(Event::Machine(id(machine), Some(Ok(record))));
        self
    }

    /// A machine whose agent says when units are gone from it.
    pub(crate) fn host(&mut self, machine: &str, metadata: &[(&str, &str)]) -> &mut Self {
        let capabilities = Capabilities { handover: true, ..Capabilities::default() };
        let record = self.versioned(MachineRecord { capabilities, ..machine_record(metadata) });
        self.cluster.apply(Event::Machine(id(machine), Some(Ok(record))));
        self
    }

    /// What was destroyed under this name is leaving this machine.
    pub(crate) fn leaving(&mut self, unit: &str, machine: Option<&str>) -> &mut Self {
        let entry = self.versioned(Leaving { machine: machine.map(id) });
        self.cluster.apply(Event::Leaving(name(unit), Some(entry)));
        self
    }

    /// The machine of a unit lets it go.
    pub(crate) fn release(&mut self, unit: &str) -> &mut Self {
        match self.cluster.unit(&name(unit)).map(|unit| unit.record.value.clone()) {
            Some(record) if record.machine.is_some() => {
                assert!(record.leaves(), "nobody asked {unit} to leave");
                self.set(unit, UnitRecord { machine: None, leaving: false, ..record })
            }
            _ => {
                self.cluster.apply(Event::Leaving(name(unit), None));
                self
            }
        }
    }

    pub(crate) fn machine_gone(&mut self, machine: &str) -> &mut Self {
        self.cluster.apply(Event::Machine(id(machine), None));
        self
    }

    pub(crate) fn metadata(&mut self, machine: &str, key: &str, value: Option<&str>) -> &mut Self {
        let value = value.map(str::to_owned);
        self.cluster.apply(Event::Metadata(id(machine), key.to_owned(), value));
        self
    }

    pub(crate) fn set(&mut self, unit: &str, record: UnitRecord) -> &mut Self {
        let record = self.versioned(record);
        self.cluster.apply(Event::Unit(name(unit), Some(Ok(record))));
        self
    }

    pub(crate) fn unit(&mut self, unit: &str, options: &[(&str, &str)]) -> &mut Self {
        self.set(unit, record(options))
    }

    pub(crate) fn unit_on(
        &mut self,
        machine: &str,
        unit: &str,
        options: &[(&str, &str)],
    ) -> &mut Self {
        self.set(unit, UnitRecord { machine: Some(id(machine)), ..record(options) })
    }

    pub(crate) fn global(&mut self, unit: &str, options: &[(&str, &str)]) -> &mut Self {
        self.set(unit, UnitRecord { global: true, ..record(options) })
    }

    /// Makes a unit's record one that nobody understands.
    pub(crate) fn corrupt(&mut self, unit: &str) -> &mut Self {
        let unclear = Unclear("it is cut off".to_owned());
        self.cluster.apply(Event::Unit(name(unit), Some(Err(unclear))));
        self
    }

    /// Lets a machine say that it can't have a unit, or that it can.
    pub(crate) fn obstacle(&mut self, unit: &str, machine: &str, why: Option<&str>) -> &mut Self {
        let found = why.map(|why| HostObstacle { reason: why.to_owned() });
        let pair = (name(unit), id(machine));
        if found.is_some() {
            self.barred.insert(pair)
        } else {
            self.barred.remove(&pair)
        };
        self.cluster.apply(Event::Obstacle(name(unit), id(machine), found));
        self
    }

    pub(crate) fn remove(&mut self, unit: &str) -> &mut Self {
        self.cluster.apply(Event::Unit(name(unit), None));
        self
    }

    /// What a pass decides when absent machines are dead and no unit rests.
    pub(crate) fn plan(&self) -> Plan {
        plan(&self.cluster, Absent::Dead, &BTreeSet::new())
    }

    /// Carries out what a pass decides.
    pub(crate) fn pass(&mut self) {
        let plan = self.plan();
        self.carry_out(&plan);
    }

    /// Carries out a plan as the registry would: a unit is only given a machine if it has none.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        for moot in &plan.moot {
            self.cluster.apply(Event::Leaving(moot.unit.clone(), None));
        }
        for task in &plan.tasks {
            let unit = self.cluster.unit(&task.unit).expect("tasks are about units that exist");
            let mut record = unit.record.value.clone();
            match task.action {
                Action::Leave => {
                    assert_eq!(record.machine.as_ref(), Some(&task.machine), "{task}");
                    assert!(!record.leaving, "asked twice: {task}");
                    record.leaving = true;
                }
                Action::Unschedule => {
                    assert_eq!(record.machine.as_ref(), Some(&task.machine), "{task}");
                    (record.machine, record.leaving) = (None, false);
                }
                Action::Schedule => {
                    assert_eq!(record.machine, None, "placed twice: {task}");
                    (record.machine, record.leaving) = (Some(task.machine.clone()), false);
                    record.return_to = None;
                    self.cluster.apply(Event::Leaving(task.unit.clone(), None));
                }
            }
            let record = self.versioned(record);
            self.cluster.take_in(task.unit.clone(), record);
        }
    }

    /// The number of units on each machine.
    pub(crate) fn loads(&self) -> BTreeMap<String, usize> {
        self.cluster.loads().map(|(machine, load)| (machine.id.to_string(), load)).collect()
    }
}
