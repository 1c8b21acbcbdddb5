//! What no pass may ever do (`cluster.md` 3), on clusters of every kind.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{
    FleetOptions, JobState, Machine, Requirements, UnitName,
    eligibility::{Candidate, Refusal, Verdict, judge},
    residents::{Contender, Origin, residents},
};
use fleet_engine::{Action, Unit, why_not};
use fleet_registry::UnitRecord;
use proptest::{bool::weighted, collection::vec, option, prelude::*, sample::select};

use crate::fixture::{World, name, record};

pub(crate) const UNITS: [&str; 9] = [
    "a.service",
    "b.service",
    "c.service",
    "d.service",
    "e.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
    "z.service",
];
pub(crate) const MACHINES: [&str; 4] = ["m1", "m2", "m3", "m4"];
/// One more than there are: units may be left on a machine that is gone.
pub(crate) const TARGETS: [&str; 5] = ["m1", "m2", "m3", "m4", "gone"];
const PATTERNS: [&str; 5] = ["web@*.service", "?.service", "a.service", "z*", "[ab].service"];

/// What a machine says of a unit that it can't have.
const TAKEN: &str = "this machine has a unit of that name of its own";

/// One change of a cluster.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Machine(&'static str, &'static str),
    MachineGone(&'static str),
    Metadata(&'static str, Option<&'static str>),
    Unit(&'static str, UnitRecord),
    UnitGone(&'static str),
    Obstacle(&'static str, &'static str, bool),
}

fn pair(option: &str, value: impl Into<String>) -> (String, String) {
    (option.to_owned(), value.into())
}

/// The `[X-Fleet]` options of a unit, and whether it is global: those that validation would let
/// pass, and units that must be with what they replace, which a specifier hides from it.
fn any_options() -> impl Strategy<Value = (Vec<(String, String)>, bool)> {
    let conflicts = select(&PATTERNS[..]).prop_map(|p| vec![pair("Conflicts", p)]);
    let peers = select(&UNITS[..]).prop_map(|p| vec![pair("MachineOf", p)]);
    let machine = select(&MACHINES[..]).prop_map(|m| vec![pair("MachineID", m)]);
    let replaced = prop_oneof![select(&UNITS[..]), select(&PATTERNS[..])];
    let replaces = replaced.prop_map(|p| vec![pair("Replaces", p)]);
    let metadata = option::weighted(0.3, select(&["r=1", "r=2"][..]));
    let kind = prop_oneof![
        3 => Just((vec![], false)),
        3 => conflicts.clone().prop_map(|options| (options, false)),
        2 => peers.clone().prop_map(|options| (options, false)),
        1 => machine.prop_map(|options| (options, false)),
        3 => replaces.clone().prop_map(|options| (options, false)),
        1 => (replaces, peers).prop_map(|(replaces, peers)| ([replaces, peers].concat(), false)),
        1 => Just((vec![pair("Global", "true")], true)),
        1 => conflicts.prop_map(|mut options| {
            options.push(pair("Global", "true"));
            (options, true)
        }),
    ];
    (kind, metadata).prop_map(|((mut options, global), metadata)| {
        options.extend(metadata.map(|value| pair("MachineMetadata", value)));
        (options, global)
    })
}

fn any_unit() -> impl Strategy<Value = (&'static str, UnitRecord)> {
    let desired = prop_oneof![
        1 => Just(JobState::Inactive),
        1 => Just(JobState::Loaded),
        4 => Just(JobState::Launched),
    ];
    let target = option::of(select(&TARGETS[..]));
    (select(&UNITS[..]), any_options(), desired, target).prop_map(
        |(unit, (options, global), desired_state, target)| {
            let machine = target.filter(|_| !global).map(|target| target.parse().unwrap());
            let x_fleet = FleetOptions(options);
            (unit, UnitRecord { desired_state, machine, global, x_fleet, ..record(&[]) })
        },
    )
}

pub(crate) fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (select(&MACHINES[..]), select(&["", "1", "2"][..]))
            .prop_map(|(machine, value)| Change::Machine(machine, value)),
        1 => select(&MACHINES[..]).prop_map(Change::MachineGone),
        1 => (select(&MACHINES[..]), option::of(select(&["", "1", "2"][..])))
            .prop_map(|(machine, value)| Change::Metadata(machine, value)),
        8 => any_unit().prop_map(|(unit, record)| Change::Unit(unit, record)),
        1 => select(&UNITS[..]).prop_map(Change::UnitGone),
        2 => (select(&UNITS[..]), select(&MACHINES[..]), weighted(0.7))
            .prop_map(|(unit, machine, is_there)| Change::Obstacle(unit, machine, is_there)),
    ]
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    vec(any_change(), 0..40)
}

