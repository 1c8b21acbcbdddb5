//! Planning by table: every reason, the choice of machines, and what counts as being on one.

use std::collections::BTreeSet;

use fleet_core::{JobState, MachineStanding, Obstacle};
use fleet_engine::{Absent, plan, why_not};
use fleet_registry::{Event, Model, UnitRecord};

use crate::fixture::{World, id, name, record};

/// The tasks of a pass as they are logged.
pub(crate) fn tasks(world: &World) -> Vec<String> {
    world.plan().tasks.iter().map(ToString::to_string).collect()
}

pub(crate) fn unschedule(unit: &str, machine: &str, reason: &str) -> String {
    format!("{{Type: UnscheduleUnit, JobName: {unit}, MachineID: {machine}, Reason: {reason:?}}}")
}

pub(crate) fn schedule(unit: &str, machine: &str) -> String {
    let reason = "target state launched and unit not scheduled";
    format!(
        "{{Type: AttemptScheduleUnit, JobName: {unit}, MachineID: {machine}, Reason: {reason:?}}}"
    )
}

#[test]
fn unit_without_machine_goes_to_the_least_loaded() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]).machine("c", &[]);
    world.unit_on("a", "1.service", &[]).unit_on("c", "2.service", &[]);
    world.unit("3.service", &[]);
    assert_eq!(tasks(&world), [schedule("3.service", "b")]);
}

#[test]
fn equally_loaded_machines_are_taken_by_id_and_units_by_name() {
    let mut world = World::default();
    world.machine("b", &[]).machine("a", &[]);
    for unit in ["z.service", "y.service", "x.service"] {
        world.unit(unit, &[]);
    }
    let expected =
        [schedule("x.service", "a"), schedule("y.service", "b"), schedule("z.service", "a")];
    assert_eq!(tasks(&world), expected);
}

#[test]
fn replaced_unit_goes_back_where_it_was_if_that_machine_is_there_and_takes_it() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[("r", "1")]);
    world.unit_on("b", "1.service", &[]).unit_on("b", "2.service", &[]);
    let returning = |options| UnitRecord { return_to: Some(id("b")), ..record(options) };
    world.set("u.service", returning(&[]));
    world.set("v.service", UnitRecord { desired_state: JobState::Inactive, ..returning(&[]) });
    world.unit("w.service", &[]);
    assert_eq!(tasks(&world), [schedule("u.service", "b"), schedule("w.service", "a")]);
    world.unit_on("b", "2.service", &[("Conflicts", "u.*")]);
    assert_eq!(tasks(&world), [schedule("u.service", "a"), schedule("w.service", "a")]);
    world.unit_on("b", "2.service", &[]).metadata("b", "r", Some("2"));
    world.set("u.service", returning(&[("MachineMetadata", "r=1")])).machine("c", &[("r", "1")]);
    assert_eq!(tasks(&world)[0], schedule("u.service", "c"));
    world.set("u.service", returning(&[])).machine_gone("b");
    assert!(tasks(&world).contains(&schedule("u.service", "a")));
}

#[test]
fn loaded_units_are_scheduled_as_well_and_the_reason_says_so() {
    let mut world = World::default();
    world.machine("a", &[]);
    world.set("u.service", UnitRecord { desired_state: JobState::Loaded, ..record(&[]) });
    let expected = "{Type: AttemptScheduleUnit, JobName: u.service, MachineID: a, \
                    Reason: \"target state loaded and unit not scheduled\"}";
    assert_eq!(tasks(&world), [expected]);
}

#[test]
fn unwanted_units_templates_and_global_units_are_not_scheduled() {
    let mut world = World::default();
    world.machine("a", &[]).global("g.service", &[]);
    world.set("i.service", UnitRecord { desired_state: JobState::Inactive, ..record(&[]) });
    world.set("t@.service", UnitRecord { template: true, ..record(&[]) });
    assert_eq!(world.plan(), fleet_engine::Plan::default());
}

#[test]
fn unwanted_unit_is_unscheduled_even_when_its_machine_is_gone() {
    for machine in ["a", "gone"] {
        let mut world = World::default();
        world.machine("a", &[]);
        let (desired_state, target) = (JobState::Inactive, Some(id(machine)));
        world.set("u.service", UnitRecord { desired_state, machine: target, ..record(&[]) });
        let expected = unschedule("u.service", machine, "target state inactive");
        assert_eq!(tasks(&world), [expected]);
    }
}

