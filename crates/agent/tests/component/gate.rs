//! A way to the store on which one call, and all that follow for a while, come to nothing.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use fleet_registry::{Keys, Registry};
use fleet_store::{
    Changes, Lease, LeaseId, MemoryStore, Outcome, Range, Revision, Snapshot, Store, StoreError,
    Txn,
};
use tokio::time::{self, Instant};

/// How long a call waits for an answer that doesn't come.
const CALL: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Plan {
    /// How many calls are still let through.
    left: Option<usize>,
    /// How long nothing is, after that.
    length: Duration,
    shut: Option<(Instant, Instant)>,
}

/// See the module. Leases go on ending meanwhile, as they may in the moment that etcd is back.
pub(crate) struct Gate {
    store: MemoryStore,
    plan: Mutex<Plan>,
}

impl Gate {
    pub(crate) fn before(store: &MemoryStore) -> (Arc<Self>, Registry) {
        let gate = Arc::new(Self { store: store.clone(), plan: Mutex::default() });
        let registry = Registry::new(gate.clone(), Keys::new("/fleet").unwrap());
        (gate, registry)
    }

    /// Lets so many calls through from now on, and then nothing for a while.
    pub(crate) fn shut_after(&self, calls: usize, length: Duration) {
        *self.plan.lock().unwrap() = Plan { left: Some(calls), length, shut: None };
    }

    /// From when until when it was shut, or will be.
    pub(crate) fn shut(&self) -> Option<(Instant, Instant)> {
        self.plan.lock().unwrap().shut
    }

    async fn pass(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        let until = {
            let mut plan = self.plan.lock().unwrap();
            match plan.left {
                Some(0) => {
                    plan.left = None;
                    plan.shut = Some((now, now + plan.length));
                }
                Some(calls) => plan.left = Some(calls - 1),
                None => {}
            }
            plan.shut.map(|(_, until)| until).filter(|until| now < *until)
        };
        let Some(until) = until else { return Ok(()) };
        time::sleep_until(until.min(now + CALL)).await;
        Err(StoreError::Unavailable("the gate is shut".into()))
    }
}

#[async_trait]
impl Store for Gate {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.pass().await?;
        self.store.read(ranges, at).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.pass().await?;
        self.store.commit(txn).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        self.pass().await?;
        self.store.watch(ranges, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.pass().await?;
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.pass().await?;
        self.store.keep_alive(lease).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.pass().await?;
        self.store.time_to_live(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.pass().await?;
        self.store.revoke(lease).await
    }
}
