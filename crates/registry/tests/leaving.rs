//! A machine has a unit until its agent has let it go, whatever else is written meanwhile.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use common::*;
use fleet_core::{
    JobState::{Inactive, Launched, Loaded},
    MachineId,
};
use fleet_registry::{
    Decision, Gone, Keys, Leadership, Leaving, Moot, Presence, Registry, RegistryError, Stale,
    Target, Versioned, why,
};
use fleet_store::{
    Key, MemoryStore, Op, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn,
};
use fleet_testkit::{Behind, Between};

const A: &str = "a.service";
const OTHER: &str = "[Service]\nExecStart=/bin/sleep 1\n";

async fn created(world: &World, id: &str) -> Revision {
    world.registry.machine(&machine(id)).await.unwrap().unwrap().created
}

async fn decide(world: &World, lead: &Leadership, target: Target) -> Result<(), RegistryError> {
    let seen = world.unit(A).await;
    let decision = Decision { unit: seen.name, seen: seen.record, target, absent: None };
    world.registry.decide(lead, &[decision]).await.unwrap().remove(0).map(drop)
}

async fn place(world: &World, lead: &Leadership, id: &str) -> Result<(), RegistryError> {
    let target = Some((machine(id), created(world, id).await)).into();
    decide(world, lead, target).await
}

async fn ask(world: &World, lead: &Leadership) {
    let asked = Target::Leaving(created(world, "m1").await);
    decide(world, lead, asked).await.unwrap();
}

async fn release(world: &World, presence: &Presence, gone: Gone) -> bool {
    let released = world.registry.release(presence, &[(unit(A), gone)]).await.unwrap();
    released.contains(&unit(A))
}

/// A unit on `m1`, launched.
async fn placed() -> (World, Presence, Leadership) {
    let world = World::new();
    let presence = world.register("m1").await;
    let lead = world.lead().await;
    world.create(A, SLEEP, Launched).await;
    place(&world, &lead, "m1").await.unwrap();
    (world, presence, lead)
}

/// The keys that say where the unit is, or is leaving.
async fn whereabouts(world: &World) -> Vec<String> {
    let is_one = |key: &String| ["schedule", "leaving"].iter().any(|kind| key.contains(kind));
    world.keys().await.into_iter().filter(is_one).collect()
}

async fn target(world: &World) -> Option<MachineId> {
    world.unit(A).await.record.value.machine
}

async fn entry(world: &World) -> Versioned<Leaving> {
    let range = Range::key(Key::from("/f/leaving/a.service"));
    let kv = world.store.read(&[range], None).await.unwrap().ranges.remove(0).kvs.remove(0);
    let value = serde_json::from_slice(&kv.value).unwrap();
    Versioned { value, revision: kv.mod_revision, created: kv.create_revision }
}

