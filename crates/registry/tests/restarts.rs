//! Restarts: asked for by one transaction, acknowledged by another, gone with their unit.

mod common;

use std::collections::BTreeMap;

use common::*;
use fleet_core::{
    JobState::{Launched, Loaded},
    MachineId,
};
use fleet_registry::{
    Decision, Event, Leadership, Mirror, Model, RegistryError, RestartError, Scope,
};
use fleet_store::Revision;

/// What a machine sees of the requests to it.
#[derive(Default)]
struct Requests(BTreeMap<String, Revision>);

impl Model for Requests {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Restart(_, name, Some(at)) => drop(self.0.insert(name.to_string(), at)),
            Event::Restart(_, name, None) => drop(self.0.remove(name.as_str())),
            _ => {}
        }
    }
}

async fn place(world: &World, lead: &Leadership, name: &str, id: Option<&str>) {
    let seen = world.unit(name).await;
    let target = match id {
        Some(id) => {
            let entry = world.registry.machine(&machine(id)).await.unwrap().unwrap();
            Some((machine(id), entry.created))
        }
        None => None,
    };
    let decision =
        Decision { unit: seen.name, seen: seen.record, target: target.into(), absent: None };
    world.registry.decide(lead, &[decision]).await.unwrap().remove(0).unwrap();
}

fn ids(ids: &[&str]) -> Vec<MachineId> {
    ids.iter().map(|id| machine(id)).collect()
}

async fn ask(world: &World, name: &str, id: Option<&str>) -> Result<Vec<MachineId>, RestartError> {
    let seen = world.unit(name).await;
    world.registry.ask_restart(&seen, id.map(machine).as_ref()).await
}

async fn pending(world: &World, name: &str) -> Vec<MachineId> {
    world.registry.pending_restarts(&world.unit(name).await, None).await.unwrap()
}

#[tokio::test]
async fn the_target_is_asked_and_acknowledges_what_it_saw() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    place(&world, &lead, "a.service", Some("m1")).await;
    assert_eq!(ask(&world, "a.service", None).await.unwrap(), ids(&["m1"]));
    assert_eq!(world.text("/f/restart/m1/a.service").await.unwrap(), "{}");

    let mut mirror: Mirror<Requests> =
        Mirror::new(world.registry.clone(), Scope::Machine(machine("m1")));
    mirror.changed().await.unwrap();
    let first = mirror.model().0["a.service"];
    assert_eq!(ask(&world, "a.service", Some("m1")).await.unwrap(), ids(&["m1"]));
    mirror.changed().await.unwrap();
    let second = mirror.model().0["a.service"];
    assert!(second > first);

    let acknowledge = async |at| {
        let requests = BTreeMap::from([(unit("a.service"), at)]);
        world.registry.acknowledge_restarts(&machine("m1"), &requests).await.unwrap();
    };
    acknowledge(first).await;
    assert_eq!(pending(&world, "a.service").await, ids(&["m1"]), "a newer request stays");
    acknowledge(second).await;
    assert_eq!(pending(&world, "a.service").await, ids(&[]));
    acknowledge(second).await;
}

#[tokio::test]
async fn one_stale_acknowledgement_holds_up_no_other() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    let mut requests = BTreeMap::new();
    for name in ["a.service", "b.service", "c.service"] {
        world.create(name, SLEEP, Launched).await;
        place(&world, &lead, name, Some("m1")).await;
        ask(&world, name, None).await.unwrap();
        requests.insert(unit(name), world.store.revision());
    }
    ask(&world, "b.service", None).await.unwrap();
    world.registry.acknowledge_restarts(&machine("m1"), &requests).await.unwrap();
    let left: Vec<String> = world.keys().await;
    let left: Vec<_> = left.iter().filter(|key| key.starts_with("/f/restart/")).collect();
    assert_eq!(left, ["/f/restart/m1/b.service"]);
}

#[tokio::test]
async fn only_launched_units_on_present_machines_are_restarted() {
    let world = World::new();
    let (one, _two) = (world.register("m1").await, world.register("m2").await);
    let lead = world.lead().await;
    let refused = async |name: &str, id| {
        let answer = ask(&world, name, id).await;
        assert!(matches!(answer, Err(RestartError::NotLaunched)), "{name}: {answer:?}");
    };
    world.create("a.service", SLEEP, Loaded).await;
    place(&world, &lead, "a.service", Some("m1")).await;
    refused("a.service", None).await;
    world.create("b.service", SLEEP, Launched).await;
    refused("b.service", None).await;
    place(&world, &lead, "b.service", Some("m1")).await;
    refused("b.service", Some("m2")).await;
    world.create("g.service", GLOBAL, Launched).await;
    refused("g.service", None).await;
    refused("g.service", Some("m1")).await;
    world.registry.leave(&one).await.unwrap();
    refused("b.service", None).await;
}

#[tokio::test]
async fn a_global_unit_is_restarted_where_it_is() {
    let world = World::new();
    world.create("g.service", GLOBAL, Launched).await;
    let presences = [world.register("m1").await, world.register("m2").await];
    world.register("m3").await;
    for presence in &presences {
        world.publish(presence, "g.service", Launched).await;
    }
    assert_eq!(ask(&world, "g.service", Some("m2")).await.unwrap(), ids(&["m2"]));
    assert_eq!(pending(&world, "g.service").await, ids(&["m2"]));
    let seen = world.unit("g.service").await;
    let of_m1 = world.registry.pending_restarts(&seen, Some(&machine("m1"))).await.unwrap();
    assert_eq!(of_m1, ids(&[]));
    assert_eq!(ask(&world, "g.service", None).await.unwrap(), ids(&["m1", "m2"]));
    world.registry.leave(&presences[0]).await.unwrap();
    assert_eq!(ask(&world, "g.service", None).await.unwrap(), ids(&["m2"]));
}

#[tokio::test]
async fn a_request_based_on_old_news_is_refused() {
    let world = World::new();
    world.register("m1").await;
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    place(&world, &lead, "a.service", Some("m1")).await;
    let seen = world.unit("a.service").await;
    world.registry.set_desired_state(&seen, Loaded).await.unwrap();
    let answer = world.registry.ask_restart(&seen, None).await;
    let conflict =
        |error: &RestartError| matches!(error, RestartError::Registry(RegistryError::Conflict(_)));
    assert!(answer.as_ref().is_err_and(conflict), "{answer:?}");
    assert_eq!(world.text("/f/restart/m1/a.service").await, None);
}

#[tokio::test]
async fn requests_go_with_the_unit() {
    let world = World::new();
    let (one, two) = (world.register("m1").await, world.register("m2").await);
    let lead = world.lead().await;
    world.create("a.service", SLEEP, Launched).await;
    place(&world, &lead, "a.service", Some("m1")).await;
    ask(&world, "a.service", None).await.unwrap();
    place(&world, &lead, "a.service", Some("m2")).await;
    assert_eq!(world.text("/f/restart/m1/a.service").await, None, "it moved");
    ask(&world, "a.service", None).await.unwrap();
    world.create("g.service", GLOBAL, Launched).await;
    for presence in [&one, &two] {
        world.publish(presence, "g.service", Launched).await;
    }
    ask(&world, "g.service", None).await.unwrap();
    world.registry.destroy_unit(&unit("a.service")).await.unwrap();
    world.registry.destroy_unit(&unit("g.service")).await.unwrap();
    assert!(!world.keys().await.iter().any(|key| key.starts_with("/f/restart/")));
}
