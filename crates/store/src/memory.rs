//! A complete store in memory, for tests, simulation and `fleetd --dev`.
//!
//! As strict as etcd (`architecture.md`, "Without etcd"): one revision per transaction that wrote
//! something, the same refusals, leases that expire, reads and watches at old revisions until they
//! are compacted.
//!
//! ```text
//! MemoryStore (cheap handle) ── Handle ─┬─ Shared ── Mutex<State>   history, leases, watchers
//!                                       └─ JoinSet: the expiry task, from the first grant on
//! Changes ── JoinSet: one follower task ── Shared
//! ```
//!
//! *The expiry task* is owned by the last handle. It sleeps until the next lease runs out,
//! ends it and so wakes the watches; a grant that is due earlier wakes it. It keeps time with
//! tokio's clock, so tests may pause it. Every call ends overdue leases first as well, so no
//! call ever sees one.
//!
//! *Followers* are described in `memory/watch.rs`. When the last handle is dropped all watches
//! break.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    Changes, Lease, LeaseId, Op, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn,
    watch_channel,
};

mod check;
mod history;
mod leases;
mod state;
#[cfg(feature = "testing")]
mod testing;
mod watch;

use state::State;
#[cfg(feature = "testing")]
pub use testing::Saved;

/// A complete and strict store in this process. Clones share their content.
#[derive(Clone)]
pub struct MemoryStore(Arc<Handle>);

/// What lives as long as there are handles.
struct Handle {
    shared: Arc<Shared>,
    expiry: Mutex<JoinSet<()>>,
}

/// What handles, the expiry task and the followers share.
struct Shared {
    state: Mutex<State>,
    /// Wakes the expiry task when a lease is due earlier than it knows.
    due_earlier: Notify,
    /// How long a read takes, in milliseconds.
    read_delay: AtomicU64,
    /// Whether it plays a store without room.
    is_full: AtomicBool,
}

impl Shared {
    /// Locks the state as it is now: without leases that are overdue.
    fn now(&self) -> MutexGuard<'_, State> {
        // Every change is made by code that can't fail half way, so a poisoned lock (a panic
        // in a test that held it) leaves nothing broken behind.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire(Instant::now());
        state
    }

    /// Nothing, unless the store plays full.
    fn has_room(&self) -> Result<(), StoreError> {
        let is_full = self.is_full.load(Ordering::Relaxed);
        if is_full { Err(StoreError::OutOfSpace) } else { Ok(()) }
    }

    /// The state, unless the store plays dead.
    fn available(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.now();
        if state.is_available() { Ok(state) } else { Err(unavailable()) }
    }
}

impl MemoryStore {
    /// An empty store, at revision 1 as etcd's.
    #[must_use]
    pub fn new() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            due_earlier: Notify::new(),
            read_delay: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        });
        Self(Arc::new(Handle { shared, expiry: Mutex::new(JoinSet::new()) }))
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.shared.now().revision()
    }

    /// Sees to it that the expiry task runs.
    fn keep_expiring(&self) {
        let mut tasks = self.0.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        // It only ends with the runtime that it was started on.
        while tasks.try_join_next().is_some() {}
        if tasks.is_empty() {
            tasks.spawn(expire_when_due(Arc::clone(&self.0.shared)));
        }
        self.0.shared.due_earlier.notify_one();
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.now().break_watches();
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        check::ranges(ranges)?;
        let delay = Duration::from_millis(self.0.shared.read_delay.load(Ordering::Relaxed));
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        self.0.shared.available()?.read(ranges, at)
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        check::txn(&txn)?;
        if txn.then.iter().any(|op| matches!(op, Op::Put { .. })) {
            self.0.shared.has_room()?;
        }
        self.0.shared.available()?.commit(txn)
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        check::watched(ranges)?;
        let watcher = self.0.shared.available()?.add_watcher(ranges.to_vec(), from)?;
        let (sink, changes) = watch_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch::Follower::new(Arc::clone(&self.0.shared), watcher).run(sink));
        Ok(changes.fed_by(tasks))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.0.shared.has_room()?;
        let lease = self.0.shared.available()?.grant(ttl, Instant::now())?;
        self.keep_expiring();
        Ok(lease)
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.0.shared.available()?.keep_alive(lease, Instant::now())
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        Ok(self.0.shared.available()?.time_to_live(lease, Instant::now()))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.0.shared.available()?.revoke(lease);
        Ok(())
    }
}

/// Ends leases when their time is up, for as long as the store lives.
async fn expire_when_due(shared: Arc<Shared>) {
    loop {
        let next = shared.now().next_expiry();
        let due = async {
            match next {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.due_earlier.notified() => {}
            () = due => {}
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the memory store plays an outage".into())
}