#[test]
fn unit_of_a_machine_that_went_away_is_placed_again_in_the_same_pass() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]).unit_on("a", "u.service", &[]);
    world.machine_gone("a");
    let away = unschedule("u.service", "a", "target Machine(a) went away");
    assert_eq!(tasks(&world), [away, schedule("u.service", "b")]);
}

#[test]
fn unit_whose_machine_refuses_it_moves_and_the_reason_tells_why() {
    let long = "0123456789abcdef";
    for (options, why) in [
        (("MachineID", "zzz"), "agent ID \"0123456789abcdef\" does not match required \"zzz\""),
        (("MachineMetadata", "region=eu"), "local Machine metadata insufficient"),
        (("MachineOf", "p.service"), "required peer Unit(p.service) is not scheduled locally"),
        (("Conflicts", "z*.service"), "found conflict with locally-scheduled Unit([z.service])"),
    ] {
        let mut world = World::default();
        world.machine(long, &[]).unit_on(long, "z.service", &[]);
        world.unit_on(long, "u.service", &[options]);
        let reason = format!("target Machine({long}) unable to run unit: {why}");
        assert_eq!(tasks(&world)[0], unschedule("u.service", long, &reason));
    }
}

#[test]
fn of_two_units_in_conflict_one_moves() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]);
    world.unit_on("a", "x@1.service", &[("Conflicts", "x@*.service")]);
    world.unit_on("a", "x@2.service", &[]);
    let reason = "target Machine(a) unable to run unit: \
                  found conflict with locally-scheduled Unit([x@2.service])";
    let expected = [unschedule("x@1.service", "a", reason), schedule("x@1.service", "b")];
    assert_eq!(tasks(&world), expected);
}

#[test]
fn unwanted_units_are_in_nobodys_way() {
    let mut world = World::default();
    world.machine("a", &[]);
    let (desired_state, machine) = (JobState::Inactive, Some(id("a")));
    world.set("old.service", UnitRecord { desired_state, machine, ..record(&[]) });
    world.unit("u.service", &[("Conflicts", "old.service")]);
    let old = unschedule("old.service", "a", "target state inactive");
    assert_eq!(tasks(&world), [old, schedule("u.service", "a")]);
}

#[test]
fn unit_that_would_leave_stays_when_what_drove_it_off_leaves_as_well() {
    let mut world = World::default();
    world.machine("a", &[]);
    world.unit_on("a", "x.service", &[("Conflicts", "y.service")]);
    world.unit_on("a", "y.service", &[("MachineMetadata", "region=eu")]);
    let reason = "target Machine(a) unable to run unit: local Machine metadata insufficient";
    assert_eq!(tasks(&world), [unschedule("y.service", "a", reason)]);
}

#[test]
fn peers_are_placed_together_whatever_their_names() {
    for (peer, unit) in [("a.service", "z.service"), ("z.service", "a.service")] {
        let mut world = World::default();
        world.machine("1", &[]).machine("2", &[("disk", "ssd")]);
        world.unit(unit, &[("MachineOf", peer)]);
        world.unit(peer, &[("MachineMetadata", "disk=ssd")]);
        assert_eq!(tasks(&world), [schedule(peer, "2"), schedule(unit, "2")]);
    }
}

#[test]
fn unit_follows_its_peer_off_a_machine_in_one_pass() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[("disk", "ssd")]);
    world.unit_on("1", "a.service", &[("MachineOf", "z.service")]);
    world.unit_on("1", "z.service", &[("MachineMetadata", "disk=ssd")]);
    world.pass();
    assert_eq!(world.loads()["2"], 2);
    assert_eq!(tasks(&world), [""; 0]);
}

#[test]
fn unit_stays_while_its_peers_record_is_not_understood() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "p.service", &[]).unit_on("1", "x.service", &[]);
    world.unit_on("1", "u.service", &[("MachineOf", "p.service")]);
    world.unit_on("1", "v.service", &[("MachineOf", "u.service")]);
    let mut anew = World::default();
    anew.machine("1", &[]).unit_on("1", "u.service", &[("MachineOf", "p.service")]);
    for world in [&mut world, &mut anew] {
        world.corrupt("p.service");
        assert_eq!(tasks(world), [""; 0]);
        let obeyed = [("MachineOf", "p.service"), ("MachineMetadata", "r=1")];
        world.unit_on("1", "u.service", &obeyed);
        let reason = "target Machine(1) unable to run unit: local Machine metadata insufficient";
        assert_eq!(tasks(world)[0], unschedule("u.service", "1", reason), "for other reasons");
        world.unit_on("1", "u.service", &obeyed[..1]).remove("p.service");
        let reason = "target Machine(1) unable to run unit: \
                      required peer Unit(p.service) is not scheduled locally";
        assert_eq!(tasks(world)[0], unschedule("u.service", "1", reason), "it is gone");
        world.unit_on("1", "p.service", &[]);
        assert_eq!(tasks(world), [""; 0]);
    }
}

