//! What machines write: presence, states, metadata.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::*;
use fleet_core::JobState::{Launched, Loaded};
use fleet_registry::{
    Event, HostObstacle, MachineRecord, MetadataChange, Mirror, Model, PublishedState,
    RegistryError, Scope, Trouble,
};
use fleet_store::{LeaseId, Op, Store, StoreError, Txn};

#[tokio::test(start_paused = true)]
async fn presence_lasts_as_long_as_it_is_renewed() {
    let world = World::new();
    let presence = world.register("m1").await;
    world.publish(&presence, "a.service", Launched).await;
    for _ in 0..5 {
        tokio::time::sleep(TTL * 2 / 3).await;
        world.registry.beat(&presence).await.unwrap();
    }
    assert_eq!(world.keys().await, ["/f/machine/m1", "/f/state/a.service,m1"]);
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    assert_eq!(world.keys().await, [""; 0]);
    let late = world.registry.beat(&presence).await;
    assert!(matches!(late, Err(RegistryError::PresenceLost(_))), "{late:?}");
    let late = world
        .registry
        .publish(&presence, &BTreeMap::from([(unit("a.service"), Some(published(Loaded)))]))
        .await;
    assert!(matches!(late, Err(RegistryError::PresenceLost(_))), "{late:?}");
}

#[tokio::test]
async fn another_machine_with_the_same_id_is_refused_by_address() {
    let world = World::new();
    world.register("m1").await;
    let elsewhere = at("198.18.0.2", "other");
    let twin = world.registry.register(&machine("m1"), &elsewhere, TTL).await;
    let text = twin.unwrap_err().to_string();
    assert!(text.contains("machine m1 is present already, at \"198.18.0.1\""), "{text}");
}

#[tokio::test]
async fn an_entry_with_the_machines_own_address_may_be_of_an_earlier_boot() {
    let world = World::new();
    world.register("m1").await;
    for (address, is_earlier) in [("198.18.0.1", true), ("198.18.0.2", false), ("", false)] {
        let again = world.registry.register(&machine("m1"), &at(address, "other"), TTL).await;
        let found = matches!(again, Err(RegistryError::EarlierEntry(_)));
        assert_eq!(found, is_earlier, "{address:?}: {again:?}");
    }
}

/// A machine's record with this address and nonce.
fn at(address: &str, nonce: &str) -> MachineRecord {
    MachineRecord { public_ip: address.to_owned(), ..record(nonce) }
}

#[tokio::test]
async fn a_successor_adopts_entry_lease_and_states() {
    let world = World::new();
    let first = world.register("m1").await;
    world.publish(&first, "a.service", Launched).await;
    let before = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    let second = world.register("m1").await;
    assert_eq!(second, first);
    let after = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    assert_eq!(after, before, "nothing is written to say nothing new");

    let mut changed = record("m1");
    changed.version = "v3".to_owned();
    let third = world.registry.register(&machine("m1"), &changed, TTL).await.unwrap();
    assert_eq!(third, first);
    let after = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    assert_eq!((after.value, after.created), (changed, before.created));
    let candidates = [unit("a.service"), unit("b.service")];
    for (lease, expected) in [
        (None, &[unit("a.service")][..]),
        (Some(first.lease), &[unit("a.service")]),
        (Some(LeaseId(first.lease.0 + 1)), &[]),
    ] {
        let found = world
            .registry
            .published::<PublishedState>(&machine("m1"), lease, &candidates)
            .await
            .unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), expected, "{lease:?}");
    }
}

#[tokio::test]
async fn a_successor_with_another_ttl_starts_a_lease_of_its_own() {
    let world = World::new();
    let first = world.register("m1").await;
    world.publish(&first, "a.service", Launched).await;
    let second = world.registry.register(&machine("m1"), &record("m1"), TTL * 2).await.unwrap();
    assert!(second.lease != first.lease && second.ttl == TTL * 2);
    assert_eq!(world.keys().await, ["/f/machine/m1"], "its states are published anew");
}

#[tokio::test]
async fn a_present_machine_publishes_what_has_changed_about_it() {
    let world = World::new();
    let presence = world.register("m1").await;
    let before = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    world.registry.update_machine(&presence, &record("m1")).await.unwrap();
    let now = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    assert_eq!(now, before, "nothing is written to say nothing new");

    let mut moved = record("m1");
    moved.public_ip = "198.18.0.2".to_owned();
    world.registry.update_machine(&presence, &moved).await.unwrap();
    let now = world.registry.machine(&machine("m1")).await.unwrap().unwrap();
    assert_eq!((&now.value, now.created), (&moved, before.created));
    world.registry.leave(&presence).await.unwrap();
    assert_eq!(world.keys().await, [""; 0], "it hangs on the lease");

    world.register("m1").await;
    let late = world.registry.update_machine(&presence, &moved).await;
    assert!(matches!(late, Err(RegistryError::PresenceLost(_))), "{late:?}");
}

