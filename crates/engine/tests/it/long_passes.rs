//! Units that ask for much: a pass comes to an end in time, and goes on in the next one.

use std::{collections::BTreeSet, time::Duration};

use fleet_core::{FleetOptions, JobState, MAX_PATTERNS, Obstacle, UnitName, eligibility::Refusal};
use fleet_engine::{Absent, Marks, Pace, Sweep, plan_within, why_not};
use fleet_registry::UnitRecord;
use fleet_store::{Key, Range, Revision, Store};
use tokio::time::{self, Instant};

use crate::{
    fixture::{World, name, record},
    lab::{Lab, leads},
};

/// Time for so many units in each sweep.
struct For(usize, [usize; 2]);

impl Pace for For {
    fn has_time(&mut self, sweep: Sweep, _: &UnitName) -> bool {
        let used = &mut self.1[usize::from(sweep == Sweep::Placing)];
        *used += 1;
        *used <= self.0
    }
}

/// Makes passes with time for `units` each until one has nothing left to do, and says how many.
fn settle(world: &mut World, units: usize) -> usize {
    let (mut marks, nothing, mut tasks) = (Marks::all(), BTreeSet::new(), 0);
    for passes in 1..1000 {
        let mut pace = For(units, [0, 0]);
        let plan = plan_within(&world.cluster, Absent::Dead, &nothing, marks, &mut pace);
        world.carry_out(&plan);
        marks = plan.rest;
        tasks += plan.tasks.len();
        if marks.is_empty() {
            if tasks == 0 {
                return passes;
            }
            (marks, tasks) = (Marks::all(), 0);
        }
    }
    panic!("it never comes to rest");
}

#[test]
fn what_a_pass_has_no_time_for_is_done_in_the_next_ones() {
    let build = || {
        let mut world = World::default();
        world.machine("a", &[]).machine("b", &[]).machine("c", &[("r", "1")]);
        for unit in 0..20 {
            world.unit(&format!("new{unit:02}.service"), &[]);
            world.unit_on("gone", &format!("old{unit:02}.service"), &[]);
            world.unit_on("a", &format!("moves{unit:02}.service"), &[("MachineMetadata", "r=1")]);
        }
        world.unit("with.service", &[("MachineOf", "moves00.service")]);
        world
    };
    let (mut at_once, mut bit_by_bit) = (build(), build());
    assert_eq!(settle(&mut at_once, usize::MAX), 2);
    let passes = settle(&mut bit_by_bit, 7);
    assert!((6..=200).contains(&passes), "{passes}");
    for world in [&mut at_once, &mut bit_by_bit] {
        assert_eq!(world.plan().tasks, vec![]);
        assert_eq!(world.plan().unplaced, Vec::<UnitName>::new());
        assert_eq!(world.loads().values().sum::<usize>(), 61);
    }
}

#[test]
fn new_units_are_placed_though_the_others_take_all_the_time() {
    let mut world = World::default();
    world.machine("a", &[]);
    for unit in 0..50 {
        world.unit_on("a", &format!("u{unit:02}.service"), &[]);
    }
    world.unit("new.service", &[]);
    let (all, nothing) = (Marks::all(), BTreeSet::new());
    let plan = plan_within(&world.cluster, Absent::Dead, &nothing, all, &mut For(3, [0, 0]));
    assert_eq!(plan.tasks.len(), 1);
    assert!(!plan.rest.is_empty());
}

/// Conflicts of 62 KB, more than may be asked for today.
fn excessive() -> Vec<(String, String)> {
    let pattern = format!("*{}", "a".repeat(240));
    (0..256).map(|_| ("Conflicts".to_owned(), pattern.clone())).collect()
}

#[test]
fn unit_that_asks_for_too_much_stays_where_it_is_and_goes_nowhere() {
    let mut world = World::default();
    world.machine("a", &[]).machine("b", &[]);
    let greedy = UnitRecord { x_fleet: FleetOptions(excessive()), ..record(&[]) };
    world.set("waits.service", greedy.clone());
    world.set("stays.service", UnitRecord { machine: Some("a".parse().unwrap()), ..greedy });
    world.unit("other.service", &[]);
    let plan = world.plan();
    assert_eq!(plan.unplaced, [name("waits.service")]);
    assert_eq!(plan.tasks.iter().map(|t| t.unit.as_str()).collect::<Vec<_>>(), ["other.service"]);
    let why = why_not(&world.cluster, &name("waits.service")).unwrap();
    for obstacle in why.values() {
        assert!(matches!(obstacle, Some(Obstacle::Refused(Refusal::Excess(_)))), "{obstacle:?}");
        let text = obstacle.as_ref().unwrap().to_string();
        assert!(text.contains("Conflicts") && text.contains(&MAX_PATTERNS.to_string()), "{text}");
    }
    let unit = world.cluster.unit(&name("stays.service")).unwrap();
    assert!(unit.requirements.conflicts.len() <= MAX_PATTERNS);
}

/// A record as an earlier version may have stored it.
fn stored(options: &[(String, String)]) -> String {
    let options: Vec<String> = options.iter().map(|(k, v)| format!("[{k:?},{v:?}]")).collect();
    let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let options = options.join(",");
    format!("{{\"hash\":\"{hash}\",\"desiredState\":\"launched\",\"xFleet\":[{options}]}}")
}

/// The revision that the lease was taken at.
async fn leader(lab: &Lab) -> Revision {
    let key = Key::from("/test/lease/engine-leader");
    lab.store.read(&[Range::key(key)], None).await.unwrap().ranges[0].kvs[0].mod_revision
}

/// In real time, as thinking takes some.
#[tokio::test]
async fn units_with_62_kb_of_patterns_keep_nobody_else_from_running() {
    let mut lab = Lab::with_machines(&["a", "b"]).await;
    let pieces = ["*aaaaaaaa", "*?[a-z]aaaaa", "*a?a?a?a*b"];
    for unit in 0..80_usize {
        let long = format!("{}{unit:02}.service", "a".repeat(240));
        lab.write_record(&long, &stored(&excessive())).await;
        if unit % 4 > 0 {
            continue;
        }
        // As much as is allowed, of the kind that takes longest.
        let piece = pieces[unit % 3].repeat(6);
        let patterns: Vec<_> =
            (0..MAX_PATTERNS).map(|_| ("Conflicts".to_owned(), piece.clone())).collect();
        lab.write_record(&format!("{}b{unit:02}.service", "a".repeat(230)), &stored(&patterns))
            .await;
    }
    let engine = lab.engine("a");
    leads(&engine).await;
    let (record, since) = (leader(&lab).await, Instant::now());
    for unit in 0..5 {
        let new = format!("new{unit}.service");
        lab.create(&new, "").await;
        while lab.target(&new).await.is_empty() {
            assert!(since.elapsed() < Duration::from_secs(60), "{new} isn't scheduled");
            time::sleep(Duration::from_millis(5)).await;
        }
        let why = engine.handle.why_not(name(&format!("{}00.service", "a".repeat(240)))).await;
        assert!(why.unwrap().is_some());
    }
    lab.set_desired_state("new0.service", JobState::Inactive).await;
    while !lab.target("new0.service").await.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "it isn't unscheduled");
        time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(leader(&lab).await, record, "the lease is kept");
}