#[test]
fn eligible_global_units_count_towards_the_load_even_when_inactive() {
    let mut world = World::default();
    world.machine("a", &[("region", "eu")]).machine("b", &[]);
    let inactive = UnitRecord {
        global: true,
        desired_state: JobState::Inactive,
        ..record(&[("MachineMetadata", "region=eu")])
    };
    world.set("g.service", inactive).unit("u.service", &[]);
    assert_eq!(tasks(&world), [schedule("u.service", "b")]);
}

#[test]
fn global_units_conflict_and_are_peers() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[("disk", "ssd")]);
    world.global("g.service", &[("MachineMetadata", "disk=ssd")]);
    world.unit("with.service", &[("MachineOf", "g.service")]);
    world.unit("without.service", &[("Conflicts", "g.service")]);
    assert_eq!(tasks(&world), [schedule("with.service", "b"), schedule("without.service", "a")]);
}

#[test]
fn global_unit_comes_when_what_it_conflicts_with_leaves() {
    let mut world = World::default();
    world.machine("a", &[]).unit_on("a", "u.service", &[]);
    world.global("g.service", &[("Conflicts", "u.service")]);
    assert_eq!(world.loads()["a"], 1);
    world.remove("u.service");
    assert_eq!(world.loads()["a"], 1);
    world.remove("g.service");
    assert_eq!(world.loads()["a"], 0);
}

#[test]
fn dynamic_metadata_overlays_and_its_empty_value_deletes() {
    let mut world = World::default();
    world.metadata("a", "region", Some("us")).metadata("a", "disk", Some(""));
    world.machine("a", &[("region", "eu"), ("disk", "ssd"), ("empty", "")]);
    let metadata = |world: &World| {
        let (machine, _) = world.cluster.loads().next().unwrap();
        machine.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(metadata(&world), "empty= region=us");
    world.metadata("a", "disk", None).metadata("a", "rack", Some("7"));
    assert_eq!(metadata(&world), "disk=ssd empty= rack=7 region=us");
    world.machine("a", &[]);
    assert_eq!(metadata(&world), "rack=7 region=us");
}

#[test]
fn changed_metadata_moves_units() {
    let mut world = World::default();
    world.machine("a", &[("r", "1")]).machine("b", &[("r", "1")]);
    world.unit_on("a", "u.service", &[("MachineMetadata", "r=1")]);
    assert_eq!(tasks(&world), [""; 0]);
    world.metadata("a", "r", Some("2"));
    let reason = "target Machine(a) unable to run unit: local Machine metadata insufficient";
    assert_eq!(tasks(&world), [unschedule("u.service", "a", reason), schedule("u.service", "b")]);
}

#[test]
fn replaced_unit_is_pushed_to_another_machine() {
    for (new, old) in [("a.service", "z.service"), ("z.service", "a.service")] {
        let mut world = World::default();
        world.machine("1", &[]).machine("2", &[]).machine("3", &[]);
        world.unit_on("1", old, &[]).unit_on("1", new, &[("Replaces", old)]);
        world.unit_on("2", "other.service", &[]);
        let reason = format!(
            "target Machine(1) unable to run unit: found replace with locally-scheduled Unit({new})"
        );
        assert_eq!(tasks(&world), [unschedule(old, "1", &reason), schedule(old, "3")]);
    }
}

#[test]
fn replaced_unit_waits_when_no_other_machine_takes_it() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[("r", "2")]);
    world.unit_on("1", "old.service", &[("MachineMetadata", "r=1")]);
    world.metadata("1", "r", Some("1")).unit("new.service", &[("Replaces", "old.service")]);
    world.unit_on("2", "x.service", &[]).unit_on("2", "y.service", &[]);
    assert_eq!(tasks(&world), [schedule("new.service", "1")], "it goes beside the old one");
    world.pass();
    world.pass();
    assert_eq!(world.plan().unplaced, [name("old.service")]);
    assert_eq!(tasks(&world), [""; 0], "it doesn't come back to where it was pushed off");
    world.metadata("2", "r", Some("1"));
    assert_eq!(tasks(&world), [schedule("old.service", "2")]);
}

