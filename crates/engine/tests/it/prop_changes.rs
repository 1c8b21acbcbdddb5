//! A pass over what has changed decides what one over everything does, after whatever has happened
//! (`docs/decisions/0025`).

use std::collections::BTreeSet;

use fleet_core::{MachineId, MachineStanding, UnitName};
use fleet_engine::{Absent, Marks, Pace, Plan, Sweep, plan, plan_within};
use fleet_registry::{Event, Model as _, Unclear, UnitRecord};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    fixture::{World, id, name},
    prop_plan::{Change, MACHINES, TARGETS, UNITS, any_change, make, pushing_units},
};

/// What happens to a cluster and to those who decide about it.
#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    /// A machine whose agent says when units are gone.
    Host(&'static str, &'static str),
    Standing(&'static str, MachineStanding),
    UnclearMachine(&'static str),
    Corrupt(&'static str),
    /// What was destroyed under a name is said to be on a machine.
    Leaving(&'static str, Option<&'static str>),
    /// A unit is asked to leave.
    Asked(&'static str),
    /// The machine of a unit lets it go.
    Released(&'static str),
    /// Somebody else places a unit.
    Placed(&'static str, Option<&'static str>),
    Absent(Absent),
    Resting(BTreeSet<UnitName>),
    /// A pass, of which the decisions about some units fail.
    Pass(BTreeSet<UnitName>),
    /// A pass that has time for so many units in each sweep.
    ShortPass(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let unit = || select(&UNITS[..]);
    let machine = || select(&MACHINES[..]);
    let target = || select(&TARGETS[..]);
    let units = || vec(unit(), 0..3).prop_map(|units| units.into_iter().map(name).collect());
    let standing = select(
        &[MachineStanding::InService, MachineStanding::Leaving, MachineStanding::Silent][..],
    );
    let missing = vec(target(), 0..3)
        .prop_map(|ids| Absent::Awaited(ids.into_iter().map(id).collect::<BTreeSet<MachineId>>()));
    prop_oneof![
        10 => any_change().prop_map(Step::Change),
        3 => (machine(), select(&["", "1", "2"][..])).prop_map(|(m, r)| Step::Host(m, r)),
        1 => (machine(), standing).prop_map(|(m, s)| Step::Standing(m, s)),
        1 => machine().prop_map(Step::UnclearMachine),
        1 => unit().prop_map(Step::Corrupt),
        2 => (unit(), option::of(target())).prop_map(|(u, m)| Step::Leaving(u, m)),
        1 => unit().prop_map(Step::Asked),
        2 => unit().prop_map(Step::Released),
        1 => (unit(), option::of(target())).prop_map(|(u, m)| Step::Placed(u, m)),
        1 => prop_oneof![Just(Absent::Dead), Just(Absent::Missing), missing].prop_map(Step::Absent),
        1 => units().prop_map(Step::Resting),
        6 => prop_oneof![2 => Just(BTreeSet::new()), 1 => units()].prop_map(Step::Pass),
        1 => (1..4_usize).prop_map(Step::ShortPass),
    ]
}

/// Time for so many units in each sweep.
struct For(usize, [usize; 2]);

impl Pace for For {
    fn has_time(&mut self, sweep: Sweep, _: &UnitName) -> bool {
        let used = &mut self.1[usize::from(sweep == Sweep::Placing)];
        *used += 1;
        *used <= self.0
    }
}

/// An engine that looks at what has changed.
struct Engine {
    world: World,
    absent: Absent,
    resting: BTreeSet<UnitName>,
    undone: BTreeSet<UnitName>,
}

impl Engine {
    fn new() -> Self {
        let (resting, undone) = (BTreeSet::new(), BTreeSet::new());
        Self { world: World::default(), absent: Absent::Dead, resting, undone }
    }

    /// What there is to look at.
    fn marks(&mut self) -> Marks {
        let again = Marks::of(std::mem::take(&mut self.undone));
        self.world.cluster.mark_again(again);
        self.world.cluster.take_marks(&self.absent, &self.resting)
    }

    /// What a pass over everything decides.
    fn everything(&self) -> Plan {
        plan(&self.world.cluster, self.absent.clone(), &self.resting)
    }

    fn within(&self, marks: Marks, pace: &mut dyn Pace) -> Plan {
        plan_within(&self.world.cluster, self.absent.clone(), &self.resting, marks, pace)
    }

    /// Carries out what isn't about units of `failing`.
    fn carry_out(&mut self, mut plan: Plan, failing: &BTreeSet<UnitName>) {
        let rest = std::mem::take(&mut plan.rest);
        self.world.cluster.mark_again(rest);
        self.world.cluster.mark_again(Marks::of(std::mem::take(&mut plan.again)));
        self.undone.extend(plan.tasks.iter().map(|task| task.unit.clone()));
        self.undone.extend(plan.moot.iter().map(|moot| moot.unit.clone()));
        self.undone.retain(|unit| failing.contains(unit));
        if !self.undone.is_empty() {
            self.undone.extend(plan.concerned().cloned());
        }
        plan.tasks.retain(|task| !failing.contains(&task.unit));
        plan.moot.retain(|moot| !failing.contains(&moot.unit));
        self.world.carry_out(&plan);
    }

    /// A pass; both plans.
    fn pass(&mut self, failing: &BTreeSet<UnitName>) -> [Plan; 2] {
        let marks = self.marks();
        let all = marks.clone().widened();
        let plans = [marks, all].map(|marks| self.within(marks, &mut For(usize::MAX, [0, 0])));
        self.carry_out(plans[0].clone(), failing);
        plans
    }

    fn take(&mut self, step: &Step) {
        let world = &mut self.world;
        let record = |world: &World, unit: &str| -> Option<UnitRecord> {
            world.cluster.unit(&name(unit)).map(|unit| unit.record.value.clone())
        };
        match step {
            Step::Change(change) => make(world, change),
            Step::Host(machine, value) => drop(world.host(machine, &[("r", value)])),
            Step::Standing(machine, standing) => {
                world.standing(machine, &[("r", "1")], *standing);
            }
            Step::UnclearMachine(machine) => {
                let unclear = Unclear("it is cut off".to_owned());
                world.cluster.apply(Event::Machine(id(machine), Some(Err(unclear))));
            }
            Step::Corrupt(unit) => drop(world.corrupt(unit)),
            Step::Leaving(unit, machine) => drop(world.leaving(unit, *machine)),
            Step::Asked(unit) => {
                if let Some(record) = record(world, unit)
                    && record.machine.is_some()
                {
                    world.set(unit, UnitRecord { leaving: true, ..record });
                }
            }
            Step::Released(unit) => match record(world, unit) {
                Some(record) if record.machine.is_some() && !record.leaves() => {}
                _ => drop(world.release(unit)),
            },
            Step::Placed(unit, machine) => {
                if let Some(record) = record(world, unit)
                    && !record.global
                {
                    world.set(
                        unit,
                        UnitRecord { machine: machine.map(id), leaving: false, ..record },
                    );
                }
            }
            Step::Absent(absent) => self.absent = absent.clone(),
            Step::Resting(units) => self.resting = units.clone(),
            Step::Pass(_) | Step::ShortPass(_) => {}
        }
    }
}

/// Takes all steps, and compares the plans of every pass.
fn follow(steps: &[Step]) -> Result<Engine, TestCaseError> {
    let mut engine = Engine::new();
    for step in steps {
        match step {
            Step::Pass(failing) => {
                let [changed, everything] = engine.pass(failing);
                prop_assert_eq!(changed.tasks, everything.tasks);
                prop_assert_eq!(changed.moot, everything.moot);
            }
            Step::ShortPass(units) => {
                let marks = engine.marks();
                let plan = engine.within(marks, &mut For(*units, [0, 0]));
                engine.carry_out(plan, &BTreeSet::new());
            }
            step => engine.take(step),
        }
    }
    Ok(engine)
}

/// Passes until nothing is marked any more; then a pass over everything finds nothing to do.
fn settle(mut engine: Engine) -> Result<(), TestCaseError> {
    for _ in 0..4 * UNITS.len() {
        engine.resting.clear();
        let [changed, everything] = engine.pass(&BTreeSet::new());
        prop_assert_eq!(&changed.tasks, &everything.tasks);
        if changed.tasks.is_empty() {
            break;
        }
    }
    prop_assert_eq!(engine.everything().tasks, vec![]);
    Ok(())
}

proptest! {
    #[test]
    fn a_pass_over_what_has_changed_decides_what_one_over_everything_does(
        steps in vec(any_step(), 0..60),
    ) {
        settle(follow(&steps)?)?;
    }

    #[test]
    fn so_it_does_where_units_push_each_other(
        units in pushing_units(),
        steps in vec(any_step(), 0..30),
    ) {
        let units = units.into_iter().map(Step::Change);
        let begin = [Step::Pass(BTreeSet::new())];
        let steps: Vec<Step> = units.chain(begin).chain(steps).collect();
        settle(follow(&steps)?)?;
    }
}