#[tokio::test]
async fn a_unit_moves_in_three_writes_and_has_its_machine_until_that_lets_it_go() {
    let (world, presence, lead) = placed().await;
    world.register("m2").await;
    ask(&world, &lead).await;
    let record = world.unit(A).await.record.value;
    assert!(record.leaving && record.machine == Some(machine("m1")), "{record:?}");
    let order = world.text("/f/schedule/m1/a.service").await.unwrap();
    assert!(order.contains(r#""desiredState":"launched","leaving":true"#), "{order}");
    assert!(release(&world, &presence, Gone::Gone).await);
    let record = world.unit(A).await.record.value;
    assert!(!record.leaving && record.machine.is_none(), "{record:?}");
    assert_eq!(whereabouts(&world).await, [""; 0]);
    place(&world, &lead, "m2").await.unwrap();
    assert_eq!(whereabouts(&world).await, ["/f/schedule/m2/a.service"]);
}

#[tokio::test]
async fn what_users_want_meanwhile_changes_nothing_of_where_it_is_and_new_content_judges_anew() {
    let (world, presence, lead) = placed().await;
    for (asked, wanted) in [(false, Inactive), (true, Launched), (true, Inactive), (true, Loaded)] {
        if asked {
            ask(&world, &lead).await;
        }
        world.registry.set_desired_state(&world.unit(A).await, wanted).await.unwrap();
        assert_eq!(target(&world).await, Some(machine("m1")));
        assert!(release(&world, &presence, Gone::Gone).await, "{asked} {wanted}");
        assert_eq!(world.unit(A).await.record.value.desired_state, wanted);
        world.registry.set_desired_state(&world.unit(A).await, Launched).await.unwrap();
        place(&world, &lead, "m1").await.unwrap();
    }
    // Wanted again in time it stays, and so it does when there is another content to be judged.
    world.registry.set_desired_state(&world.unit(A).await, Inactive).await.unwrap();
    world.registry.set_desired_state(&world.unit(A).await, Launched).await.unwrap();
    assert!(!release(&world, &presence, Gone::Gone).await);
    ask(&world, &lead).await;
    let seen = world.unit(A).await;
    world.registry.replace_unit(&seen, &file(OTHER), Launched).await.unwrap();
    assert!(!release(&world, &presence, Gone::Gone).await);
    let record = world.unit(A).await.record.value;
    assert!(!record.leaving && record.machine == Some(machine("m1")), "{record:?}");
    let order = world.text("/f/schedule/m1/a.service").await.unwrap();
    assert!(!order.contains("leaving"), "{order}");
}

#[tokio::test]
async fn a_destroyed_unit_goes_nowhere_else_until_its_machine_lets_it_go() {
    let (world, presence, lead) = placed().await;
    world.register("m2").await;
    let left = ["/f/leaving/a.service", "/f/schedule/m1/a.service"];
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    assert_eq!(whereabouts(&world).await, left);
    assert_eq!(world.registry.leaving(&unit(A)).await.unwrap(), Some(machine("m1")));
    world.create(A, OTHER, Launched).await;
    // Neither by an engine that hasn't heard of it, nor after it came and went once more.
    for _ in 0..2 {
        let refused = place(&world, &lead, "m2").await;
        assert!(matches!(refused, Err(RegistryError::Conflict(_))), "{refused:?}");
        assert_eq!(whereabouts(&world).await, left);
        world.registry.destroy_unit(&unit(A)).await.unwrap();
        world.create(A, OTHER, Launched).await;
    }
    assert!(release(&world, &presence, Gone::Gone).await);
    assert_eq!(whereabouts(&world).await, [""; 0]);
    place(&world, &lead, "m2").await.unwrap();
}

#[tokio::test]
async fn a_destroyed_unit_may_come_back_at_once_where_it_is() {
    let (world, presence, lead) = placed().await;
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    world.create(A, OTHER, Launched).await;
    let (id, leaving) = (machine("m1"), Some(entry(&world).await.revision));
    let target = Target::Machine { id, created: created(&world, "m1").await, leaving };
    decide(&world, &lead, target.clone()).await.unwrap();
    assert_eq!(whereabouts(&world).await, ["/f/schedule/m1/a.service"]);
    // What the agent knew before that is no longer so.
    assert!(!release(&world, &presence, Gone::Gone).await);
    assert_eq!(whereabouts(&world).await, ["/f/schedule/m1/a.service"]);
    // Another destruction is another entry.
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    world.create(A, OTHER, Launched).await;
    let stale = decide(&world, &lead, target).await;
    assert!(matches!(stale, Err(RegistryError::Conflict(_))), "{stale:?}");
}

#[tokio::test]
async fn an_older_fleetd_reads_the_orders_and_what_it_writes_is_read() {
    let (world, _presence, lead) = placed().await;
    ask(&world, &lead).await;
    let record = world.text("/f/unit/a.service").await.unwrap();
    let older = record.replace(r#","leaving":true"#, "");
    assert_ne!(record, older);
    let put = Op::Put { key: Key::from("/f/unit/a.service"), value: older.into(), lease: None };
    world.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    let record = world.unit(A).await.record.value;
    assert!(!record.leaving && record.machine == Some(machine("m1")), "{record:?}");
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    let order = world.text("/f/schedule/m1/a.service").await.unwrap();
    let hash = file(SLEEP).hash();
    assert_eq!(order, format!(r#"{{"hash":"{hash}","desiredState":"inactive","leaving":true}}"#));
    let leaving = world.text("/f/leaving/a.service").await.unwrap();
    assert_eq!(leaving, r#"{"machine":"m1"}"#);
}

#[tokio::test]
async fn a_name_that_is_global_now_leaves_by_staying() {
    let (world, presence, lead) = placed().await;
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    assert!(!release(&world, &presence, Gone::Stays).await, "it isn't there");
    world.create(A, SLEEP, Launched).await;
    assert!(!release(&world, &presence, Gone::Stays).await, "it isn't global");
    place(&world, &lead, "m1").await.unwrap_err();
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    world.create(A, GLOBAL, Launched).await;
    assert!(release(&world, &presence, Gone::Stays).await);
    assert_eq!(whereabouts(&world).await, [""; 0]);
    assert!(world.text("/f/global/a.service").await.is_some());
}

#[tokio::test]
async fn only_the_machine_itself_lets_go_and_only_while_it_is_the_one_that_registered() {
    let (world, presence, lead) = placed().await;
    let other = world.register("m2").await;
    ask(&world, &lead).await;
    assert!(release(&world, &other, Gone::Gone).await, "it has nothing to let go");
    assert_eq!(target(&world).await, Some(machine("m1")));
    world.registry.leave(&presence).await.unwrap();
    for again in [false, true] {
        if again {
            world.register("m1").await;
        }
        let refused = world.registry.release(&presence, &[(unit(A), Gone::Gone)]).await;
        assert!(matches!(refused, Err(RegistryError::PresenceLost(_))), "{refused:?}");
        assert_eq!(target(&world).await, Some(machine("m1")));
    }
}

#[tokio::test]
async fn an_order_nobody_stands_behind_goes_and_one_that_is_unclear_stays() {
    let world = World::new();
    let presence = world.register("m1").await;
    let order = "/f/schedule/m1/a.service";
    let write = async |key: &str, value: &str| {
        let put = Op::Put { key: Key::from(key), value: value.into(), lease: None };
        world.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    };
    let hash = file(SLEEP).hash();
    write(order, &format!(r#"{{"hash":"{hash}","desiredState":"inactive"}}"#)).await;
    write("/f/restart/m1/a.service", "{}").await;
    assert!(release(&world, &presence, Gone::Gone).await);
    assert_eq!(world.keys().await, ["/f/machine/m1"]);
    write(order, "{").await;
    assert!(!release(&world, &presence, Gone::Gone).await);
    write(order, &format!(r#"{{"hash":"{hash}","desiredState":"inactive"}}"#)).await;
    write("/f/unit/a.service", "{").await;
    assert!(!release(&world, &presence, Gone::Gone).await);
    assert_eq!(whereabouts(&world).await, [order]);
}

#[tokio::test]
async fn one_that_changed_meanwhile_costs_only_itself() {
    let world = World::new();
    let presence = world.register("m1").await;
    let lead = world.lead().await;
    let names: Vec<_> = (0..100).map(|n| unit(&format!("u{n:03}.service"))).collect();
    for name in &names {
        let seen = world.create(name.as_str(), SLEEP, Launched).await;
        let target = Some((machine("m1"), created(&world, "m1").await)).into();
        let decision = Decision { unit: seen.name, seen: seen.record, target, absent: None };
        world.registry.decide(&lead, &[decision]).await.unwrap().remove(0).unwrap();
        let seen = world.unit(name.as_str()).await;
        world.registry.set_desired_state(&seen, Inactive).await.unwrap();
    }
    let rival = Rival { store: world.store.clone(), name: "u050.service" };
    let registry = Registry::new(Arc::new(Behind(rival)), Keys::new("/f").unwrap());
    let all: Vec<_> = names.iter().map(|name| (name.clone(), Gone::Gone)).collect();
    let released = registry.release(&presence, &all).await.unwrap();
    assert_eq!(released.len(), 99);
    assert!(!released.contains(&unit("u050.service")));
    let kept = world.keys().await.into_iter().filter(|key| key.contains("schedule")).count();
    assert_eq!(kept, 1);
}

/// Wants a unit launched before every transaction that is about it.
struct Rival {
    store: MemoryStore,
    name: &'static str,
}

#[async_trait]
impl Between for Rival {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let its = format!("/f/unit/{}", self.name);
        if txn.then.iter().any(|op| matches!(op, Op::Put { key, .. } if key.as_str() == its)) {
            let registry = Registry::new(Arc::new(self.store.clone()), Keys::new("/f").unwrap());
            let seen = registry.unit(&unit(self.name)).await.unwrap().unwrap();
            let other = if seen.record.value.desired_state == Launched { Loaded } else { Launched };
            registry.set_desired_state(&seen, other).await.unwrap();
        }
        self.store.commit(txn).await
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It never arrives.
    Before,
    /// Its answer never does.
    After,
}

/// Lets one call go wrong, by its number.
struct Faulty {
    store: MemoryStore,
    left: AtomicUsize,
    fault: Fault,
}

impl Faulty {
    fn is_due(&self) -> bool {
        self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[async_trait]
impl Between for Faulty {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        if self.is_due() {
            return Err(StoreError::Unavailable("it is cut".into()));
        }
        self.store.read(ranges, at).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let (due, after) = (self.is_due(), matches!(self.fault, Fault::After));
        let outcome = if due && !after { None } else { Some(self.store.commit(txn).await) };
        match outcome {
            Some(outcome) if !due => outcome,
            _ => Err(StoreError::Unavailable("it is cut".into())),
        }
    }
}

#[tokio::test]
async fn a_release_that_is_cut_at_any_call_is_whole_or_not_and_is_made_again() {
    for (call, fault) in [1, 2, 3].into_iter().flat_map(|n| [(n, Fault::Before), (n, Fault::After)])
    {
        for destroyed in [false, true] {
            let (world, presence, lead) = placed().await;
            if destroyed {
                world.registry.destroy_unit(&unit(A)).await.unwrap();
            } else {
                ask(&world, &lead).await;
            }
            let before = world.keys().await;
            let (store, left) = (world.store.clone(), AtomicUsize::new(call));
            let faulty = Arc::new(Behind(Faulty { store, left, fault }));
            let registry = Registry::new(faulty, Keys::new("/f").unwrap());
            let first = registry.release(&presence, &[(unit(A), Gone::Gone)]).await;
            assert_eq!(first.is_err(), call < 3, "it is two calls: {call} {fault:?}");
            let between = world.keys().await;
            let is_done = call == 3 || (call == 2 && matches!(fault, Fault::After));
            assert_eq!(between != before, is_done, "{call} {fault:?}");
            assert!(release(&world, &presence, Gone::Gone).await);
            assert_eq!(whereabouts(&world).await, [""; 0]);
            if !destroyed {
                assert_eq!(target(&world).await, None);
            }
        }
    }
}

#[tokio::test]
async fn entries_are_forgotten_as_far_as_what_that_rests_on_holds() {
    type Row = (&'static str, fn(Revision) -> Stale, bool, bool, bool);
    let rows: [Row; 6] = [
        ("absent, and it is", |_| Stale::Absent, false, true, false),
        ("absent, but it has come back", |_| Stale::Absent, true, false, true),
        ("silent, and still the same", Stale::Silent, true, true, false),
        ("silent, but it came anew", |_| Stale::Silent(Revision(1)), true, false, true),
        ("placed elsewhere", |_| Stale::Elsewhere, true, true, false),
        ("no order, but there is one", |_| Stale::NoOrder, true, false, true),
    ];
    for (row, why, is_present, is_forgotten, has_order) in rows {
        let (world, presence, lead) = placed().await;
        let created = created(&world, "m1").await;
        world.registry.destroy_unit(&unit(A)).await.unwrap();
        if !is_present {
            world.registry.leave(&presence).await.unwrap();
        }
        let moot = Moot { unit: unit(A), seen: entry(&world).await, why: why(created) };
        let forgotten = world.registry.forget_leaving(&lead, &[moot]).await.unwrap();
        assert_eq!(forgotten.contains(&unit(A)), is_forgotten, "{row}");
        assert_eq!(world.text("/f/leaving/a.service").await.is_none(), is_forgotten, "{row}");
        assert_eq!(world.text("/f/schedule/m1/a.service").await.is_some(), has_order, "{row}");
    }
    let (world, _, lead) = placed().await;
    world.registry.destroy_unit(&unit(A)).await.unwrap();
    let delete = Op::Delete(Key::from("/f/schedule/m1/a.service"));
    world.store.commit(Txn { compare: vec![], then: vec![delete] }).await.unwrap();
    let moot = Moot { unit: unit(A), seen: entry(&world).await, why: Stale::NoOrder };
    world.registry.release_lead(lead.clone()).await.unwrap();
    let deposed = world.registry.forget_leaving(&lead, std::slice::from_ref(&moot)).await;
    assert!(matches!(deposed, Err(RegistryError::LeadershipLost)), "{deposed:?}");
    let lead = world.lead().await;
    assert_eq!(world.registry.forget_leaving(&lead, &[moot]).await.unwrap(), [unit(A)].into());
}

#[tokio::test]
async fn a_unit_that_waits_for_where_it_still_stops_says_so() {
    let (world, presence, lead) = placed().await;
    let told = async || why::pending(&world.registry, None, None, &world.unit(A).await).await;
    ask(&world, &lead).await;
    world.publish(&presence, A, Launched).await;
    let pending = told().await.unwrap();
    assert_eq!(pending.word(), "stopping");
    assert_eq!(pending.to_string(), "it is leaving machine m1, where it still stops");
    assert_eq!(pending.remarks()[0].machine, machine("m1"));
    assert_eq!(pending.remarks()[0].to_string(), "still stops it");

    world.registry.destroy_unit(&unit(A)).await.unwrap();
    world.create(A, OTHER, Launched).await;
    world.say_trouble(&presence, A, "no way").await;
    let pending = told().await.unwrap();
    assert_eq!(pending.to_string(), "it is leaving machine m1, where it still stops: no way");
    assert_eq!(pending.remarks()[0].to_string(), "still stops it: no way");
    world.registry.leave(&presence).await.unwrap();
    let pending = told().await.unwrap();
    assert_eq!(pending.to_string(), "it is leaving machine m1, which is not present");
    let put = Op::Put { key: Key::from("/f/leaving/a.service"), value: b"{".into(), lease: None };
    world.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    assert_eq!(told().await, None, "nobody knows, and nobody could be asked");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_released_for_a_machine_whose_lease_has_ended() {
    let (world, presence, lead) = placed().await;
    ask(&world, &lead).await;
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    let refused = world.registry.release(&presence, &[(unit(A), Gone::Gone)]).await;
    assert!(matches!(refused, Err(RegistryError::PresenceLost(_))), "{refused:?}");
}
