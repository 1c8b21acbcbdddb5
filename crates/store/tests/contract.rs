//! `MemoryStore` keeps the contract, on a clock that runs as fast as the tests.

use std::sync::Arc;

use fleet_store::{MemoryStore, Store, contract::compaction, store_contract};

store_contract!(tokio::test(start_paused = true), {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    (store, ())
});

#[tokio::test]
async fn reads_from_before_a_compaction_fail() {
    let store = MemoryStore::new();
    compaction::reads_from_before_fail(Arc::new(store.clone()), async |revision| {
        store.compact(revision);
    })
    .await;
}

#[tokio::test]
async fn watches_from_before_a_compaction_fail() {
    let store = MemoryStore::new();
    compaction::watches_from_before_fail(Arc::new(store.clone()), async |revision| {
        store.compact(revision);
    })
    .await;
}

#[tokio::test]
async fn watches_that_are_up_to_date_outlive_a_compaction() {
    let store = MemoryStore::new();
    compaction::watches_that_are_up_to_date_go_on(Arc::new(store.clone()), async |revision| {
        store.compact(revision);
    })
    .await;
}
