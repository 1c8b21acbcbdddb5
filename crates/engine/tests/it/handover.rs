//! Planning by table where machines say what has gone from them: units move in three steps.

use std::collections::BTreeSet;

use fleet_core::JobState;
use fleet_engine::{Absent, Action, plan, why_not};
use fleet_registry::{Stale, UnitRecord};

use crate::{
    fixture::{World, id, name, record},
    plan_table::{schedule, tasks, unschedule},
};

const NOTHING: [&str; 0] = [];

fn unable(machine: &str, why: &str) -> String {
    format!("target Machine({machine}) unable to run unit: {why}")
}

/// Two machines that hand over, and a unit on the first that may be on both.
fn moving() -> World {
    let mut world = World::default();
    world.host("a", &[("r", "1")]).host("b", &[("r", "1")]);
    world.unit_on("a", "u.service", &[("MachineMetadata", "r=1")]);
    world
}

#[test]
fn a_unit_is_asked_to_leave_and_placed_when_it_is_gone() {
    let mut world = moving();
    world.metadata("a", "r", Some("2"));
    let why = unable("a", "local Machine metadata insufficient");
    let asked = world.plan();
    assert_eq!(asked.tasks.iter().map(|task| task.action).collect::<Vec<_>>(), [Action::Leave]);
    assert_eq!(tasks(&world), [unschedule("u.service", "a", &why)]);
    assert_eq!(asked.unplaced, []);
    world.pass();
    assert_eq!(tasks(&world), NOTHING);
    assert_eq!(why_not(&world.cluster, &name("u.service")), None, "it has a machine");
    world.release("u.service");
    assert_eq!(tasks(&world), [schedule("u.service", "b")]);
}

#[test]
fn what_was_asked_stays_asked_until_it_is_gone_or_its_content_is_another() {
    let mut world = moving();
    world.metadata("a", "r", Some("2")).pass();
    world.metadata("a", "r", Some("1"));
    assert_eq!(tasks(&world), NOTHING, "it may have stopped by now");
    world.release("u.service");
    assert_eq!(tasks(&world), [schedule("u.service", "a")]);
    world.pass();
    world.metadata("a", "r", Some("2")).pass();
    world.unit_on("a", "u.service", &[]);
    assert_eq!(tasks(&world), NOTHING, "it stays");
    world.unit_on("a", "u.service", &[("MachineMetadata", "r=1")]);
    assert_eq!(world.plan().tasks[0].action, Action::Leave, "it is asked again");
}

#[test]
fn a_unit_that_leaves_is_in_nobodys_way_and_no_company() {
    let mut world = moving();
    world.metadata("a", "r", Some("2")).pass();
    assert_eq!(world.loads()["a"], 0);
    world.unit_on("b", "x.service", &[]);
    world.unit("v.service", &[("Conflicts", "u.service")]);
    world.unit("w.service", &[("MachineOf", "u.service")]);
    assert_eq!(tasks(&world), [schedule("v.service", "a")]);
    assert_eq!(world.plan().unplaced, [name("w.service")]);
    let mut anew = World::default();
    anew.set(
        "u.service",
        UnitRecord { machine: Some(id("a")), leaving: true, ..record(&[("Conflicts", "*")]) },
    );
    anew.host("a", &[]);
    assert_eq!(anew.loads()["a"], 0, "nor where its record came first");
}

#[test]
fn a_unit_nobody_wants_is_let_go_by_its_machine_while_there_is_one() {
    let unwanted = |machine| UnitRecord {
        desired_state: JobState::Inactive,
        machine: Some(id(machine)),
        ..record(&[])
    };
    let mut world = World::default();
    world.host("a", &[]).host("b", &[]).set("u.service", unwanted("a"));
    assert_eq!(tasks(&world), NOTHING);
    world.unit_on("a", "u.service", &[]);
    assert_eq!(tasks(&world), NOTHING, "wanted again in time it stays");
    world.set("u.service", unwanted("gone"));
    assert_eq!(tasks(&world), [unschedule("u.service", "gone", "target state inactive")]);
    let missing = plan(&world.cluster, Absent::Missing, &BTreeSet::new());
    assert_eq!(missing.tasks, [], "it may be there, and somebody may want it again");
}