/// Some machines, and wanted units of which most replace others: rings are common.
pub(crate) fn pushing_units() -> impl Strategy<Value = Vec<Change>> {
    let other = || select(&UNITS[..6]);
    let unit = (option::weighted(0.8, other()), option::weighted(0.2, other()), other()).prop_map(
        |(replaced, peer, conflict)| {
            let mut options: Vec<_> = replaced.map(|p| pair("Replaces", p)).into_iter().collect();
            match (peer, replaced) {
                (Some(peer), _) => options.push(pair("MachineOf", peer)),
                (None, None) => options.push(pair("Conflicts", conflict)),
                (None, Some(_)) => {}
            }
            options
        },
    );
    let placed = (unit, option::of(select(&MACHINES[..]))).prop_map(|(options, machine)| {
        let machine = machine.map(|machine| machine.parse().unwrap());
        UnitRecord { machine, x_fleet: FleetOptions(options), ..record(&[]) }
    });
    (vec(placed, 6), 2..=MACHINES.len()).prop_map(|(units, machines)| {
        let machines = MACHINES[..machines].iter().map(|machine| Change::Machine(machine, ""));
        machines.chain(UNITS.into_iter().zip(units).map(|(u, r)| Change::Unit(u, r))).collect()
    })
}

fn world(changes: &[Change]) -> World {
    let mut world = World::default();
    changes.iter().for_each(|change| make(&mut world, change));
    world
}

/// Makes one change.
pub(crate) fn make(world: &mut World, change: &Change) {
    match change {
        Change::Machine(machine, value) => world.machine(machine, &[("r", value)]),
        Change::MachineGone(machine) => world.machine_gone(machine),
        Change::Metadata(machine, value) => world.metadata(machine, "r", *value),
        Change::Unit(unit, record) => world.set(unit, record.clone()),
        Change::UnitGone(unit) => world.remove(unit),
        Change::Obstacle(unit, machine, there) => {
            world.obstacle(unit, machine, there.then_some(TAKEN))
        }
    };
}

/// The last word on everything, as a snapshot would bring it: in another order, units first.
fn snapshot(changes: &[Change]) -> Vec<Change> {
    let mut last: BTreeMap<(usize, &str, &str), Change> = BTreeMap::new();
    for change in changes {
        let at = match change {
            Change::Unit(unit, _) | Change::UnitGone(unit) => (0, *unit, ""),
            Change::Metadata(machine, _) => (1, *machine, ""),
            Change::Machine(machine, _) | Change::MachineGone(machine) => (2, *machine, ""),
            Change::Obstacle(unit, machine, _) => (3, *unit, *machine),
        };
        last.insert(at, change.clone());
    }
    last.into_values().collect()
}

/// Units by name, with what they ask for.
type Asking = BTreeMap<UnitName, Requirements>;

fn asking<'a>(unit: (&'a UnitName, &'a Requirements)) -> Candidate<'a> {
    Candidate { name: unit.0, requirements: unit.1 }
}

/// Whether a machine has said that it can't have a unit.
fn is_barred(world: &World, unit: &UnitName, machine: &Machine) -> bool {
    world.barred.contains(&(unit.clone(), machine.id.clone()))
}

/// What is on a machine, worked out from scratch by the words of `cluster.md` 2.
fn on_machine(world: &World, machine: &Machine) -> Asking {
    let units = UNITS.iter().filter_map(|unit| world.cluster.unit(&name(unit)));
    let contenders = units.filter_map(|unit| {
        let record = &unit.record.value;
        let is_target = record.machine.as_ref() == Some(&machine.id);
        let (origin, may_be_there) = if record.global {
            let runs = record.desired_state != JobState::Inactive;
            let origin = if runs { Origin::Global } else { Origin::IdleGlobal };
            (origin, !is_barred(world, &unit.name, machine))
        } else {
            (Origin::Unjudged, is_target && record.desired_state != JobState::Inactive)
        };
        let candidate = asking((&unit.name, &unit.requirements));
        may_be_there.then_some(Contender { unit: candidate, origin, tag: unit })
    });
    let there = residents(machine, contenders).into_iter().filter(|(_, verdict)| verdict.is_ok());
    there.map(|(unit, _)| (unit.tag.name.clone(), (*unit.tag.requirements).clone())).collect()
}

/// Units that are where they are refused.
fn misplaced(world: &World) -> Vec<(UnitName, Refusal)> {
    let mut misplaced = Vec::new();
    for (machine, _) in world.cluster.loads() {
        let here = on_machine(world, machine);
        for (unit, requirements) in &here {
            if requirements.global {
                continue;
            }
            let candidate = Candidate { name: unit, requirements };
            if is_barred(world, unit, machine) {
                misplaced.push((unit.clone(), Refusal::NameTaken(TAKEN.to_owned())));
            }
            if let Verdict::Refused(why) = judge(candidate, machine, here.iter().map(asking)) {
                misplaced.push((unit.clone(), why));
            }
        }
    }
    misplaced
}

