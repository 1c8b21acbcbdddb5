//! Units: each change is one transaction, and record, content and orders never disagree.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::*;
use fleet_core::JobState::{Inactive, Launched, Loaded};
use fleet_registry::{Decision, Gone, Keys, Registry, RegistryError};
use fleet_store::{Key, MemoryStore, Op, Outcome, Store, StoreError, Txn};
use fleet_testkit::{Behind, Between};

#[tokio::test]
async fn a_created_unit_is_read_back_and_refused_twice() {
    let world = World::new();
    let seen = world.create("a.service", SLEEP, Launched).await;
    assert_eq!((seen.file.to_text().as_str(), seen.current_state), (SLEEP, Inactive));
    assert_eq!(world.keys().await, ["/f/file/a.service", "/f/unit/a.service"]);
    assert_eq!(
        world.text("/f/unit/a.service").await.unwrap(),
        r#"{"hash":"1c6fb6f3684bafb0c173d8b8b957ceff031180c1","size":35,"desiredState":"launched"}"#
    );
    let twice = world.registry.create_unit(&unit("a.service"), &file(SLEEP), Inactive).await;
    assert!(matches!(twice, Err(RegistryError::Conflict(_))), "{twice:?}");
    assert_eq!(world.registry.unit(&unit("b.service")).await.unwrap(), None);
}

#[tokio::test]
async fn a_stale_view_changes_nothing() {
    let world = World::new();
    let seen = world.create("a.service", SLEEP, Inactive).await;
    world.registry.set_desired_state(&seen, Launched).await.unwrap();
    let stale = world.registry.set_desired_state(&seen, Loaded).await;
    assert!(matches!(stale, Err(RegistryError::Conflict(_))), "{stale:?}");
    let stale = world.registry.replace_unit(&seen, &file(GLOBAL), Loaded).await;
    assert!(matches!(stale, Err(RegistryError::Conflict(_))), "{stale:?}");
    assert_eq!(world.unit("a.service").await.record.value.desired_state, Launched);
}

#[tokio::test]
async fn setting_what_is_set_writes_nothing() {
    let world = World::new();
    let seen = world.create("a.service", SLEEP, Launched).await;
    world.registry.set_desired_state(&seen, Launched).await.unwrap();
    assert_eq!(world.unit("a.service").await, seen);
}

#[tokio::test]
async fn a_scheduled_unit_takes_its_orders_along() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    let seen = world.create("a.service", SLEEP, Launched).await;
    let created = world.registry.machine(&machine("m1")).await.unwrap().unwrap().created;
    let decision = Decision {
        unit: seen.name.clone(),
        seen: seen.record,
        target: Some((machine("m1"), created)).into(),
        absent: None,
    };
    let decided = world.registry.decide(&lead, &[decision]).await.unwrap();
    assert!(decided[0].is_ok(), "{decided:?}");
    let order = "/f/schedule/m1/a.service";
    assert!(world.text(order).await.unwrap().contains("launched"));

    let seen = world.unit("a.service").await;
    world.registry.set_desired_state(&seen, Inactive).await.unwrap();
    assert!(world.text(order).await.unwrap().contains("inactive"));

    let seen = world.unit("a.service").await;
    let other = "[Service]\nExecStart=/bin/sleep 1\n";
    world.registry.replace_unit(&seen, &file(other), Loaded).await.unwrap();
    assert!(world.text(order).await.unwrap().contains(&file(other).hash().to_string()));
    assert_eq!(world.unit("a.service").await.record.value.machine, Some(machine("m1")));

    let seen = world.unit("a.service").await;
    world.registry.replace_unit(&seen, &file(GLOBAL), Launched).await.unwrap();
    assert_eq!(world.text(order).await, None);
    assert!(world.text("/f/global/a.service").await.is_some());
    assert_eq!(world.unit("a.service").await.record.value.machine, None);

    let seen = world.unit("a.service").await;
    world.registry.replace_unit(&seen, &file(SLEEP), Launched).await.unwrap();
    assert_eq!(world.text("/f/global/a.service").await, None);
}

