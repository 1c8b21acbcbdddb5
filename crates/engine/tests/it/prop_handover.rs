//! Whatever users, machines and agents do: while a machine is present and has a unit, it starts
//! nowhere else; and once agents have let go of what they were asked to, all is where it should be.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{FleetOptions, JobState};
use fleet_engine::{Action, Plan, why_not};
use fleet_registry::{Event, Model, UnitRecord};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::fixture::{World, name, record};

const UNITS: [&str; 5] = ["a.service", "b.service", "c.service", "d.service", "e.service"];
const MACHINES: [&str; 3] = ["m1", "m2", "m3"];

#[derive(Clone, Debug)]
enum Act {
    /// Creates a unit, or replaces its content.
    Put(&'static str, Vec<(String, String)>, JobState),
    Want(&'static str, JobState),
    Destroy(&'static str),
    Metadata(&'static str, &'static str),
    Come(&'static str),
    Go(&'static str),
    Pass,
    /// The agent of the machine that has it finds that it has stopped.
    Stopped(&'static str),
}

fn any_options() -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = |option: &str, value: &str| (option.to_owned(), value.to_owned());
    let other = || select(&UNITS[..]);
    let tie = prop_oneof![
        4 => Just(vec![]),
        2 => other().prop_map(move |unit| vec![pair("Conflicts", unit)]),
        2 => other().prop_map(move |unit| vec![pair("Replaces", unit)]),
        1 => other().prop_map(move |unit| vec![pair("MachineOf", unit)]),
    ];
    let metadata = option::weighted(0.4, select(&["r=1", "r=2"][..]));
    (tie, metadata).prop_map(move |(mut options, metadata)| {
        options.extend(metadata.map(|value| pair("MachineMetadata", value)));
        options
    })
}

fn any_state() -> impl Strategy<Value = JobState> {
    prop_oneof![1 => Just(JobState::Inactive), 1 => Just(JobState::Loaded), 4 => Just(JobState::Launched)]
}

fn any_act() -> impl Strategy<Value = Act> {
    let (unit, machine) = (|| select(&UNITS[..]), || select(&MACHINES[..]));
    prop_oneof![
        4 => (unit(), any_options(), any_state()).prop_map(|(u, o, s)| Act::Put(u, o, s)),
        3 => (unit(), any_state()).prop_map(|(u, s)| Act::Want(u, s)),
        2 => unit().prop_map(Act::Destroy),
        2 => (machine(), select(&["1", "2"][..])).prop_map(|(m, v)| Act::Metadata(m, v)),
        1 => machine().prop_map(Act::Come),
        1 => machine().prop_map(Act::Go),
        6 => Just(Act::Pass),
        4 => unit().prop_map(Act::Stopped),
    ]
}

/// The world, and what really is where.
#[derive(Default)]
struct Game {
    world: World,
    /// The machines that have a unit, as the engine can know: those it was put on and that haven't
    /// let it go nor died.
    has: BTreeMap<&'static str, BTreeSet<String>>,
    /// The machines that have an order to let go what was destroyed, whether they have it or not.
    told: BTreeMap<&'static str, String>,
}

impl Game {
    fn new() -> Self {
        let mut game = Self::default();
        for machine in MACHINES {
            game.world.host(machine, &[("r", "1")]);
        }
        game
    }

    fn record(&self, unit: &str) -> Option<UnitRecord> {
        self.world.cluster.unit(&name(unit)).map(|unit| unit.record.value.clone())
    }

    fn perform(&mut self, act: &Act) {
        match act {
            Act::Put(unit, options, desired_state) => {
                let machine = self.record(unit).and_then(|old| old.machine);
                let return_to = machine.clone().filter(|_| *desired_state == JobState::Inactive);
                let x_fleet = FleetOptions(options.clone());
                let desired_state = *desired_state;
                let new = UnitRecord { desired_state, machine, return_to, x_fleet, ..record(&[]) };
                self.world.set(unit, new);
            }
            Act::Want(unit, desired_state) => {
                if let Some(old) = self.record(unit) {
                    let desired_state = *desired_state;
                    self.world.set(unit, UnitRecord { desired_state, ..old });
                }
            }
            Act::Destroy(unit) => {
                let machine = self.record(unit).and_then(|old| old.machine);
                self.world.remove(unit);
                if let Some(machine) = machine {
                    self.world.leaving(unit, Some(machine.as_str()));
                    self.told.insert(unit, machine.to_string());
                }
            }
            Act::Metadata(machine, value) => {
                self.world.metadata(machine, "r", Some(value));
            }
            Act::Come(machine) => {
                self.world.host(machine, &[]);
            }
            Act::Go(machine) => {
                self.world.machine_gone(machine);
                self.has.values_mut().for_each(|machines| machines.retain(|has| has != machine));
            }
            Act::Pass => {
                self.pass();
            }
            Act::Stopped(unit) => {
                self.stopped(unit);
            }
        }
    }

    fn pass(&mut self) -> Plan {
        let plan = self.world.plan();
        for task in plan.tasks.iter().filter(|task| task.action == Action::Schedule) {
            let unit = UNITS.into_iter().find(|unit| *unit == task.unit.as_str()).unwrap();
            let has = self.has.entry(unit).or_default();
            has.insert(task.machine.to_string());
            assert_eq!(has.len(), 1, "{unit} would be on {has:?}");
        }
        self.world.carry_out(&plan);
        plan
    }

    /// The machine that was asked to let a unit go does; whether there was one.
    fn stopped(&mut self, unit: &'static str) -> bool {
        let present = |machine: &str| {
            self.world.cluster.loads().any(|(there, _)| there.id.as_str() == machine)
        };
        let from = match self.record(unit) {
            Some(UnitRecord { machine: Some(machine), .. })
                if !self.record(unit).is_some_and(|record| record.leaves())
                    || !present(machine.as_str()) =>
            {
                return false;
            }
            Some(UnitRecord { machine: Some(machine), .. }) => machine.to_string(),
            _ => match self.has.get(unit).and_then(|has| has.first()) {
                Some(machine) if present(machine) => machine.clone(),
                _ => match self.told.get(unit) {
                    Some(machine) if present(machine) => machine.clone(),
                    _ => return false,
                },
            },
        };
        self.world.release(unit);
        self.told.remove(unit);
        self.has.entry(unit).or_default().remove(&from);
        true
    }
}

proptest! {
    #[test]
    fn nothing_starts_where_another_machine_still_has_it_and_all_comes_to_rest(
        acts in vec(any_act(), 1..60),
    ) {
        let mut game = Game::new();
        for act in &acts {
            game.perform(act);
        }
        let mut rounds = 0;
        loop {
            let plan = game.pass();
            let gone = UNITS.into_iter().filter(|unit| game.stopped(unit)).count();
            if plan.tasks.is_empty() && plan.moot.is_empty() && gone == 0 {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 8 * UNITS.len(), "never at rest: {:?}", plan.tasks);
        }
        let machines = game.world.cluster.loads().count();
        for unit in UNITS {
            let Some(record) = game.record(unit) else { continue };
            let is_wanted = record.desired_state != JobState::Inactive;
            prop_assert!(!record.leaving, "{} leaves for ever", unit);
            match (is_wanted, &record.machine) {
                (true, None) => {
                    let refusals = why_not(&game.world.cluster, &name(unit));
                    let refusals = refusals.map(|why| why.values().flatten().count());
                    prop_assert_eq!(refusals, Some(machines), "{} waits for nothing", unit);
                }
                (false, Some(machine)) => prop_assert!(false, "{} is kept on {}", unit, machine),
                _ => {}
            }
        }
    }

    /// What is taken in at once and what a snapshot brings is the same.
    #[test]
    fn equal_clusters_give_equal_plans_while_units_leave(acts in vec(any_act(), 1..40)) {
        let mut game = Game::new();
        acts.iter().for_each(|act| game.perform(act));
        let mut anew = game.world.clone();
        for unit in UNITS {
            if let Some(known) = game.world.cluster.unit(&name(unit)) {
                let mut record = known.record.clone();
                anew.cluster.apply(Event::Unit(name(unit), None));
                record.revision = anew.versioned(()).revision;
                anew.cluster.apply(Event::Unit(name(unit), Some(Ok(record))));
            }
        }
        prop_assert_eq!(anew.plan().tasks, game.world.plan().tasks);
        prop_assert_eq!(anew.loads(), game.world.loads());
    }
}
