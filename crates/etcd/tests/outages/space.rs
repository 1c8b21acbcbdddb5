//! An etcd that is out of space, and says so.

use std::time::Duration;

use fleet_etcd::EtcdStore;
use fleet_store::{Op, Store, StoreError, Txn};
use fleet_testkit::EtcdServer;

use crate::helpers::{TIMEOUT, config, read};

#[tokio::test]
async fn an_etcd_out_of_space_takes_nothing_new_and_says_why() {
    let server = EtcdServer::start_with("http", &["--quota-backend-bytes=4194304"]);
    let config = fleet_etcd::EtcdConfig {
        request_timeout: Duration::from_secs(10),
        ..config(&[&server.endpoint()])
    };
    let store = EtcdStore::connect(config).unwrap();
    let status = store.status().await.unwrap();
    assert!(!status.is_out_of_space && status.size > 0, "{status:?}");

    let mut refused = None;
    for n in 0..32 {
        let key = format!("/{n}").as_str().into();
        let put = Op::Put { key, value: vec![b'x'; 1 << 20], lease: None };
        refused = store.commit(Txn { compare: vec![], then: vec![put] }).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert!(matches!(refused, Some(StoreError::OutOfSpace)), "{refused:?}");
    assert!(store.status().await.unwrap().is_out_of_space);
    assert!(matches!(store.grant(TIMEOUT).await, Err(StoreError::OutOfSpace)));
    assert!(read(&store).await.is_ok(), "reading goes on");
    let delete = Op::Delete("/0".into());
    store.commit(Txn { compare: vec![], then: vec![delete] }).await.expect("and deleting does");
}