#[tokio::test]
async fn a_unit_that_is_reset_by_new_content_remembers_its_machine_until_it_has_one() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    let decide = async |target: Option<&str>| {
        let seen = world.unit("a.service").await;
        let created = world.registry.machine(&machine("m1")).await.unwrap().unwrap().created;
        let target = target.map(|id| (machine(id), created));
        let decision =
            Decision { unit: seen.name, seen: seen.record, target: target.into(), absent: None };
        world.registry.decide(&lead, &[decision]).await.unwrap().remove(0).unwrap();
    };
    let replace = async |text: &str, desired| {
        let seen = world.unit("a.service").await;
        world.registry.replace_unit(&seen, &file(text), desired).await.unwrap();
    };
    let set = async |desired| {
        let seen = world.unit("a.service").await;
        world.registry.set_desired_state(&seen, desired).await.unwrap();
    };
    let return_to = async || world.unit("a.service").await.record.value.return_to;
    let (m1, other) = (Some(machine("m1")), "[Service]\nExecStart=/bin/sleep 1\n");

    decide(Some("m1")).await;
    replace(other, Launched).await;
    assert_eq!(return_to().await, None, "it stays there");
    replace(SLEEP, Inactive).await;
    assert_eq!(return_to().await, m1);
    set(Launched).await;
    assert_eq!(return_to().await, None, "it hasn't left");

    replace(other, Inactive).await;
    decide(None).await;
    assert_eq!(return_to().await, m1);
    set(Loaded).await;
    set(Launched).await;
    assert_eq!(return_to().await, m1);
    assert!(world.text("/f/unit/a.service").await.unwrap().contains(r#""returnTo":"m1""#));
    decide(Some("m1")).await;
    assert_eq!(return_to().await, None, "it has come back");

    for end in [Inactive, Loaded] {
        replace(SLEEP, Inactive).await;
        decide(None).await;
        assert_eq!(return_to().await, m1);
        if end == Inactive {
            set(Inactive).await; // somebody unloads it: that is all
        } else {
            replace(other, end).await;
        }
        assert_eq!(return_to().await, None);
        set(Launched).await;
        decide(Some("m1")).await;
    }
    replace(GLOBAL, Inactive).await;
    assert_eq!(return_to().await, None, "global units go everywhere");
    set(Inactive).await;
}

#[tokio::test]
async fn destroying_leaves_nothing_behind() {
    let world = World::new();
    let presence = world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    world.create("g.service", GLOBAL, Launched).await;
    let seen = world.unit("a.service").await;
    let created = world.registry.machine(&machine("m1")).await.unwrap().unwrap().created;
    let target = Some((machine("m1"), created));
    let decision =
        Decision { unit: seen.name, seen: seen.record, target: target.into(), absent: None };
    world.registry.decide(&lead, &[decision]).await.unwrap().remove(0).unwrap();
    world.registry.destroy_unit(&unit("a.service")).await.unwrap();
    world.registry.destroy_unit(&unit("g.service")).await.unwrap();
    world.registry.release(&presence, &[(unit("a.service"), Gone::Gone)]).await.unwrap();
    world.registry.release_lead(lead).await.unwrap();
    world.registry.leave(&presence).await.unwrap();
    assert_eq!(world.keys().await, [""; 0]);
    let again = world.registry.destroy_unit(&unit("a.service")).await;
    assert!(matches!(again, Err(RegistryError::NoSuchUnit(_))), "{again:?}");
}

#[tokio::test]
async fn a_corrupt_record_is_an_error_to_read_and_can_be_destroyed() {
    let world = World::new();
    world.create("a.service", SLEEP, Launched).await;
    let write = |key: &str| Op::Put { key: Key::from(key), value: b"{".to_vec(), lease: None };
    let then = vec![write("/f/unit/a.service"), write("/f/schedule/m7/a.service")];
    world.store.commit(Txn { compare: vec![], then }).await.unwrap();
    let read = world.registry.unit(&unit("a.service")).await;
    assert!(matches!(read, Err(RegistryError::Corrupt { .. })), "{read:?}");
    world.registry.destroy_unit(&unit("a.service")).await.unwrap();
    let left = ["/f/leaving/a.service", "/f/schedule/m7/a.service"];
    assert_eq!(world.keys().await, left, "its machine has it until that says otherwise");
    let presence = world.register("m7").await;
    world.registry.release(&presence, &[(unit("a.service"), Gone::Gone)]).await.unwrap();
    world.registry.leave(&presence).await.unwrap();
    assert_eq!(world.keys().await, [""; 0]);
}

#[tokio::test]
async fn current_state_is_what_the_target_claims() {
    let world = World::new();
    let (here, there) = (world.register("m1").await, world.register("m2").await);
    let lead = world.lead().await;
    let seen = world.create("a.service", SLEEP, Launched).await;
    world.publish(&there, "a.service", Launched).await;
    let created = world.registry.machine(&machine("m1")).await.unwrap().unwrap().created;
    let target = Some((machine("m1"), created));
    let decision =
        Decision { unit: seen.name, seen: seen.record, target: target.into(), absent: None };
    world.registry.decide(&lead, &[decision]).await.unwrap().remove(0).unwrap();
    assert_eq!(world.unit("a.service").await.current_state, Inactive, "only m2 has said anything");
    world.publish(&here, "a.service", Loaded).await;
    assert_eq!(world.unit("a.service").await.current_state, Loaded);
    world.publish(&here, "a.service", Launched).await;
    let seen = world.unit("a.service").await;
    assert_eq!(seen.current_state, Launched);
    let other = file("[Service]\nExecStart=/bin/sleep 200\n");
    world.registry.replace_unit(&seen, &other, Launched).await.unwrap();
    assert_eq!(world.unit("a.service").await.current_state, Inactive, "that is its old content");
}

#[tokio::test]
async fn texts_come_for_those_that_exist() {
    let world = World::new();
    let names: Vec<_> = (0..300).map(|n| unit(&format!("u{n}.service"))).collect();
    for name in names.iter().step_by(2) {
        world.registry.create_unit(name, &file(SLEEP), Inactive).await.unwrap();
    }
    let texts = world.registry.unit_texts(&names).await.unwrap();
    assert_eq!(texts.len(), 150);
    assert!(texts.values().all(|text| text == SLEEP.as_bytes()));
}

/// A store in which a rival changes `a.service` before each transaction.
struct FakeRival(World);

#[async_trait]
impl Between for FakeRival {
    fn store(&self) -> &MemoryStore {
        &self.0.store
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let seen = self.0.unit("a.service").await;
        let other = if seen.record.value.desired_state == Loaded { Inactive } else { Loaded };
        self.0.registry.set_desired_state(&seen, other).await.unwrap();
        self.0.store.commit(txn).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_never_stays_the_same_is_not_destroyed_for_ever() {
    let world = World::new();
    world.create("a.service", SLEEP, Loaded).await;
    let registry = Registry::new(Arc::new(Behind(FakeRival(world))), Keys::new("/f").unwrap());
    let refused = registry.destroy_unit(&unit("a.service")).await;
    assert!(matches!(refused, Err(RegistryError::Conflict(_))), "{refused:?}");
}
