//! One etcd for all servers, and a prefix for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_testkit::EtcdServer;

/// How often a property is tried: enough to see whether etcd is any different.
pub(crate) const CASES: u32 = 8;

pub(crate) type TestStore = EtcdStore;

/// Keeps the etcd running.
pub(crate) type Keeper = Arc<EtcdServer>;

pub(crate) fn new() -> (TestStore, Keeper) {
    let server = EtcdServer::shared();
    let config = EtcdConfig {
        endpoints: vec![server.endpoint()],
        login: None,
        tls: Default::default(),
        request_timeout: Duration::from_secs(10),
    };
    (EtcdStore::connect(config).unwrap(), server)
}

/// Another one for each server.
pub(crate) fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/api-test/{}/", COUNT.fetch_add(1, Ordering::Relaxed))
}
