//! The seam to etcd: the [`Store`] trait with etcd's own semantics, [`MemoryStore`], and the
//! contract that every implementation keeps.
//!
//! The contract, and the switches with which a [`MemoryStore`] plays failures, come with the feature
//! `testing`.

#[cfg(feature = "testing")]
pub mod contract;
mod memory;
mod store;
mod types;

pub use memory::MemoryStore;
#[cfg(feature = "testing")]
pub use memory::Saved;
pub use store::{Store, StoreError};
pub use types::{
    Change, ChangeSink, Changes, Compare, Key, KeyValue, Lease, LeaseId, MAX_TXN_OPS, Op, Outcome,
    Range, RangeResult, Revision, Snapshot, Txn, WatchEvent, watch_channel,
};
