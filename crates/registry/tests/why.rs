//! Why a unit isn't running where it should, by what its machine says of it.

mod common;

use std::collections::BTreeMap;

use common::*;
use fleet_core::JobState::Launched;
use fleet_registry::{Decision, PublishedState, Start, Trouble, why};
use fleet_store::{Op, Store, Txn};

/// A world in which `a.service` is on `m1`, whose presence it returns as well.
async fn placed() -> (World, fleet_registry::Presence) {
    let world = World::new();
    let here = world.register("m1").await;
    let lead = world.lead().await;
    let seen = world.create("a.service", SLEEP, Launched).await;
    let target = fleet_registry::Target::from(Some((machine("m1"), here.created)));
    let decision = Decision { unit: seen.name, seen: seen.record, target, absent: None };
    world.registry.decide(&lead, &[decision]).await.unwrap().remove(0).unwrap();
    (world, here)
}

/// What is said of `a.service`: reason, message, and whether it is refused.
async fn said(world: &World) -> Option<(&'static str, String, bool)> {
    let unit = world.unit("a.service").await;
    let finding = why::pending(&world.registry, None, None, &unit).await?;
    let remark = &finding.remarks()[0];
    assert_eq!(remark.word(), finding.word());
    Some((remark.word(), remark.to_string(), remark.refused))
}

#[tokio::test]
async fn what_is_refused_counts_for_the_content_that_was() {
    let (world, here) = placed().await;
    for (refused, expected) in
        [(None, false), (Some(file(SLEEP).hash()), true), (Some(file(GLOBAL).hash()), false)]
    {
        let trouble = Trouble { error: "bad setting".into(), refused };
        let troubles = BTreeMap::from([(unit("a.service"), Some(trouble))]);
        world.registry.publish(&here, &troubles).await.unwrap();
        let message = "has not loaded it yet: bad setting".to_owned();
        assert_eq!(said(&world).await, Some(("not-loaded", message, expected)));
    }
}

/// Fleetds of two versions work side by side.
#[tokio::test]
async fn states_of_an_older_fleetd_say_nothing_of_a_start_and_those_of_a_newer_one_are_read() {
    let written = serde_json::to_value(published(Launched)).unwrap();
    assert_eq!(written.as_object().unwrap().len(), 5, "nothing is written of what isn't known");
    let mut newer = written.clone();
    newer["start"] = serde_json::json!({ "at": 7, "colour": "red" });
    let read: PublishedState = serde_json::from_value(newer).unwrap();
    assert_eq!(read.start, Some(Start { at: 7, ..Start::default() }));
    let read: PublishedState = serde_json::from_value(written).unwrap();
    assert_eq!(read, published(Launched));
}

#[tokio::test]
async fn a_content_that_its_record_does_not_speak_of_is_named() {
    let (world, _) = placed().await;
    let other = file(GLOBAL);
    let put = Op::Put {
        key: "/f/file/a.service".into(),
        value: other.to_text().into_bytes(),
        lease: None,
    };
    world.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    let unit = world.unit("a.service").await;
    let pending = why::pending(&world.registry, None, None, &unit).await.unwrap();
    assert_eq!(pending.word(), "content-differs");
    let (now, recorded) = (other.hash(), file(SLEEP).hash());
    assert_eq!(
        pending.to_string(),
        format!("its content has the hash {now}, its record says {recorded}")
    );
}
