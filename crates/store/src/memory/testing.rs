//! The switches with which tests play failures.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::MemoryStore;
use crate::Revision;

impl MemoryStore {
    /// Forgets what was before `revision`: reads and watches from before it fail from now on.
    ///
    /// Watches that have seen everything so far go on. A revision that isn't there yet counts
    /// as the newest.
    pub fn compact(&self, revision: Revision) {
        self.0.shared.now().compact(revision);
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
