//! What the engine writes: decisions and the lease they rest on.

mod common;

use std::time::Duration;

use common::*;
use fleet_core::{
    FleetOptions,
    JobState::{Inactive, Launched},
};
use fleet_registry::{Decision, LeaderRecord, RegistryError, Target};
use fleet_store::{Key, Op, Store, StoreError, Txn};

async fn decision(world: &World, name: &str, to: &str) -> Decision {
    let seen = world.unit(name).await;
    let created = world.registry.machine(&machine(to)).await.unwrap().unwrap().created;
    Decision {
        unit: seen.name,
        seen: seen.record,
        target: Some((machine(to), created)).into(),
        absent: None,
    }
}

#[tokio::test]
async fn one_refused_decision_costs_only_itself() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    let mut decisions = Vec::new();
    for n in 0..100 {
        let name = format!("u{n:03}.service");
        world.create(&name, SLEEP, Launched).await;
        decisions.push(decision(&world, &name, "m1").await);
    }
    let changed = world.unit("u050.service").await;
    world.registry.set_desired_state(&changed, Inactive).await.unwrap();
    let decided = world.registry.decide(&lead, &decisions).await.unwrap();
    for (decision, decided) in decisions.iter().zip(&decided) {
        if decision.unit.as_str() == "u050.service" {
            assert!(matches!(decided, Err(RegistryError::Conflict(_))), "{decided:?}");
        } else {
            let now = world.unit(decision.unit.as_str()).await;
            assert_eq!(decided.as_ref().unwrap(), &now.record);
            assert_eq!(now.record.value.machine, Some(machine("m1")));
        }
    }
}

#[tokio::test]
async fn a_machine_that_left_or_came_anew_gets_nothing() {
    let world = World::new();
    let presence = world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    let planned = decision(&world, "a.service", "m1").await;
    world.registry.leave(&presence).await.unwrap();
    let decided = world.registry.decide(&lead, std::slice::from_ref(&planned)).await.unwrap();
    assert!(matches!(decided[0], Err(RegistryError::Conflict(_))), "{decided:?}");
    world.register("m1").await;
    let decided = world.registry.decide(&lead, &[planned]).await.unwrap();
    assert!(matches!(decided[0], Err(RegistryError::Conflict(_))), "{decided:?}");
    assert_eq!(world.unit("a.service").await.record.value.machine, None);
}

#[tokio::test]
async fn a_unit_moves_in_one_transaction() {
    let world = World::new();
    world.register("m1").await;
    world.register("m2").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    for to in ["m1", "m2"] {
        let planned = decision(&world, "a.service", to).await;
        world.registry.decide(&lead, &[planned]).await.unwrap().remove(0).unwrap();
    }
    let schedules: Vec<_> =
        world.keys().await.into_iter().filter(|key| key.contains("/schedule/")).collect();
    assert_eq!(schedules, ["/f/schedule/m2/a.service"]);
    let seen = world.unit("a.service").await;
    let off = Decision { unit: seen.name, seen: seen.record, target: Target::None, absent: None };
    world.registry.decide(&lead, &[off]).await.unwrap().remove(0).unwrap();
    assert!(!world.keys().await.iter().any(|key| key.contains("/schedule/")));
}

