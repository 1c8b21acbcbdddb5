//! What the store in memory costs. `cargo bench -p fleet-store --bench memory`

use divan::Bencher;
use fleet_store::{Compare, Key, MAX_TXN_OPS, MemoryStore, Op, Range, Store, Txn};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

/// The keys there are.
const KEYS: usize = 100_000;

fn key(n: usize) -> Key {
    format!("/f/state/u{n:06}.service,m1").into()
}

fn put(n: usize) -> Op {
    Op::Put { key: key(n), value: vec![b'v'; 200], lease: None }
}

fn filled(runtime: &Runtime) -> MemoryStore {
    let store = MemoryStore::new();
    for first in (0..KEYS).step_by(MAX_TXN_OPS) {
        let then = (first..KEYS.min(first + MAX_TXN_OPS)).map(put).collect();
        runtime.block_on(store.commit(Txn { compare: vec![], then })).unwrap();
    }
    store
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[divan::bench]
fn read_a_key(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let store = filled(&runtime);
    let range = [Range::key(key(KEYS / 2))];
    bencher.bench_local(|| runtime.block_on(store.read(&range, None)).unwrap());
}

#[divan::bench(args = [100, 1000])]
fn read_some_of_many(bencher: Bencher<'_, '_>, limit: usize) {
    let runtime = runtime();
    let store = filled(&runtime);
    let prefix = Key::from("/f/state/");
    let range = [Range::prefix_after(&prefix, &key(KEYS / 2)).limit(limit)];
    bencher.bench_local(|| runtime.block_on(store.read(&range, None)).unwrap());
}

#[divan::bench(args = [1, MAX_TXN_OPS])]
fn commit(bencher: Bencher<'_, '_>, ops: usize) {
    let runtime = runtime();
    let store = filled(&runtime);
    let mut next = KEYS;
    bencher.bench_local(|| {
        let then = (next..next + ops).map(put).collect();
        let compare = (next..next + ops).map(|n| Compare::Absent(key(n))).collect();
        next += ops;
        assert!(runtime.block_on(store.commit(Txn { compare, then })).unwrap().applied);
    });
}