#[test]
fn units_that_replace_each_other_share_a_machine() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "a.service", &[("Replaces", "b.service")]);
    world.unit_on("1", "b.service", &[("Replaces", "a.service")]);
    assert_eq!(tasks(&world), [""; 0]);
}

/// Carries out passes until one plans nothing; whether that came to pass, and who has moved.
fn settle(world: &mut World) -> (bool, Vec<String>) {
    let mut moved = Vec::new();
    for _ in 0..20 {
        let plan = world.plan();
        if plan.tasks.is_empty() {
            return (true, moved);
        }
        moved.extend(plan.tasks.iter().map(|task| task.unit.to_string()));
        world.carry_out(&plan);
    }
    (false, moved)
}

#[test]
fn units_of_a_ring_of_replaces_share_machines_however_long_it_is() {
    let names: Vec<String> = (0..7).map(|unit| format!("{unit}.service")).collect();
    for length in 2..=names.len() {
        let mut world = World::default();
        world.machine("1", &[]).machine("2", &[]);
        for (unit, name) in names[..length].iter().enumerate() {
            world.unit_on("1", name, &[("Replaces", &names[(unit + 1) % length])]);
        }
        assert_eq!(settle(&mut world), (true, vec![]), "{length}");
        assert_eq!(world.loads()["1"], length);
    }
}

#[test]
fn patterns_make_rings_as_names_do_and_units_outside_of_them_are_replaced() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "a@1.service", &[("Replaces", "b@*.service")]);
    world.unit_on("1", "b@1.service", &[("Replaces", "c@?.service z.service")]);
    world.unit_on("1", "c@1.service", &[("Replaces", "[ac]@*.service")]);
    assert_eq!(settle(&mut world), (true, vec![]));
    world.unit_on("1", "z.service", &[]);
    assert_eq!(settle(&mut world), (true, vec!["z.service".to_owned(); 2]));
    assert_eq!(world.loads()["2"], 1);
}

#[test]
fn units_that_are_not_wanted_are_in_no_ring() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "a.service", &[("Replaces", "b.service")]);
    world.unit_on("1", "b.service", &[("Replaces", "c.service")]);
    let closing = record(&[("Replaces", "a.service")]);
    let unwanted = UnitRecord { desired_state: JobState::Inactive, ..closing.clone() };
    world.set("c.service", unwanted);
    assert_eq!(settle(&mut world), (true, vec!["b.service".to_owned(); 2]));
    world.set("c.service", UnitRecord { machine: Some(id("2")), ..closing });
    assert_eq!(settle(&mut world), (true, vec![]), "they share a machine from now on");
    world.remove("c.service").unit("b.service", &[("Replaces", "c.service")]);
    world.unit_on("1", "b.service", &[("Replaces", "c.service")]);
    assert_eq!(settle(&mut world), (true, vec!["b.service".to_owned(); 2]), "the ring is gone");
}

#[test]
fn unit_does_not_replace_what_it_must_be_with() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "other@1.service", &[]).unit_on("1", "other@2.service", &[]);
    world.unit_on("1", "far.service", &[]);
    world.unit_on("1", "near.service", &[("MachineOf", "far.service")]);
    world.unit("u.service", &[("MachineOf", "near.service"), ("Replaces", "%p.* far.service")]);
    assert_eq!(settle(&mut world), (true, vec!["u.service".to_owned()]));
    assert_eq!(world.loads()["1"], 5);
}