#[test]
fn a_unit_whose_machine_dies_while_it_leaves_is_placed_at_once() {
    let mut world = moving();
    world.metadata("a", "r", Some("2")).pass();
    world.machine_gone("a");
    let missing = plan(&world.cluster, Absent::Missing, &BTreeSet::new());
    assert_eq!(missing.tasks, []);
    let away = unschedule("u.service", "a", "target Machine(a) went away");
    assert_eq!(tasks(&world), [away, schedule("u.service", "b")]);
}

#[test]
fn a_machine_that_has_forgotten_how_to_say_so_is_waited_for_no_longer() {
    let mut world = moving();
    world.metadata("a", "r", Some("2")).pass();
    world.machine("a", &[("r", "1")]);
    let asked = unschedule("u.service", "a", "target Machine(a) was asked to let unit go");
    assert_eq!(tasks(&world), [asked, schedule("u.service", "b")]);
    world.pass();
    assert_eq!(tasks(&world), NOTHING);
    // And one that learns it is asked from then on.
    let mut world = World::default();
    world.machine("a", &[]).unit_on("a", "u.service", &[("MachineMetadata", "r=1")]);
    assert_eq!(world.plan().tasks[0].action, Action::Unschedule);
    world.host("a", &[]);
    assert_eq!(world.plan().tasks[0].action, Action::Leave);
}

#[test]
fn a_replacer_comes_where_the_replaced_one_still_stops() {
    for (new, old) in [("a.service", "z.service"), ("z.service", "a.service")] {
        let mut world = World::default();
        world.host("1", &[]).host("2", &[]).unit_on("1", old, &[]);
        world.unit_on("2", "x.service", &[]).unit_on("2", "y.service", &[]);
        world.unit(new, &[("Replaces", old)]);
        assert_eq!(tasks(&world), [schedule(new, "1")]);
        world.pass();
        let why = unable("1", &format!("found replace with locally-scheduled Unit({new})"));
        assert_eq!(tasks(&world), [unschedule(old, "1", &why)]);
        world.pass();
        assert_eq!(tasks(&world), NOTHING);
        // One that comes while the other is on its way out doesn't wait for it either.
        world.remove(new).unit(new, &[("Replaces", old)]);
        assert_eq!(tasks(&world), [schedule(new, "1")]);
        world.pass();
        world.release(old);
        assert_eq!(tasks(&world), [schedule(old, "2")]);
        world.pass();
        assert_eq!(tasks(&world), NOTHING);
    }
}

#[test]
fn units_that_must_be_together_leave_together_and_meet_again() {
    for first in ["a.service", "z.service"] {
        let mut world = World::default();
        world.host("1", &[]).host("2", &[("disk", "ssd")]);
        world.unit_on("1", "a.service", &[("MachineOf", "z.service")]);
        world.unit_on("1", "z.service", &[("MachineMetadata", "disk=ssd")]);
        assert_eq!(world.plan().tasks.len(), 2, "both are asked");
        world.pass();
        let second = if first == "a.service" { "z.service" } else { "a.service" };
        world.release(first).pass();
        assert_eq!(tasks(&world), NOTHING);
        world.release(second).pass();
        assert_eq!((world.loads()["2"], tasks(&world)), (2, vec![]));
    }
}

#[test]
fn unit_stays_when_what_would_drive_it_off_is_asked_to_leave_itself() {
    let mut world = World::default();
    world.host("a", &[]).host("b", &[]);
    world.unit_on("a", "x.service", &[("Conflicts", "y.service")]);
    world.unit_on("a", "y.service", &[("MachineMetadata", "region=eu")]);
    let why = unable("a", "local Machine metadata insufficient");
    assert_eq!(tasks(&world), [unschedule("y.service", "a", &why)]);
}

