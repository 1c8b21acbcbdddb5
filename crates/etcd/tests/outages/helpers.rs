//! What the tests on real servers share.

use std::time::Duration;

use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_store::{Compare, Key, Op, Outcome, Range, Snapshot, Store, StoreError, Txn};
use tokio::time::{self, Instant};

/// The request timeout of the tests: what an unanswered call costs them.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn config(endpoints: &[&str]) -> EtcdConfig {
    EtcdConfig {
        endpoints: endpoints.iter().map(|&url| url.to_owned()).collect(),
        login: None,
        tls: Certificates::default(),
        request_timeout: TIMEOUT,
    }
}

pub(crate) fn connect(endpoints: &[&str]) -> EtcdStore {
    EtcdStore::connect(config(endpoints)).unwrap()
}

pub(crate) fn everything() -> Range {
    Range::prefix(&Key::from("/"))
}

pub(crate) async fn write(store: &EtcdStore, key: &str) -> Result<Outcome, StoreError> {
    let put = Op::Put { key: key.into(), value: b"x".to_vec(), lease: None };
    store.commit(Txn { compare: vec![], then: vec![put] }).await
}

/// Writes a key unless it is there.
pub(crate) async fn create(store: &EtcdStore, key: &str) -> Result<Outcome, StoreError> {
    let put = Op::Put { key: key.into(), value: b"x".to_vec(), lease: None };
    store.commit(Txn { compare: vec![Compare::Absent(key.into())], then: vec![put] }).await
}

pub(crate) async fn read(store: &EtcdStore) -> Result<Snapshot, StoreError> {
    store.read(&[everything()], None).await
}

pub(crate) fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// How long a call takes, and what comes of it.
pub(crate) async fn timed<T>(call: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let result = call.await;
    (start.elapsed(), result)
}

/// Tries until the store answers.
pub(crate) async fn until_it_works(store: &EtcdStore) {
    let start = Instant::now();
    loop {
        match read(store).await {
            Ok(_) => return,
            Err(error) => {
                assert!(start.elapsed() < 20 * TIMEOUT, "still failing: {error:?}");
                time::sleep(TIMEOUT / 50).await;
            }
        }
    }
}