#[tokio::test]
async fn only_this_machines_state_is_withdrawn() {
    let world = World::new();
    let (one, two) = (world.register("m1").await, world.register("m2").await);
    for presence in [&one, &two] {
        world.publish(presence, "g.service", Launched).await;
    }
    let withdrawn = BTreeMap::from([(unit("g.service"), None::<PublishedState>)]);
    world.registry.publish(&one, &withdrawn).await.unwrap();
    assert_eq!(world.text("/f/state/g.service,m1").await, None);
    assert_eq!(
        world.text("/f/state/g.service,m2").await.unwrap(),
        r#"{"load":"loaded","active":"active","sub":"running","hash":"1c6fb6f3684bafb0c173d8b8b957ceff031180c1","claim":"launched"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_is_late_takes_nothing_away() {
    let world = World::new();
    let early = world.register("m1").await;
    world.publish(&early, "a.service", Launched).await;
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    let twin = world.registry.register(&machine("m1"), &record("twin"), TTL).await.unwrap();
    world.publish(&twin, "a.service", Launched).await;
    world.say_trouble(&twin, "a.service", "no").await;
    let before = world.keys().await;
    let late =
        world.registry.publish(&early, &[(unit("a.service"), None::<PublishedState>)].into()).await;
    assert!(matches!(late, Err(RegistryError::PresenceLost(_))), "{late:?}");
    let late = world.registry.publish(&early, &[(unit("a.service"), None::<Trouble>)].into()).await;
    assert!(matches!(late, Err(RegistryError::PresenceLost(_))), "{late:?}");
    assert_eq!(world.keys().await, before);
    // Whoever adopts an entry may withdraw what was published under it.
    let successor = world.registry.register(&machine("m1"), &record("twin"), TTL).await.unwrap();
    let longer = world.registry.register(&machine("m1"), &record("twin"), TTL * 2).await.unwrap();
    assert_eq!((successor.created, longer.created), (twin.created, twin.created));
    world
        .registry
        .publish(&longer, &[(unit("a.service"), None::<PublishedState>)].into())
        .await
        .unwrap();
    assert_eq!(world.keys().await, ["/f/machine/m1"]);
}

#[tokio::test]
async fn troubles_are_told_by_unit_and_end_with_their_machine() {
    let world = World::new();
    let (one, two) = (world.register("m1").await, world.register("m2").await);
    world.say_trouble(&one, "a.service", "no room").await;
    world.say_trouble(&two, "a.service", "no").await;
    world.say_trouble(&one, "a.service-b.service", "another's").await;
    let text = world.text("/f/trouble/a.service,m1").await.unwrap();
    assert_eq!(text, r#"{"error":"no room"}"#);
    let name = unit("a.service");
    let troubles = async |most| -> BTreeMap<_, Trouble> {
        world.registry.published_by_all(&unit("a.service"), most).await.unwrap()
    };
    let told = troubles(10).await;
    let errors: Vec<_> = told.iter().map(|(id, said)| (id.as_str(), &*said.error)).collect();
    assert_eq!(errors, [("m1", "no room"), ("m2", "no")]);
    assert_eq!(troubles(1).await.len(), 1);
    world.registry.publish(&one, &[(name.clone(), None::<Trouble>)].into()).await.unwrap();
    assert_eq!(world.registry.trouble(&name, &machine("m1")).await.unwrap(), None);
    assert!(world.registry.trouble(&name, &machine("m2")).await.unwrap().is_some());
    world.registry.leave(&two).await.unwrap();
    assert!(troubles(10).await.is_empty());
}

#[tokio::test]
async fn obstacles_are_the_clusters_to_see_and_end_with_their_machine() {
    #[derive(Debug, Default)]
    struct Found(BTreeMap<String, Option<String>>);
    impl Model for Found {
        fn apply(&mut self, event: Event) {
            if let Event::Obstacle(unit, machine, found) = event {
                self.0.insert(format!("{unit} on {machine}"), found.map(|found| found.reason));
            }
        }
    }
    let world = World::new();
    let (one, two) = (world.register("m1").await, world.register("m2").await);
    let taken = HostObstacle { reason: "taken".to_owned() };
    let news = BTreeMap::from([(unit("a.service"), Some(taken.clone()))]);
    let mut mirror: Mirror<Found> = Mirror::new(world.registry.clone(), Scope::Cluster);
    mirror.changed().await.unwrap();
    world.registry.publish(&one, &news).await.unwrap();
    let text = world.text("/f/obstacle/a.service,m1").await.unwrap();
    assert_eq!(text, r#"{"reason":"taken"}"#);
    mirror.changed().await.unwrap();
    assert_eq!(mirror.model().0, [("a.service on m1".to_owned(), Some("taken".to_owned()))].into());
    let names = [unit("a.service"), unit("b.service")];
    let lease = Some(one.lease);
    let found = world.registry.published(&one.machine, lease, &names).await.unwrap();
    assert_eq!(found, [(unit("a.service"), taken)].into());
    let of_two = world.registry.published::<HostObstacle>(&two.machine, None, &names).await;
    assert_eq!(of_two.unwrap(), BTreeMap::new());
    // Written by a fleet that knows more, it is an obstacle all the same.
    for (name, value) in [("b.service", r#"{"why":7}"#), ("c.service", "rubbish")] {
        let key = format!("/f/obstacle/{name},m2").into();
        let then = vec![Op::Put { key, value: value.into(), lease: Some(two.lease) }];
        world.store.commit(Txn { compare: Vec::new(), then }).await.unwrap();
    }
    while mirror.model().0.len() < 3 {
        mirror.changed().await.unwrap();
    }
    assert!(mirror.model().0.values().all(Option::is_some));
    world.registry.leave(&one).await.unwrap();
    while mirror.model().0["a.service on m1"].is_some() {
        mirror.changed().await.unwrap();
    }
}

#[tokio::test]
async fn metadata_outlives_the_machine_and_empty_hides() {
    let world = World::new();
    let change = |key: &str, value: &str| MetadataChange {
        machine: machine("m1"),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let changes = [change("disk", "hdd"), change("disk", "ssd"), change("region", "")];
    world.registry.change_metadata(&changes).await.unwrap();
    world.registry.change_metadata(&[]).await.unwrap();
    let presence = world.register("m1").await;
    let page = world.registry.machines_page(None, 10).await.unwrap();
    assert_eq!(page.items[0].metadata, BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]));
    world.registry.leave(&presence).await.unwrap();
    assert!(world.registry.machines_page(None, 10).await.unwrap().items.is_empty());
    assert_eq!(world.keys().await, ["/f/metadata/m1/disk", "/f/metadata/m1/region"]);
}

#[tokio::test]
async fn states_that_are_too_large_together_are_published_and_one_alone_costs_only_itself() {
    let world = World::new();
    let presence = world.register("m1").await;
    let state = |size: usize| {
        let mut state = published(Launched);
        state.systemd.sub = "x".repeat(size);
        Some(state)
    };
    let mut states: BTreeMap<_, _> =
        (0..100).map(|n| (unit(&format!("u{n:02}.service")), state(50_000))).collect();
    world.registry.publish(&presence, &states).await.unwrap();
    let names: Vec<_> = states.keys().cloned().collect();
    let found = async || -> BTreeMap<_, PublishedState> {
        world.registry.published(&machine("m1"), None, &names).await.unwrap()
    };
    assert_eq!(found().await.len(), 100);

    states.values_mut().for_each(|state| *state = None);
    states.insert(unit("u50.service"), state(2_000_000));
    let refused = world.registry.publish(&presence, &states).await;
    assert!(matches!(refused, Err(RegistryError::Store(StoreError::Refused(_)))), "{refused:?}");
    assert_eq!(found().await.into_keys().collect::<Vec<_>>(), [unit("u50.service")], "as it was");
}

#[tokio::test]
async fn registering_leaves_no_lease_behind_that_nobody_uses() {
    let world = World::new();
    let first = world.register("m1").await;
    let leases = async || {
        let next = world.store.grant(TTL).await.unwrap().id;
        world.store.revoke(next).await.unwrap();
        next.0 - first.lease.0
    };
    let twin = world.registry.register(&machine("m1"), &at("198.18.0.2", "other"), TTL).await;
    assert!(matches!(twin, Err(RegistryError::DuplicateMachine { .. })), "{twin:?}");
    assert_eq!(leases().await, 1, "a twin is refused before it is given one");
    world.register("m1").await;
    assert_eq!(leases().await, 2, "a successor adopts without one");
    // The store grants whole seconds: another lease has to tell, and goes again.
    let fraction = TTL - Duration::from_millis(500);
    let adopted = world.registry.register(&machine("m1"), &record("m1"), fraction).await.unwrap();
    assert_eq!(adopted, first);
    assert_eq!(leases().await, 4);
    for lease in 1..=4 {
        let left = world.store.time_to_live(LeaseId(first.lease.0 + lease)).await.unwrap();
        assert_eq!(left, None, "{lease}");
    }
}