#[test]
fn unit_that_rests_stays_where_it_is_refused_and_counts_as_being_there() {
    let mut world = World::default();
    world.machine("1", &[]).machine("2", &[]);
    world.unit_on("1", "new.service", &[("Replaces", "old.service")]);
    world.unit_on("1", "old.service", &[]).unit_on("2", "x.service", &[]);
    world.unit("with.service", &[("MachineOf", "old.service")]);
    let resting = BTreeSet::from([name("old.service")]);
    let tasks = |world: &World| -> Vec<String> {
        let plan = plan(&world.cluster, Absent::Dead, &resting);
        plan.tasks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(tasks(&world), [schedule("with.service", "1")]);
    world.machine_gone("1").remove("with.service").remove("new.service");
    let away = unschedule("old.service", "1", "target Machine(1) went away");
    assert_eq!(tasks(&world), [away, schedule("old.service", "2")], "its machine is gone");
}

#[test]
fn why_not_names_the_obstacle_of_every_machine_for_units_that_wait() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[("r", "1")]).unit_on("a", "placed.service", &[]);
    world.unit_on("b", "x.service", &[]);
    world.unit("u.service", &[("MachineMetadata", "r=1"), ("Conflicts", "x.service")]);
    assert_eq!(world.plan().unplaced, [name("u.service")]);
    let obstacles: Vec<String> = why_not(&world.cluster, &name("u.service"))
        .unwrap()
        .iter()
        .map(|(machine, why)| format!("{machine}: {}", why.as_ref().unwrap()))
        .collect();
    let expected = [
        "a: local Machine metadata insufficient",
        "b: found conflict with locally-scheduled Unit([x.service])",
    ];
    assert_eq!(obstacles, expected);
    assert_eq!(why_not(&world.cluster, &name("placed.service")), None);
    assert_eq!(why_not(&world.cluster, &name("unknown.service")), None);
}

#[test]
fn why_not_tells_which_machines_take_a_unit_and_speaks_of_global_units_too() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[("r", "1")]);
    world.unit("u.service", &[("MachineMetadata", "r=1")]);
    world.unit_on("b", "x.service", &[("Conflicts", "h.*")]);
    let global = |options: &[(&str, &str)], desired_state| UnitRecord {
        global: true,
        desired_state,
        ..record(options)
    };
    world.set("g.service", global(&[("MachineMetadata", "r=1")], JobState::Launched));
    world.set("h.service", global(&[], JobState::Loaded));
    world.set("off.service", global(&[], JobState::Inactive));
    let answers = |unit: &str| -> Vec<String> {
        let text =
            |why: Option<_>| why.map_or_else(|| "yes".to_owned(), |why: Obstacle| why.to_string());
        let answers = why_not(&world.cluster, &name(unit)).unwrap();
        answers.into_iter().map(|(machine, why)| format!("{machine}: {}", text(why))).collect()
    };
    let metadata = "a: local Machine metadata insufficient";
    assert_eq!(answers("u.service"), [metadata, "b: yes"]);
    assert_eq!(answers("g.service"), [metadata, "b: yes"]);
    let conflict = "b: found conflict with locally-scheduled Unit([x.service])";
    assert_eq!(answers("h.service"), ["a: yes", conflict]);
    assert_eq!(why_not(&world.cluster, &name("off.service")), None);
}

/// `a` has units and says that it takes no others; those that are there stay.
#[test]
fn nothing_new_is_placed_on_a_machine_that_leaves_or_whose_systemd_is_silent() {
    for (standing, said) in [
        (MachineStanding::Leaving, "machine is leaving"),
        (MachineStanding::Silent, "its systemd does not answer"),
    ] {
        let mut world = World::default();
        world.machine("a", &[("r", "1")]).machine("b", &[]);
        world.unit_on("a", "here.service", &[]).unit_on("b", "1.service", &[]);
        world.unit_on("b", "2.service", &[]).standing("a", &[("r", "1")], standing);
        world.unit("new.service", &[]).unit("pinned.service", &[("MachineMetadata", "r=1")]);
        let back = UnitRecord { return_to: Some(id("a")), ..record(&[]) };
        world.set("back.service", back).global("g.service", &[]);
        // Without a machine that takes it a unit waits, and is told why.
        assert_eq!(tasks(&world), [schedule("back.service", "b"), schedule("new.service", "b")]);
        assert_eq!(world.plan().unplaced, [name("pinned.service")]);
        for unit in ["pinned.service", "g.service"] {
            let machines = why_not(&world.cluster, &name(unit)).unwrap();
            let obstacle = machines[&id("a")].as_ref().map(ToString::to_string);
            assert_eq!(obstacle.as_deref(), Some(said), "{unit}");
        }
        // It drops out of that when it is in service again.
        world.standing("a", &[("r", "1")], MachineStanding::InService);
        assert!(tasks(&world).contains(&schedule("pinned.service", "a")));
    }
}

