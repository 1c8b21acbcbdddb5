//! etcd's own authentication.

use etcd_client::{Client, ConnectOptions, Permission};
use fleet_etcd::{EtcdConfig, EtcdStore, Login};
use fleet_store::{Key, Range, Revision, Store, StoreError};
use fleet_testkit::EtcdServer;
use tokio::time;

use crate::helpers::{TIMEOUT, config, read, until_it_works, write};

/// A server that lets `fleet` have everything under `/fleet/`, and forgets logins after a
/// second without a request.
async fn guarded() -> EtcdServer {
    let server = EtcdServer::start_with("http", &["--auth-token-ttl=1", "--bcrypt-cost=4"]);
    let client = Client::connect([server.endpoint()], None).await.unwrap();
    let mut auth = client.auth_client();
    auth.user_add("root", "root", None).await.unwrap();
    auth.user_grant_role("root", "root").await.unwrap();
    auth.role_add("fleet").await.unwrap();
    let permission = Permission::read_write("/fleet/").with_prefix();
    auth.role_grant_permission("fleet", permission).await.unwrap();
    auth.user_add("fleet", "secret", None).await.unwrap();
    auth.user_grant_role("fleet", "fleet").await.unwrap();
    auth.auth_enable().await.unwrap();
    server
}

fn log_in(server: &EtcdServer, password: &str) -> EtcdStore {
    let login = Login { user: "fleet".into(), password: password.into() };
    let config = EtcdConfig { login: Some(login), ..config(&[&server.endpoint()]) };
    EtcdStore::connect(config).unwrap()
}

fn ours() -> [Range; 1] {
    [Range::prefix(&Key::from("/fleet/"))]
}

fn is_refused<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Refused(_)))
}

#[tokio::test]
async fn a_user_may_what_its_role_allows() {
    let server = guarded().await;
    let store = log_in(&server, "secret");
    write(&store, "/fleet/a").await.unwrap();
    let mut changes = store.watch(&ours(), Revision(1)).await.unwrap();
    assert_eq!(changes.next().await.unwrap().len(), 1);
    let lease = store.grant(TIMEOUT).await.unwrap().id;
    store.keep_alive(lease).await.unwrap();

    for refused in [is_refused(&write(&store, "/other").await), is_refused(&read(&store).await)] {
        assert!(refused);
    }
    let all = [Range::prefix(&Key::from("/"))];
    let watch = store.watch(&all, Revision(1)).await;
    assert!(is_refused(&watch), "{watch:?}");
    write(&store, "/fleet/b").await.unwrap();
}

#[tokio::test]
async fn wrong_or_missing_passwords_are_refused() {
    let server = guarded().await;
    let store = log_in(&server, "wrong");
    let result = write(&store, "/fleet/a").await;
    assert!(is_refused(&result), "{result:?}");
    let store = EtcdStore::connect(config(&[&server.endpoint()])).unwrap();
    let result = write(&store, "/fleet/a").await;
    assert!(is_refused(&result), "{result:?}");
}

#[tokio::test]
async fn an_expired_login_is_renewed() {
    let server = guarded().await;
    let store = log_in(&server, "secret");
    write(&store, "/fleet/a").await.unwrap();
    // Nothing can be asked about the token without using it, so this waits for time.
    time::sleep(3 * TIMEOUT).await;
    write(&store, "/fleet/b").await.unwrap();
    time::sleep(3 * TIMEOUT).await;
    store.watch(&ours(), Revision(1)).await.unwrap();
    time::sleep(3 * TIMEOUT).await;
    store.grant(TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_login_that_a_restart_or_a_new_role_made_stale_is_renewed() {
    let mut server = guarded().await;
    let store = log_in(&server, "secret");
    write(&store, "/fleet/a").await.unwrap();

    let options = ConnectOptions::new().with_user("root", "root");
    let root = Client::connect([server.endpoint()], Some(options)).await.unwrap();
    root.auth_client().role_add("another").await.unwrap();
    write(&store, "/fleet/b").await.unwrap();

    drop(root);
    server.kill();
    server.start_again();
    let _ = write(&store, "/fleet/c").await; // its answer may be lost with the old connection
    write(&store, "/fleet/d").await.unwrap();
    let snapshot = store.read(&ours(), None).await.unwrap();
    assert!(snapshot.ranges[0].kvs.iter().any(|kv| kv.key.as_str() == "/fleet/d"));
}

#[tokio::test]
async fn a_login_that_nobody_asks_for_does_no_harm() {
    let server = EtcdServer::start();
    let store = log_in(&server, "secret");
    until_it_works(&store).await;
    write(&store, "/fleet/a").await.unwrap();
}
