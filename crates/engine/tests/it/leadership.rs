//! Who leads, and what becomes of the cluster when the leader goes, dies or is cut off.

use std::time::Duration;

use fleet_core::JobState;
use fleet_engine::{NotLeading, VERSION};
use fleet_registry::{Contact, LeaderRecord};
use fleet_store::Store;
use tokio::{sync::watch, time::Instant};

use crate::{
    fixture::{id, name},
    lab::{INTERVAL, Lab, Mode, Running, TTL, eventually, leads, pass},
};

/// What a takeover may take beyond what has to be waited for: the jitter, and our own polling.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Two engines, the first of which leads.
async fn two(lab: &mut Lab) -> (Running, Running) {
    let first = lab.engine("m1");
    leads(&first).await;
    let second = lab.engine("m2");
    eventually("the second follows", async || second.handle.leader().is_some()).await;
    (first, second)
}

#[tokio::test(start_paused = true)]
async fn one_of_several_engines_leads_and_all_know_it() {
    let mut lab = Lab::with_machines(&["m1", "m2", "m3"]).await;
    let engines = ["m1", "m2", "m3"].map(|machine| lab.engine(machine));
    let leading = || engines.iter().filter(|engine| engine.handle.is_leading()).count();
    eventually("somebody leads", async || leading() == 1).await;
    pass(3 * TTL).await;
    assert_eq!(leading(), 1);
    let told: Vec<_> = engines.iter().map(|engine| engine.handle.leader()).collect();
    assert!(told[0].is_some());
    assert_eq!(told[0], told[1]);
    assert_eq!(told[1], told[2]);
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_stops_another_takes_over_at_once() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let (first, second) = two(&mut lab).await;
    first.stop();
    assert!(leads(&second).await < AT_ONCE);
    assert!(!first.handle.is_leading());
    lab.create("u.service", "").await;
    lab.scheduled("u.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_another_leads_within_the_leases_time_to_live() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let (first, second) = two(&mut lab).await;
    pass(Duration::from_secs(100)).await;
    first.kill();
    let took = leads(&second).await;
    assert!(took <= TTL + AT_ONCE, "{took:?}");
    assert!(took >= TTL - TTL / 3 - AT_ONCE, "before the lease was out: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_few_of_many_ask_for_its_lease() {
    let mut lab = Lab::with_machines(&["m00"]).await;
    let first = lab.engine("m00");
    leads(&first).await;
    let others: Vec<Running> = (1..60).map(|engine| lab.engine(&format!("m{engine:02}"))).collect();
    let follow = || others.iter().all(|engine| engine.handle.leader().is_some());
    eventually("all others follow", async || follow()).await;
    first.kill();
    let leading = || others.iter().any(|engine| engine.handle.is_leading());
    eventually("another leads", async || leading()).await;
    pass(TTL).await;
    let grants: usize = others.iter().map(|engine| engine.line.grants()).sum();
    assert!((1..=4).contains(&grants), "{grants} asked for a lease");
}

#[tokio::test(start_paused = true)]
async fn engine_that_comes_back_leads_on_at_once() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let first = lab.engine("m1");
    leads(&first).await;
    first.kill();
    let again = lab.engine("m1");
    assert!(leads(&again).await < AT_ONCE);
    lab.create("u.service", "").await;
    assert!(lab.scheduled("u.service", "m1").await < AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn engine_of_a_machine_that_is_not_present_takes_no_lease() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let first = lab.engine("m1");
    leads(&first).await;
    // Two machines have the same id: the second can't register.
    let (contact, seen) = watch::channel(None);
    let twin = lab.engine_in("m1", seen);
    for _ in 0..100 {
        pass(INTERVAL / 10).await;
        assert!(first.handle.is_leading() && !twin.handle.is_leading());
    }
    // The first has gone, and so the second gets in, is lost for a while, and comes back.
    let gone = Contact { since: Instant::now(), until: Instant::now(), after_gap: false };
    contact.send_replace(Some(gone));
    first.stop();
    pass(TTL).await;
    assert!(!twin.handle.is_leading());
    contact.send_replace(Some(Contact { until: Instant::now() + TTL, ..gone }));
    assert!(leads(&twin).await < AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn leader_that_is_cut_off_stops_acting_no_later_than_another_leads() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let (first, second) = two(&mut lab).await;
    first.line.set(Mode::Cut);
    eventually("the second leads", async || {
        assert!(!(first.handle.is_leading() && second.handle.is_leading()), "two lead");
        second.handle.is_leading()
    })
    .await;
    assert!(!first.handle.is_leading());
    first.line.set(Mode::Open);
    eventually("the first knows", async || first.handle.leader() == Some(id("m2"))).await;
    pass(3 * TTL).await;
    assert!(second.handle.is_leading() && !first.handle.is_leading());
}

#[tokio::test(start_paused = true)]
async fn what_a_deposed_leader_still_had_on_the_way_changes_nothing() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let first = lab.engine("m1");
    leads(&first).await;
    first.line.set(Mode::Held);
    lab.create("u.service", "").await;
    eventually("a decision is on the way", async || !first.line.held().is_empty()).await;
    eventually("it gives up", async || !first.handle.is_leading()).await;
    first.kill();
    let other = LeaderRecord { machine: id("m2"), version: VERSION };
    eventually("the lease is free", async || {
        lab.registry.acquire_lead(&other, TTL).await.unwrap().is_some()
    })
    .await;
    // Unit and machine are as they were decided on; only the lease has changed hands.
    let before = lab.record("u.service").await;
    for txn in first.line.held() {
        assert!(!lab.store.commit(txn).await.unwrap().applied);
    }
    assert_eq!(lab.record("u.service").await, before);
    assert_eq!(lab.target("u.service").await, "");
}

#[tokio::test(start_paused = true)]
async fn lease_of_an_older_engine_is_stolen_and_waited_out() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    lab.create("u.service", "").await;
    let old = LeaderRecord { machine: id("m9"), version: 0 };
    lab.registry.acquire_lead(&old, TTL).await.unwrap().unwrap();
    let engine = lab.engine("m1");
    eventually("the lease is stolen", async || engine.handle.leader() == Some(id("m1"))).await;
    pass(TTL - 2 * AT_ONCE).await;
    assert_eq!(lab.target("u.service").await, "", "the old one may still be acting");
    assert!(!engine.handle.is_leading());
    assert!(lab.scheduled("u.service", "m1").await < 3 * AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn engine_of_a_lower_version_never_leads() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let engine = lab.engine("m1");
    leads(&engine).await;
    lab.registry.raise_engine_version(VERSION + 1).await.unwrap();
    eventually("it steps down", async || !engine.handle.is_leading()).await;
    let newer = LeaderRecord { machine: id("m2"), version: VERSION + 1 };
    let term = lab.registry.acquire_lead(&newer, TTL).await.unwrap();
    lab.registry.release_lead(term.expect("it gave up the lease")).await.unwrap();
    pass(3 * TTL).await;
    assert!(!engine.handle.is_leading());
    assert_eq!(engine.handle.leader(), None);
}

#[tokio::test(start_paused = true)]
async fn outage_of_the_store_moves_nothing_and_ends_without_help() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let (first, second) = two(&mut lab).await;
    for unit in ["a.service", "b.service"] {
        lab.create(unit, "").await;
        eventually("scheduled", async || !lab.target(unit).await.is_empty()).await;
    }
    let before = [lab.record("a.service").await, lab.record("b.service").await];
    lab.store.set_available(false);
    pass(Duration::from_secs(3600)).await;
    assert!(!first.handle.is_leading() && !second.handle.is_leading());
    lab.store.set_available(true);
    let took = eventually("somebody leads", async || {
        first.handle.is_leading() || second.handle.is_leading()
    })
    .await;
    assert!(took <= INTERVAL + AT_ONCE, "{took:?}");
    pass(TTL).await;
    assert_eq!([lab.record("a.service").await, lab.record("b.service").await], before);
    lab.set_desired_state("a.service", JobState::Inactive).await;
    lab.scheduled("a.service", "").await;
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_answers_why_a_unit_has_no_machine() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let (first, second) = two(&mut lab).await;
    lab.create("u.service", "MachineMetadata=disk=ssd").await;
    let unit = name("u.service");
    eventually("the leader has met it", async || {
        first.handle.why_not(unit.clone()).await.unwrap().is_some_and(|why| why.len() == 2)
    })
    .await;
    assert_eq!(second.handle.why_not(unit.clone()).await, Err(NotLeading));
    first.stop();
    leads(&second).await;
    assert_eq!(first.handle.why_not(unit).await, Err(NotLeading));
}
