//! What is too large for one answer of the store is read piece by piece.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use common::*;
use fleet_core::JobState::{self, Inactive};
use fleet_registry::{Event, Keys, MetadataChange, Model, Registry, Scope, StateFilter};
use fleet_store::{Key, MemoryStore, Op, Range, Revision, Snapshot, Store, StoreError, Txn};
use fleet_testkit::{Behind, Between};

/// A store that refuses to give larger answers, as etcd's client does, and tells how large the
/// largest was.
struct FakeNarrow {
    store: MemoryStore,
    limit: usize,
    largest: AtomicUsize,
}

#[async_trait]
impl Between for FakeNarrow {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        let snapshot = self.store.read(ranges, at).await?;
        let kvs = snapshot.ranges.iter().flat_map(|range| &range.kvs);
        let size = kvs.map(|kv| kv.value.len()).sum::<usize>();
        if size > self.limit {
            return Err(StoreError::Refused("decoded message length too large".into()));
        }
        self.largest.fetch_max(size, Ordering::Relaxed);
        Ok(snapshot)
    }
}

/// Counts what it is told, and the bytes of metadata.
#[derive(Default)]
struct Count(BTreeMap<&'static str, usize>);

impl Model for Count {
    fn apply(&mut self, event: Event) {
        let (kind, count) = match event {
            Event::Unit(..) => ("units", 1),
            Event::Machine(..) => ("machines", 1),
            Event::Metadata(_, _, value) => ("metadata", value.map_or(0, |value| value.len())),
            _ => ("others", 1),
        };
        *self.0.entry(kind).or_default() += count;
    }
}

/// A world that is seen through a store with this limit.
fn narrow(limit: usize) -> (World, Arc<Behind<FakeNarrow>>, Registry) {
    let world = World::new();
    let narrow = FakeNarrow { store: world.store.clone(), limit, largest: AtomicUsize::new(0) };
    let narrow = Behind(narrow);
    let narrow = Arc::new(narrow);
    let registry = Registry::new(narrow.clone(), Keys::new("/f").unwrap());
    (world, narrow, registry)
}

async fn set(world: &World, id: &str, keys: usize, size: usize) {
    for key in 0..keys {
        let key = Key::from(format!("/f/metadata/{id}/k{key:04}"));
        let put = Op::Put { key, value: vec![b'v'; size], lease: None };
        world.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    }
}

#[tokio::test]
async fn a_picture_that_is_too_large_for_one_answer_is_read_in_several() {
    let (world, _, registry) = narrow(300_000);
    for machine in ["m1", "m2"] {
        world.register(machine).await;
        set(&world, machine, 20, 100_000).await;
    }
    for n in 0..300 {
        world.create(&format!("u{n}.service"), SLEEP, Inactive).await;
    }
    let picture: Count = registry.picture(&Scope::Cluster).await.unwrap();
    let expected = [("machines", 2), ("metadata", 4_000_000), ("units", 300)];
    assert_eq!(picture.0, BTreeMap::from(expected));
    assert_eq!(registry.machines_page(None, 10).await.unwrap().items[0].metadata.len(), 21);
}

#[tokio::test]
async fn what_the_store_never_gives_is_an_error() {
    let (world, _, registry) = narrow(1000);
    world.register("m1").await;
    set(&world, "m1", 1, 1001).await;
    let refused = registry.machines_page(None, 10).await.unwrap_err();
    assert!(!refused.is_unavailable() && refused.to_string().contains("too large"), "{refused}");
}

#[tokio::test]
async fn a_page_of_machines_reads_nothing_of_those_that_are_absent() {
    let (world, store, registry) = narrow(usize::MAX);
    for machine in ["m1", "m3"] {
        world.register(machine).await;
    }
    set(&world, "m2", 1000, 4096).await;
    let changes = [("m1", "a"), ("m3", "b")].map(|(id, key)| MetadataChange {
        machine: machine(id),
        key: key.to_owned(),
        value: "x".to_owned(),
    });
    registry.change_metadata(&changes).await.unwrap();
    let page = registry.machines_page(None, 10).await.unwrap();
    let keys =
        page.items.iter().map(|machine| machine.metadata.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys.collect::<Vec<_>>(), [["a", "region"], ["b", "region"]]);
    assert!(store.0.largest.load(Ordering::Relaxed) < 4096);
}

#[tokio::test]
async fn a_page_of_units_reads_no_more_files_than_it_shows() {
    let (world, store, registry) = narrow(usize::MAX);
    let text =
        format!("[Service]\n{}", format!("ExecStart=/bin/{}\n", "x".repeat(2000)).repeat(100));
    for n in 0..5 {
        world.create(&format!("u{n}.service"), &text, Inactive).await;
    }
    let mut after = None;
    for n in 0..5 {
        let page = registry.units_page(after.as_deref(), 100).await.unwrap();
        let names: Vec<&str> = page.items.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, [format!("u{n}.service")]);
        after = page.next;
    }
    assert_eq!(after, None);
    assert!(store.0.largest.load(Ordering::Relaxed) < 256 * 1024);
}