#[test]
fn a_unit_that_rests_is_not_asked() {
    let mut world = moving();
    world.metadata("a", "r", Some("2"));
    let resting = BTreeSet::from([name("u.service")]);
    assert_eq!(plan(&world.cluster, Absent::Dead, &resting).tasks, []);
}

#[test]
fn replaced_content_goes_back_once_the_old_one_is_gone() {
    let mut world = moving();
    world.unit_on("a", "x.service", &[]).unit_on("a", "y.service", &[]);
    let reset = UnitRecord {
        desired_state: JobState::Inactive,
        machine: Some(id("a")),
        return_to: Some(id("a")),
        ..record(&[])
    };
    world.set("u.service", reset.clone());
    assert_eq!(tasks(&world), NOTHING);
    world.release("u.service");
    let desired_state = JobState::Launched;
    world.set("u.service", UnitRecord { desired_state, machine: None, ..reset });
    assert_eq!(tasks(&world), [schedule("u.service", "a")]);
}

/// Why what is said of a destroyed unit isn't so any more.
fn moot(world: &World) -> Vec<Stale> {
    world.plan().moot.into_iter().map(|moot| moot.why).collect()
}

#[test]
fn a_name_goes_nowhere_else_while_a_machine_still_has_what_was_destroyed() {
    let mut world = World::default();
    world.host("a", &[]).host("b", &[]).unit_on("a", "x.service", &[]);
    world.leaving("u.service", Some("a"));
    assert_eq!(world.plan(), fleet_engine::Plan::default());
    world.unit("u.service", &[]);
    let waits = world.plan();
    assert_eq!(
        (waits.tasks, waits.unplaced, waits.moot),
        (vec![], vec![name("u.service")], vec![])
    );
    world.release("u.service");
    assert_eq!(tasks(&world), [schedule("u.service", "b")]);
    // It needn't wait where it goes to that very machine.
    world.leaving("u.service", Some("b"));
    assert_eq!(tasks(&world), [schedule("u.service", "b")]);
    world.pass();
    assert_eq!(world.plan(), fleet_engine::Plan::default());
    // Units that must be with it wait as it does.
    world.remove("u.service").leaving("u.service", Some("b")).unit_on("b", "y.service", &[]);
    world.unit_on("b", "z.service", &[]);
    world.unit("u.service", &[]).unit("with.service", &[("MachineOf", "u.service")]);
    assert_eq!(tasks(&world), NOTHING);
    world.release("u.service");
    assert_eq!(tasks(&world), [schedule("u.service", "a"), schedule("with.service", "a")]);
}

#[test]
fn what_is_said_of_a_machine_that_can_not_say_otherwise_is_forgotten() {
    let mut world = World::default();
    world.host("a", &[]).host("b", &[]).leaving("u.service", Some("gone"));
    world.unit("u.service", &[]);
    let missing = plan(&world.cluster, Absent::Missing, &BTreeSet::new());
    assert_eq!((missing.tasks, missing.moot), (vec![], vec![]), "it may have it still");
    assert_eq!(moot(&world), [Stale::Absent]);
    assert_eq!(tasks(&world), [schedule("u.service", "a")]);
    world.pass();
    assert_eq!(world.plan(), fleet_engine::Plan::default());

    let mut world = World::default();
    world.host("a", &[]).machine("old", &[]).leaving("u.service", Some("old"));
    world
        .leaving("v.service", None)
        .leaving("w.service", Some("a"))
        .leaving("x.service", Some("a"));
    world.unit_on("a", "w.service", &[]).unit_on("old", "x.service", &[]);
    let why = moot(&world);
    assert!(
        matches!(why[..], [Stale::Silent(_), Stale::Settled, Stale::Settled, Stale::Elsewhere]),
        "{why:?}"
    );
    world.pass();
    assert_eq!(moot(&world), []);
}
