//! Something between a store and who uses it: a rival who is faster, an answer that is too large.

use std::time::Duration;

use async_trait::async_trait;
use fleet_store::{
    Changes, Lease, LeaseId, MemoryStore, Outcome, Range, Revision, Snapshot, Store, StoreError,
    Txn,
};

/// What happens on the way to a store; by itself nothing does.
#[async_trait]
pub trait Between: Send + Sync + 'static {
    /// The store behind it.
    fn store(&self) -> &MemoryStore;

    /// Reads.
    ///
    /// # Errors
    /// As [`Store::read`], or what else it is to be.
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.store().read(ranges, at).await
    }

    /// Commits.
    ///
    /// # Errors
    /// As [`Store::commit`], or what else it is to be.
    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.store().commit(txn).await
    }
}

/// A store with something in front of it.
#[derive(Debug)]
pub struct Behind<T>(
    /// What is in front.
    pub T,
);

#[async_trait]
impl<T: Between> Store for Behind<T> {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.0.read(ranges, at).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.0.commit(txn).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        self.0.store().watch(ranges, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.0.store().grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.0.store().keep_alive(lease).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.0.store().time_to_live(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.0.store().revoke(lease).await
    }
}
