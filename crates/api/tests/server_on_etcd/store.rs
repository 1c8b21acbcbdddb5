//! One etcd for all servers, and a prefix for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleet_etcd::{EtcdConfig, EtcdStore, Tls};
use fleet_store::{
    Changes, Lease, LeaseId, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn,
};
use fleet_testkit::EtcdServer;

/// A store on the etcd that it keeps running.
#[derive(Clone)]
pub(crate) struct TestStore {
    store: EtcdStore,
    _server: Arc<EtcdServer>,
}

pub(crate) fn new() -> TestStore {
    let server = EtcdServer::shared();
    let config = EtcdConfig {
        endpoints: vec![server.endpoint()],
        login: None,
        tls: Tls::default(),
        request_timeout: Duration::from_secs(10),
    };
    TestStore { store: EtcdStore::connect(config).unwrap(), _server: server }
}

/// Another one for each server.
pub(crate) fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/api-test/{}/", COUNT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl Store for TestStore {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.store.read(ranges, at).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.store.commit(txn).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        self.store.watch(ranges, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.store.keep_alive(lease).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.store.time_to_live(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }
}
