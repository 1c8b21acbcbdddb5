//! The switches with which tests play failures.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{MemoryStore, history::History, leases::Leases};
use crate::{Change, Range, Revision};

/// What a store held at some moment: its content and its leases.
#[derive(Clone)]
pub struct Saved {
    pub(super) history: History,
    pub(super) leases: Leases,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("revision", &self.history.revision).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Forgets what was before `revision`: reads and watches from before it fail from now on.
    ///
    /// Watches that have seen everything so far go on. A revision that isn't there yet counts
    /// as the newest.
    pub fn compact(&self, revision: Revision) {
        self.0.shared.now().compact(revision);
    }

    /// The changes in `ranges` from `from` on, as far as they are known still, without waiting.
    #[must_use]
    pub fn changes_since(&self, ranges: &[Range], from: Revision) -> Vec<Change> {
        self.0.shared.now().changes_since(ranges, from)
    }

    /// What the store holds now.
    #[must_use]
    pub fn save(&self) -> Saved {
        self.0.shared.now().save()
    }

    /// Plays a store that is restored from a backup, or from nothing: watches break, what was written
    /// since is lost, and revisions are given once more.
    pub fn restore(&self, saved: Saved) {
        self.0.shared.now().restore(saved, Instant::now());
        self.0.shared.due_earlier.notify_one();
    }

    /// Ends every lease, as a store does that was too slow to hear of renewals.
    pub fn end_leases(&self) {
        self.0.shared.now().end_leases();
    }

    /// Plays an outage (`false`) or ends one (`true`).
    ///
    /// During an outage every call answers [`StoreError::Unavailable`](crate::StoreError::Unavailable),
    /// running watches end with it, and no lease expires. After it every lease has its full time
    /// again, as it has under a newly elected leader of etcd.
    pub fn set_available(&self, available: bool) {
        let shared = &self.0.shared;
        shared.now().set_available(available, Instant::now());
        shared.due_earlier.notify_one();
    }

    /// Plays a store without room for anything new (`true`), or with it again: what would put a
    /// key, and every new lease, is answered [`StoreError::OutOfSpace`](crate::StoreError::OutOfSpace).
    pub fn set_full(&self, is_full: bool) {
        self.0.shared.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Applies the next transaction but answers
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), as when the connection breaks
    /// after the request was sent.
    pub fn lose_next_answer(&self) {
        self.0.shared.now().lose_next_answer();
    }

    /// Lets each read take this long (in whole milliseconds) from now on, as in a store that is
    /// slow or far away.
    pub fn set_read_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.0.shared.read_delay.store(millis, Ordering::Relaxed);
    }
}