proptest! {
    #[test]
    fn loads_kept_in_place_are_those_worked_out_from_scratch(changes in any_changes()) {
        let world = world(&changes);
        for (machine, load) in world.cluster.loads() {
            prop_assert_eq!(load, on_machine(&world, machine).len(), "on {}", machine.id);
        }
    }

    #[test]
    fn equal_clusters_give_equal_plans(changes in any_changes()) {
        let followed = world(&changes);
        let anew = world(&snapshot(&changes));
        prop_assert_eq!(followed.plan(), anew.plan());
    }

    #[test]
    fn nothing_is_placed_twice_or_where_it_is_refused(changes in any_changes()) {
        let mut world = world(&changes);
        let plan = world.plan();
        let placed: Vec<_> =
            plan.tasks.iter().filter(|t| t.action == Action::Schedule).map(|t| &t.unit).collect();
        prop_assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), placed.len());
        world.carry_out(&plan); // asserts that what is placed has no machine
        prop_assert_eq!(misplaced(&world), vec![]);
    }

    #[test]
    fn every_wanted_unit_has_a_machine_or_is_refused_by_all(changes in any_changes()) {
        let mut world = world(&changes);
        let plan = world.plan();
        world.carry_out(&plan);
        let machines = world.cluster.loads().count();
        for unit in UNITS {
            let unit = name(unit);
            let is_global = |unit: &Unit| unit.record.value.global;
            if world.cluster.unit(&unit).is_some_and(is_global) {
                continue;
            }
            let why_not = why_not(&world.cluster, &unit);
            prop_assert_eq!(why_not.is_some(), plan.unplaced.contains(&unit));
            let refusals = why_not.map_or(machines, |why_not| why_not.values().flatten().count());
            prop_assert_eq!(refusals, machines);
        }
    }

    #[test]
    fn one_pass_settles_everything_but_units_that_are_replaced(changes in any_changes()) {
        let mut world = world(&changes);
        let replaces = |world: &World| {
            let units = UNITS.iter().filter_map(|unit| world.cluster.unit(&name(unit)));
            units.filter(|unit| !unit.requirements.replaces.is_empty()).count()
        };
        let passes = if replaces(&world) == 0 { 1 } else { 2 * UNITS.len() };
        for _ in 0..passes {
            world.pass();
        }
        prop_assert_eq!(world.plan().tasks, vec![]);
    }

    #[test]
    fn units_that_replace_each_other_come_to_rest(changes in pushing_units()) {
        let mut world = world(&changes);
        for _ in 0..2 * UNITS.len() {
            world.pass();
        }
        prop_assert_eq!(world.plan().tasks, vec![]);
        prop_assert_eq!(misplaced(&world), vec![]);
    }

    #[test]
    fn replaced_unit_goes_back_if_it_may_and_nothing_else_differs(
        changes in any_changes(),
        (unit, back) in (select(&UNITS[..]), select(&TARGETS[..])),
    ) {
        let mut world = world(&changes);
        (0..2 * UNITS.len()).for_each(|_| world.pass());
        let Some(known) = world.cluster.unit(&name(unit)) else { return Ok(()) };
        let record = UnitRecord { machine: None, ..known.record.value.clone() };
        world.set(unit, record.clone());
        let as_new = world.plan();
        let why_not = why_not(&world.cluster, &name(unit)).filter(|_| !record.global);
        let is_free = why_not.is_some_and(|why_not| {
            why_not.iter().any(|(machine, why)| machine.as_str() == back && why.is_none())
        });
        world.set(unit, UnitRecord { return_to: Some(back.parse().unwrap()), ..record });
        let as_returning = world.plan();
        if !is_free {
            prop_assert_eq!(as_returning, as_new);
        } else if as_new.tasks.iter().all(|task| task.unit.as_str() == unit) {
            // Nobody else came first. Those that must be with it may follow.
            let its = as_returning.tasks.iter().find(|task| task.unit.as_str() == unit);
            prop_assert_eq!(its.map(|task| task.machine.as_str()), Some(back));
        }
    }

    #[test]
    fn units_that_are_well_placed_stay(changes in any_changes()) {
        let world = world(&changes);
        let refused: BTreeSet<UnitName> =
            misplaced(&world).into_iter().map(|(unit, _)| unit).collect();
        let may_move = |unit: &UnitName| {
            let unit = world.cluster.unit(unit).unwrap();
            // What follows a peer, or is pushed off, is no business of this test.
            let bound = !unit.requirements.peers.is_empty();
            let pushed = world.plan().tasks.iter().any(|task| {
                task.unit == unit.name && task.reason.to_string().contains("found replace")
            });
            let machine = unit.record.value.machine.as_ref();
            let gone = !world.cluster.loads().any(|(present, _)| Some(&present.id) == machine);
            let unwanted = unit.record.value.desired_state == JobState::Inactive;
            bound || pushed || gone || unwanted || refused.contains(&unit.name)
        };
        for task in world.plan().tasks {
            prop_assert!(may_move(&task.unit), "{}", task);
        }
    }
}
