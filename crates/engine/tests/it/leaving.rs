//! Units that leave living machines, under engines that come and go.

use fleet_core::JobState::{Inactive, Launched};
use fleet_store::{Key, Op, Store, Txn};

use crate::{
    fixture::name,
    lab::{INTERVAL, Lab, Mode, eventually, leads, pass},
};

const HERE: &str = "MachineMetadata=here=yes";

/// Waits until the machine of a unit is asked to let it go.
async fn asked(lab: &Lab, unit: &str) {
    eventually("it is asked to leave", async || lab.record(unit).await.value.leaving).await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_moves_whoever_leads_between_its_steps() {
    // The leader that is replaced after this many steps.
    for replaced in 0..3 {
        let mut lab = Lab::new();
        let from = lab.host("m1").await;
        lab.host("m2").await;
        lab.only_here("m1", "m2").await;
        let first = lab.engine("m1");
        leads(&first).await;
        let second = lab.engine("m2");
        let change = async |step| {
            if step == replaced {
                first.kill();
                leads(&second).await;
            }
        };
        lab.create("u.service", HERE).await;
        lab.scheduled("u.service", "m1").await;
        change(0).await;
        lab.only_here("m2", "m1").await;
        asked(&lab, "u.service").await;
        change(1).await;
        pass(3 * INTERVAL).await;
        assert_eq!(lab.target("u.service").await, "m1", "{replaced}: it still stops there");
        assert!(lab.let_go(&from, "u.service").await);
        change(2).await;
        lab.scheduled("u.service", "m2").await;
        assert!(!lab.record("u.service").await.value.leaving);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_to_leave_that_comes_too_late_is_refused() {
    let mut lab = Lab::new();
    let from = lab.host("m1").await;
    lab.host("m2").await;
    lab.only_here("m1", "m2").await;
    let engine = lab.engine("m1");
    lab.create("u.service", HERE).await;
    lab.scheduled("u.service", "m1").await;
    engine.line.set(Mode::Held);
    lab.only_here("m2", "m1").await;
    eventually("the order is on its way", async || !engine.line.held().is_empty()).await;
    lab.set_desired_state("u.service", Inactive).await;
    assert!(lab.let_go(&from, "u.service").await);
    lab.set_desired_state("u.service", Launched).await;
    engine.line.set(Mode::Open);
    lab.scheduled("u.service", "m2").await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_unloaded_and_wanted_again_stays_until_it_is_gone_and_is_let_go_without_an_engine() {
    let mut lab = Lab::new();
    let from = lab.host("m1").await;
    let engine = lab.engine("m1");
    lab.create("u.service", "").await;
    lab.scheduled("u.service", "m1").await;
    lab.host("m0").await; // it would go there now
    let before = lab.record("u.service").await.revision;
    lab.set_desired_state("u.service", Inactive).await;
    pass(3 * INTERVAL).await;
    lab.set_desired_state("u.service", Launched).await;
    pass(3 * INTERVAL).await;
    assert_eq!(lab.target("u.service").await, "m1");
    assert_eq!(lab.record("u.service").await.revision.0, before.0 + 3, "the machine came between");
    engine.kill();
    lab.set_desired_state("u.service", Inactive).await;
    assert!(lab.let_go(&from, "u.service").await);
    assert_eq!(lab.target("u.service").await, "");
}

#[tokio::test(start_paused = true)]
async fn a_unit_created_again_waits_for_the_machine_that_still_stops_the_old_one() {
    let mut lab = Lab::new();
    let from = lab.host("m1").await;
    let first = lab.engine("m1");
    lab.create("u.service", "").await;
    lab.scheduled("u.service", "m1").await;
    lab.host("m2").await;
    lab.create("other.service", "").await;
    lab.scheduled("other.service", "m2").await;
    lab.create("third.service", "").await;
    lab.scheduled("third.service", "m1").await;
    lab.registry.destroy_unit(&name("u.service")).await.unwrap();
    lab.create("u.service", HERE).await;
    lab.only_here("m2", "m1").await;
    pass(3 * INTERVAL).await;
    assert_eq!(lab.target("u.service").await, "");
    // Another leader knows it as well.
    let second = lab.engine("m2");
    first.kill();
    leads(&second).await;
    pass(3 * INTERVAL).await;
    assert_eq!(lab.target("u.service").await, "");
    assert!(lab.let_go(&from, "u.service").await);
    let took = lab.scheduled("u.service", "m2").await;
    assert!(took < INTERVAL / 10, "on change, not by timer: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_machine_that_is_gone_is_forgotten() {
    let mut lab = Lab::new();
    let from = lab.host("m1").await;
    let _engine = lab.engine("m1");
    lab.create("u.service", "").await;
    lab.create("v.service", "").await;
    lab.scheduled("u.service", "m1").await;
    lab.scheduled("v.service", "m1").await;
    lab.host("m2").await;
    lab.registry.destroy_unit(&name("u.service")).await.unwrap();
    lab.registry.destroy_unit(&name("v.service")).await.unwrap();
    pass(3 * INTERVAL).await;
    assert!(lab.has("leaving/u.service").await && lab.has("schedule/m1/u.service").await);
    lab.create("u.service", "").await;
    lab.leave(&from).await;
    lab.scheduled("u.service", "m2").await;
    for key in ["leaving/u.service", "leaving/v.service"] {
        eventually("it is forgotten", async || !lab.has(key).await).await;
    }
    assert!(!lab.has("schedule/m1/u.service").await && !lab.has("schedule/m1/v.service").await);
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_that_knew_nothing_of_it_left_behind_holds_up_nobody() {
    let mut lab = Lab::new();
    lab.host("m1").await;
    lab.host("m2").await;
    // It has placed and taken off a unit of that name, with the order that would have ended this.
    let put = |key: &str, value: &str| Op::Put {
        key: Key::from(format!("/test/{key}").as_str()),
        value: value.into(),
        lease: None,
    };
    let then = vec![put("leaving/u.service", r#"{"machine":"m2"}"#), put("leaving/v.service", "{")];
    lab.store.commit(Txn { compare: vec![], then }).await.unwrap();
    let _engine = lab.engine("m1");
    for unit in ["u.service", "v.service"] {
        lab.create(unit, "").await;
        eventually("it is placed", async || !lab.target(unit).await.is_empty()).await;
    }
    assert!(!lab.has("leaving/u.service").await && !lab.has("leaving/v.service").await);
}
