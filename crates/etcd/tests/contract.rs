//! `EtcdStore` keeps the contract, on a real etcd.

use std::{sync::Arc, time::Duration};

use etcd_client::Client;
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_store::{Revision, Store, contract::compaction, store_contract};
use fleet_testkit::EtcdServer;

fn connect(server: &EtcdServer) -> Arc<dyn Store> {
    let config = EtcdConfig {
        endpoints: vec![server.endpoint()],
        login: None,
        tls: Certificates::default(),
        // The contract moves many megabytes, perhaps on a busy machine.
        request_timeout: Duration::from_secs(10),
    };
    Arc::new(EtcdStore::connect(config).unwrap())
}

store_contract!(tokio::test, {
    let server = EtcdServer::shared();
    (connect(&server), server)
});

/// A server of the test's own, a store on it, and how to compact it.
async fn subject() -> (EtcdServer, Arc<dyn Store>, impl AsyncFn(Revision)) {
    let server = EtcdServer::start();
    let store = connect(&server);
    let client = Client::connect([server.endpoint()], None).await.unwrap();
    let compact = async move |revision: Revision| {
        client.kv_client().compact(revision.0, None).await.unwrap();
    };
    (server, store, compact)
}

#[tokio::test]
async fn reads_from_before_a_compaction_fail() {
    let (_server, store, compact) = subject().await;
    compaction::reads_from_before_fail(store, compact).await;
}

#[tokio::test]
async fn watches_from_before_a_compaction_fail() {
    let (_server, store, compact) = subject().await;
    compaction::watches_from_before_fail(store, compact).await;
}

#[tokio::test]
async fn watches_that_are_up_to_date_outlive_a_compaction() {
    let (_server, store, compact) = subject().await;
    compaction::watches_that_are_up_to_date_go_on(store, compact).await;
}