#[test]
fn old_news_of_a_unit_changes_nothing() {
    let mut world = World::default();
    world.machine("a", &[]);
    let old = world.versioned(record(&[]));
    let new = world.versioned(UnitRecord { machine: Some(id("a")), ..record(&[]) });
    let unit = name("u.service");
    for record in [&old, &new, &old, &new] {
        world.cluster.apply(Event::Unit(unit.clone(), Some(Ok(record.clone()))));
    }
    assert_eq!(world.cluster.unit(&unit).unwrap().record, new);
    assert_eq!(tasks(&world), [""; 0]);
}

#[test]
fn units_of_a_missing_machine_stay_with_it_and_those_of_a_dead_one_do_not() {
    let mut world = World::default();
    world.machine("a", &[]).unit_on("gone", "u.service", &[]);
    world.unit("new.service", &[]);
    let only_new = plan(&world.cluster, Absent::Missing, &BTreeSet::new()).tasks;
    let only_new: Vec<String> = only_new.iter().map(ToString::to_string).collect();
    assert_eq!(only_new, [schedule("new.service", "a")]);
    let away = unschedule("u.service", "gone", "target Machine(gone) went away");
    assert!(tasks(&world).contains(&away));
}

#[test]
fn unit_goes_where_the_machine_has_no_unit_of_that_name_of_its_own() {
    let taken = "this machine has a unit of that name of its own";
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]).unit("u.service", &[]).unit("v.service", &[]);
    world.obstacle("u.service", "a", Some(taken));
    assert_eq!(tasks(&world), [schedule("u.service", "b"), schedule("v.service", "a")]);
    // Found once it is there: it moves, and isn't sent back.
    world.unit_on("b", "u.service", &[]).unit_on("a", "v.service", &[]);
    world.obstacle("u.service", "b", Some(taken)).obstacle("u.service", "a", None);
    let unable = format!("target Machine(b) unable to run unit: {taken}");
    let moved = [unschedule("u.service", "b", &unable), schedule("u.service", "a")];
    assert_eq!(tasks(&world), moved);
    world.pass();
    assert_eq!(tasks(&world), [""; 0]);
    // Where all have it, it waits, and each machine says why.
    world.obstacle("u.service", "a", Some(taken)).pass();
    assert_eq!(world.plan().unplaced, [name("u.service")]);
    let answers = why_not(&world.cluster, &name("u.service")).unwrap();
    assert!(answers.into_values().all(|why| why.unwrap().to_string() == taken));
    world.obstacle("u.service", "b", None);
    assert_eq!(tasks(&world), [schedule("u.service", "b")]);
}

#[test]
fn obstacle_is_known_of_a_machine_that_comes_later_and_ends_with_it() {
    let mut world = World::default();
    world.unit("u.service", &[]).obstacle("u.service", "a", Some("taken")).machine("a", &[]);
    assert_eq!(tasks(&world), [""; 0]);
    world.machine_gone("a").obstacle("u.service", "a", None).machine("a", &[]);
    assert_eq!(tasks(&world), [schedule("u.service", "a")]);
}

/// The agents, who don't have an inactive unit, count on the others alike.
#[test]
fn inactive_global_unit_takes_no_place_from_one_that_runs() {
    let mut world = World::default();
    let off = UnitRecord { desired_state: JobState::Inactive, global: true, ..record(&[]) };
    let choosy = [("Conflicts", "g.*")];
    let picky = UnitRecord { x_fleet: record(&choosy).x_fleet, ..off.clone() };
    world.machine("m", &[]).set("f.service", picky).set("e.service", off);
    assert_eq!(world.loads(), [("m".to_owned(), 2)].into(), "they count");
    world.global("g.service", &[]).unit("u.service", &choosy);
    assert_eq!(world.loads(), [("m".to_owned(), 2)].into());
    assert_eq!(tasks(&world), [""; 0], "g runs there, and would be stopped for u");
}

#[test]
fn global_unit_keeps_off_the_one_machine_that_has_its_name() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]).global("g.service", &[("Conflicts", "u.*")]);
    world.unit("u.service", &[]);
    assert_eq!(world.loads(), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    world.obstacle("g.service", "b", Some("taken"));
    assert_eq!(world.loads(), [("a".to_owned(), 1), ("b".to_owned(), 0)].into());
    assert_eq!(tasks(&world), [schedule("u.service", "b")], "it is in nobody's way there");
    let answers = why_not(&world.cluster, &name("g.service")).unwrap();
    assert_eq!(answers[&id("a")], None);
    assert_eq!(answers[&id("b")].as_ref().unwrap().to_string(), "taken");
    world.obstacle("g.service", "b", None);
    assert_eq!(world.loads(), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
}