/// A store that tells what reads cost etcd 3.4: the keys between start and end of their ranges,
/// whatever the limit.
struct FakeWalked {
    store: MemoryStore,
    reads: AtomicUsize,
    keys: AtomicUsize,
}

#[async_trait]
impl Between for FakeWalked {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let whole: Vec<Range> = ranges.iter().map(|range| range.clone().limit(0)).collect();
        let walked = self.store.read(&whole, at).await?.ranges;
        let keys: usize = walked.iter().map(|range| range.kvs.len()).sum();
        self.keys.fetch_add(keys, Ordering::Relaxed);
        self.store.read(ranges, at).await
    }
}

#[tokio::test]
async fn a_page_costs_what_it_holds_once_its_list_was_read() {
    const UNITS: usize = 12_000;
    let store = MemoryStore::new();
    let seen = FakeWalked { store: store.clone(), reads: 0.into(), keys: 0.into() };
    let seen = Arc::new(Behind(seen));
    let registry = Registry::new(seen.clone(), Keys::new("/f").unwrap());
    let fill = async |from: usize, to: usize, op: fn(Key) -> Op| {
        let keys: Vec<Key> =
            (from..to).map(|n| format!("/f/state/u{n:05}.service,m1").into()).collect();
        for chunk in keys.chunks(128) {
            let then = chunk.iter().cloned().map(op).collect();
            store.commit(Txn { compare: vec![], then }).await.unwrap();
        }
    };
    let put: fn(Key) -> Op = |key| {
        let state = serde_json::to_vec(&published(JobState::Launched)).unwrap();
        Op::Put { key, value: state, lease: None }
    };
    // The items of all pages; the reads and the walked keys of the whole, and of the worst page.
    let list = async |limit: usize| {
        let (mut items, mut after, mut worst) = (0, None::<String>, (0, 0));
        let cost = || (seen.0.reads.load(Ordering::Relaxed), seen.0.keys.load(Ordering::Relaxed));
        let begun = cost();
        loop {
            let before = cost();
            let page = registry.states_page(&StateFilter::default(), after.as_deref(), limit).await;
            let page = page.unwrap();
            let (reads, keys) = cost();
            worst = (worst.0.max(reads - before.0), worst.1.max(keys - before.1));
            items += page.items.len();
            match page.next {
                Some(next) => after = Some(next),
                None => return (items, (cost().0 - begun.0, cost().1 - begun.1), worst),
            }
        }
    };

    fill(0, UNITS, put).await;
    let (items, (_, keys), _) = list(100).await;
    assert_eq!(items, UNITS);
    assert!(keys < 20 * UNITS, "a first time, in small pages: {keys}");
    let (items, _, (reads, keys)) = list(100).await;
    assert_eq!(items, UNITS);
    assert!(reads <= 2 && keys <= 3100, "a page takes {reads} reads, and {keys} keys");
    let (items, (reads, keys), _) = list(10_000).await;
    assert_eq!(items, UNITS);
    assert!(reads < 20 && keys < 2 * UNITS, "in large pages {reads} reads, and {keys} keys");

    // What is between two fences, and behind the last, grows a lot.
    fill(UNITS, 2 * UNITS, put).await;
    list(100).await;
    let (items, _, (reads, keys)) = list(100).await;
    assert_eq!(items, 2 * UNITS);
    assert!(reads <= 2 && keys <= 3100, "later a page takes {reads} reads, and {keys} keys");

    // Nearly all are gone.
    fill(10, 2 * UNITS - 10, Op::Delete).await;
    let (items, (reads, _), _) = list(100).await;
    assert_eq!(items, 20);
    assert!(reads < 10, "a list that has become short takes {reads} reads");
    let (_, (reads, _), _) = list(100).await;
    assert_eq!(reads, 1, "and one once that is known");
}