#[tokio::test]
async fn a_deposed_leader_changes_nothing() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    let planned = decision(&world, "a.service", "m1").await;
    world.registry.release_lead(lead.clone()).await.unwrap();
    let refused = world.registry.decide(&lead, std::slice::from_ref(&planned)).await;
    assert!(matches!(refused, Err(RegistryError::LeadershipLost)), "{refused:?}");
    let _successor = world.lead().await;
    let refused = world.registry.decide(&lead, &[planned]).await;
    assert!(matches!(refused, Err(RegistryError::LeadershipLost)), "{refused:?}");
    assert!(matches!(world.registry.renew_lead(&lead).await, Err(RegistryError::LeadershipLost)));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_exclusive_until_it_expires() {
    let world = World::new();
    let lead = world.lead().await;
    let other = LeaderRecord { machine: machine("m2"), version: 1 };
    assert_eq!(world.registry.acquire_lead(&other, TTL).await.unwrap(), None);
    tokio::time::sleep(TTL * 2 / 3).await;
    world.registry.renew_lead(&lead).await.unwrap();
    tokio::time::sleep(TTL * 2 / 3).await;
    assert_eq!(world.registry.acquire_lead(&other, TTL).await.unwrap(), None);
    tokio::time::sleep(TTL).await;
    assert!(world.registry.acquire_lead(&other, TTL).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lower_version_is_robbed_of_the_lease() {
    let world = World::new();
    let old = world.lead().await;
    let seen = fleet_registry::Versioned {
        value: LeaderRecord { machine: machine("m1"), version: 1 },
        revision: world.store.read(&[], None).await.unwrap().revision,
        created: fleet_store::Revision(0),
    };
    tokio::time::sleep(Duration::from_secs(4)).await;
    let me = LeaderRecord { machine: machine("m2"), version: 2 };
    let (lead, remaining) =
        world.registry.steal_lead(&seen, &me, TTL).await.unwrap().expect("it has not changed");
    assert!((5..=6).contains(&remaining.as_secs()), "{remaining:?}");
    assert_eq!(world.registry.steal_lead(&seen, &me, TTL).await.unwrap(), None);
    world.registry.release_lead(old).await.unwrap();
    world.registry.renew_lead(&lead).await.unwrap();
    assert!(world.text("/f/lease/engine-leader").await.unwrap().contains("m2"));
}

#[tokio::test]
async fn the_engine_version_only_rises() {
    let world = World::new();
    for (to, now) in [(1, "1"), (3, "3"), (2, "3")] {
        world.registry.raise_engine_version(to).await.unwrap();
        assert_eq!(world.text("/f/engine/version").await.as_deref(), Some(now));
    }
    let garbage = Op::Put { key: Key::from("/f/engine/version"), value: b"x".into(), lease: None };
    world.store.commit(Txn { compare: vec![], then: vec![garbage] }).await.unwrap();
    world.registry.raise_engine_version(1).await.unwrap();
    assert_eq!(world.text("/f/engine/version").await.as_deref(), Some("1"));
}

/// Options that take 60 KiB in the record, and as much in the schedule.
fn large() -> String {
    let option = format!("Conflicts={}\n", "x".repeat(1000));
    format!("{SLEEP}\n[X-Fleet]\n{}", option.repeat(60))
}

#[tokio::test]
async fn decisions_that_are_too_large_together_are_taken_in_halves() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    let mut decisions = Vec::new();
    for n in 0..32 {
        let name = format!("u{n:02}.service");
        world.create(&name, &large(), Launched).await;
        decisions.push(decision(&world, &name, "m1").await);
    }
    let changed = world.unit("u20.service").await;
    world.registry.set_desired_state(&changed, Inactive).await.unwrap();
    let before = world.store.revision();
    let decided = world.registry.decide(&lead, &decisions).await.unwrap();
    assert_eq!(decided.len(), 32);
    for (decision, decided) in decisions.iter().zip(&decided) {
        if decision.unit.as_str() == "u20.service" {
            assert!(matches!(decided, Err(RegistryError::Conflict(_))), "{decided:?}");
        } else {
            let now = world.unit(decision.unit.as_str()).await;
            assert_eq!(decided.as_ref().unwrap(), &now.record);
        }
    }
    let revisions = world.store.revision().0 - before.0;
    assert!(revisions < 31, "not each alone: {revisions}");
}

#[tokio::test]
async fn a_decision_that_is_too_large_costs_only_itself() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    let mut decisions = Vec::new();
    for name in ["a.service", "b.service", "c.service"] {
        world.create(name, SLEEP, Launched).await;
        decisions.push(decision(&world, name, "m1").await);
    }
    // It goes into the record and into the schedule.
    let value = "x".repeat(900_000);
    decisions[1].seen.value.x_fleet = FleetOptions(vec![("Conflicts".to_owned(), value)]);
    let decided = world.registry.decide(&lead, &decisions).await.unwrap();
    assert!(decided[0].is_ok() && decided[2].is_ok());
    assert!(matches!(&decided[1], Err(RegistryError::Store(StoreError::Refused(_)))));
}
