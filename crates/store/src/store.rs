//! The trait and its errors.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Changes, Lease, LeaseId, Outcome, Range, Revision, Snapshot, Txn};

/// A key-value store with the semantics of etcd v3.
///
/// Every call is bounded in time by the implementation; none waits for ever.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads all `ranges` at one revision: at `at` when given, else at the newest.
    ///
    /// There may be [`MAX_TXN_OPS`](crate::MAX_TXN_OPS) ranges. Long ranges are best read in
    /// pages of some thousand keys, all at the revision of the first.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when `at` is too old, or newer than anything the store has (as
    /// after it was restored from a backup): the answer to both is a new snapshot. The first
    /// revision is 1, so 0 is too old.
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError>;

    /// Applies `then` in one transaction if every comparison holds, and says whether they did.
    ///
    /// A transaction may put a key once at most and not delete it as well, and holds at most
    /// [`MAX_TXN_OPS`](crate::MAX_TXN_OPS) comparisons and as many operations.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLease`] when a put names a lease that is gone: nothing is applied.
    /// After [`StoreError::Unavailable`] it is unknown whether the transaction was applied.
    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError>;

    /// Follows the changes of everything in `ranges` from revision `from` on (inclusive).
    ///
    /// Changes within one range arrive in order and a revision is never split; the order
    /// between ranges is not promised. `limit` of a range is ignored, and ranges should not
    /// overlap: a change may be told once for each.
    ///
    /// A reader that is too slow holds up its own watch, and no other.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when `from` is too old: here or as the last item of `Changes`.
    /// [`StoreError::Refused`] when there are no ranges, or one that can't hold a key.
    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError>;

    /// Grants a lease of at least `ttl` (whole seconds; rounded up).
    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError>;

    /// Renews a lease once and returns the time it now has left.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLease`] when it has expired or was revoked.
    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError>;

    /// The time a lease has left, without renewing it; `None` when there is no such lease.
    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError>;

    /// Ends a lease and deletes its keys. A lease that is gone already is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;
}

/// What can go wrong with a store, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision asked for has been compacted, or isn't there: take a new snapshot.
    #[error("revision {} has been compacted", .0.0)]
    Compacted(Revision),
    /// The lease has expired or never was.
    #[error("lease {:x} does not exist", .0.0)]
    NoSuchLease(LeaseId),
    /// The store can't be reached or doesn't answer; a later try may work.
    #[error("store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store has no room for anything new. What is there can be read, and deleted.
    #[error(
        "etcd is out of space: nothing new can be written until it is compacted and defragmented and \
         its alarm is disarmed"
    )]
    OutOfSpace,
    /// The store refuses the request as it is; the same request will be refused again.
    #[error("store refused the request: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::OutOfSpace => true,
            Self::Compacted(_) | Self::NoSuchLease(_) | Self::Refused(_) => false,
        }
    }
}
