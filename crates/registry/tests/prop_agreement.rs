//! Whatever is done to the registry, in whatever order, record, content and orders agree.

mod common;

use common::*;
use fleet_core::JobState;
use fleet_registry::{Decision, Gone, Leaving, Registry, RegistryError, Target};
use fleet_store::{Key, Range, Revision, Store};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Create(u8, bool, JobState),
    Replace(u8, bool, JobState),
    Set(u8, JobState),
    Destroy(u8),
    Target(u8, Option<u8>),
    Ask(u8),
    Release(u8, u8),
    Leave(u8),
}

fn any_state() -> impl Strategy<Value = JobState> {
    prop_oneof![Just(JobState::Inactive), Just(JobState::Loaded), Just(JobState::Launched)]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3u8, any::<bool>(), any_state()).prop_map(|(u, g, s)| Act::Create(u, g, s)),
        (0..3u8, any::<bool>(), any_state()).prop_map(|(u, g, s)| Act::Replace(u, g, s)),
        (0..3u8, any_state()).prop_map(|(u, s)| Act::Set(u, s)),
        (0..3u8).prop_map(Act::Destroy),
        (0..3u8, proptest::option::of(0..2u8)).prop_map(|(u, m)| Act::Target(u, m)),
        (0..3u8).prop_map(Act::Ask),
        (0..3u8, 0..2u8).prop_map(|(u, m)| Act::Release(u, m)),
        (0..2u8).prop_map(Act::Leave),
    ]
}

async fn perform(world: &World, lead: &fleet_registry::Leadership, act: &Act) {
    let registry: &Registry = &world.registry;
    let name = |u: &u8| unit(&format!("u{u}.service"));
    let content = |global: &bool| file(if *global { GLOBAL } else { SLEEP });
    // Refusals are part of the game: only what is left behind counts.
    match act {
        Act::Create(u, global, state) => {
            let _ = registry.create_unit(&name(u), &content(global), *state).await;
        }
        Act::Replace(u, global, state) => {
            if let Some(seen) = registry.unit(&name(u)).await.unwrap() {
                registry.replace_unit(&seen, &content(global), *state).await.unwrap();
            }
        }
        Act::Set(u, state) => {
            if let Some(seen) = registry.unit(&name(u)).await.unwrap() {
                registry.set_desired_state(&seen, *state).await.unwrap();
            }
        }
        Act::Destroy(u) => {
            let _ = registry.destroy_unit(&name(u)).await;
        }
        Act::Target(u, to) => {
            let Some(seen) = registry.unit(&name(u)).await.unwrap() else { return };
            if seen.record.value.global {
                return; // the engine never places these
            }
            let leaving = leaving(world, seen.name.as_str()).await;
            let target = match to {
                Some(m) => {
                    let id = machine(&format!("m{m}"));
                    world.register(id.as_str()).await;
                    let created = registry.machine(&id).await.unwrap().unwrap().created;
                    let its = leaving.as_ref().filter(|(at, _)| *at == Some(id.clone()));
                    Target::Machine { id, created, leaving: its.map(|(_, seen)| *seen) }
                }
                None => Target::None,
            };
            let is_held =
                matches!(target, Target::Machine { leaving: None, .. }) && leaving.is_some();
            let decision = Decision { unit: seen.name, seen: seen.record, target, absent: None };
            let decided = registry.decide(lead, &[decision]).await.unwrap().remove(0);
            assert_eq!(matches!(decided, Err(RegistryError::Conflict(_))), is_held, "{decided:?}");
        }
        Act::Ask(u) => {
            let Some(seen) = registry.unit(&name(u)).await.unwrap() else { return };
            let Some(at) = seen.record.value.machine.clone() else { return };
            let Some(entry) = registry.machine(&at).await.unwrap() else { return };
            let target = Target::Leaving(entry.created);
            let decision = Decision { unit: seen.name, seen: seen.record, target, absent: None };
            registry.decide(lead, &[decision]).await.unwrap().remove(0).unwrap();
        }
        Act::Release(u, m) => {
            let presence = world.register(&format!("m{m}")).await;
            registry.release(&presence, &[(name(u), Gone::Gone)]).await.unwrap();
        }
        Act::Leave(m) => {
            let presence = world.register(&format!("m{m}")).await;
            registry.leave(&presence).await.unwrap();
        }
    }
}

/// The machine a destroyed unit is leaving, and the revision that said so.
async fn leaving(world: &World, name: &str) -> Option<(Option<fleet_core::MachineId>, Revision)> {
    let range = Range::key(Key::from(format!("/f/leaving/{name}").as_str()));
    let kv = world.store.read(&[range], None).await.unwrap().ranges.remove(0).kvs.pop()?;
    let found: Leaving = serde_json::from_slice(&kv.value).unwrap();
    Some((found.machine, kv.mod_revision))
}

async fn check(world: &World) {
    let mut expected = Vec::new();
    for name in ["u0.service", "u1.service", "u2.service"] {
        let Some((Some(at), _)) = leaving(world, name).await else { continue };
        let order = format!("/f/schedule/{at}/{name}");
        assert!(world.text(&order).await.unwrap().contains("leaving"), "{order}");
        let unit = world.registry.unit(&unit(name)).await.unwrap();
        let target = unit.and_then(|unit| unit.record.value.machine);
        assert_eq!(target, None, "nothing of its name is anywhere else");
        expected.extend([order, format!("/f/leaving/{name}")]);
    }
    for unit in world.registry.units_page(None, 100).await.unwrap().items {
        let record = unit.record.value;
        assert_eq!(record.hash, unit.file.hash());
        assert!(!(record.global && record.machine.is_some()));
        assert!(!(record.leaving && record.machine.is_none()));
        let returns = record.return_to.is_some() && record.desired_state != JobState::Inactive;
        assert!(!(returns && (record.global || record.machine.is_some())));
        let orders = match &record.machine {
            Some(machine) => Some(format!("/f/schedule/{machine}/{}", unit.name)),
            None => record.global.then(|| format!("/f/global/{}", unit.name)),
        };
        if let Some(key) = orders {
            let order = serde_json::to_string(&record.assignment()).unwrap();
            assert_eq!(world.text(&key).await.as_deref(), Some(order.as_str()), "{key}");
            expected.push(key);
        }
        expected.push(format!("/f/file/{}", unit.name));
        expected.push(format!("/f/unit/{}", unit.name));
    }
    expected.sort();
    let ours = |key: &String| !key.contains("/machine/") && !key.contains("/lease/");
    let found: Vec<String> = world.keys().await.into_iter().filter(ours).collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_contents_and_orders_agree(acts in proptest::collection::vec(any_act(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let lead = world.lead().await;
            for act in &acts {
                perform(&world, &lead, act).await;
                check(&world).await;
            }
        });
    }
}
