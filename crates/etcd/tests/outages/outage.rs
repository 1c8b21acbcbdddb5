//! One member that is frozen, killed or not there yet.

use std::time::Duration;

use fleet_store::{Changes, Revision, Store, StoreError};
use fleet_testkit::EtcdServer;
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinSet, time};

use crate::helpers::{
    TIMEOUT, connect, everything, is_unavailable, read, timed, until_it_works, write,
};

/// How long a watch on a peer that went silent may take to notice: the pause before a ping and
/// the time for its answer, with room for a busy machine.
const NOTICE: Duration = Duration::from_secs(15);

/// Much more than a call may take, which is a second, and much less than it takes to give up a
/// connection that is silent: a busy machine may be slow, and must not be taken for a hang.
const IN_TIME: Duration = Duration::from_secs(6);

/// Waits for the change of `key`, from a watch that is well.
async fn expect_change(changes: &mut Changes, key: &str) {
    let event = time::timeout(10 * TIMEOUT, changes.next()).await.expect("in time").unwrap();
    let keys: Vec<&str> = event.iter().map(|change| change.key().as_str()).collect();
    assert_eq!(keys, [key]);
}

#[tokio::test]
async fn a_store_can_be_made_before_etcd_runs() {
    let mut server = EtcdServer::start();
    server.kill();
    let store = connect(&[&server.endpoint()]);
    let (elapsed, result) = timed(read(&store)).await;
    assert!(is_unavailable(&result) && elapsed < IN_TIME, "{elapsed:?}: {result:?}");

    server.start_again();
    until_it_works(&store).await;
}

#[tokio::test]
async fn calls_to_a_frozen_etcd_end_in_time_and_work_when_it_wakes() {
    let server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    write(&store, "/before").await.unwrap();
    let lease = store.grant(60 * TIMEOUT).await.unwrap().id;

    server.pause();
    let ranges = [everything()];
    let calls = async {
        tokio::join!(
            timed(read(&store)),
            timed(write(&store, "/during")),
            timed(store.watch(&ranges, Revision(1))),
            timed(store.grant(TIMEOUT)),
            timed(store.keep_alive(lease)),
            timed(store.time_to_live(lease)),
        )
    };
    let (read, write, watch, grant, keep_alive, ttl) = calls.await;
    for (call, elapsed, failed) in [
        ("read", read.0, is_unavailable(&read.1)),
        ("write", write.0, is_unavailable(&write.1)),
        ("watch", watch.0, is_unavailable(&watch.1)),
        ("grant", grant.0, is_unavailable(&grant.1)),
        ("keep_alive", keep_alive.0, is_unavailable(&keep_alive.1)),
        ("time_to_live", ttl.0, is_unavailable(&ttl.1)),
    ] {
        assert!(failed && elapsed < IN_TIME, "{call}: failed {failed} after {elapsed:?}");
    }

    server.resume();
    until_it_works(&store).await;
    store.keep_alive(lease).await.unwrap();
}

#[tokio::test]
async fn a_watch_outlives_a_short_freeze() {
    let server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    write(&store, "/before").await.unwrap();
    expect_change(&mut changes, "/before").await;

    server.pause();
    assert!(is_unavailable(&read(&store).await));
    server.resume();
    until_it_works(&store).await;
    write(&store, "/after").await.unwrap();
    expect_change(&mut changes, "/after").await;
}

#[tokio::test]
async fn a_watch_on_a_frozen_etcd_breaks() {
    let server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    write(&store, "/before").await.unwrap();
    expect_change(&mut changes, "/before").await;

    server.pause();
    let end = time::timeout(NOTICE, changes.next()).await.expect("the watch hangs silently");
    assert!(is_unavailable(&end), "{end:?}");
    server.resume();
    until_it_works(&store).await;
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    expect_change(&mut changes, "/before").await;
}

#[tokio::test]
async fn an_idle_watch_is_not_hung_up_on_for_pinging() {
    let server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    // Long enough for more pings than etcd tolerates when they come too fast.
    let silence = time::timeout(4 * Duration::from_secs(7), changes.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    write(&store, "/after").await.unwrap();
    expect_change(&mut changes, "/after").await;
}

#[tokio::test]
async fn a_killed_etcd_is_noticed_at_once_and_used_again_when_it_is_back() {
    let mut server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let written = write(&store, "/before").await.unwrap().revision;
    let mut changes = store.watch(&[everything()], written.next()).await.unwrap();

    server.kill();
    let (elapsed, end) = timed(changes.next()).await;
    assert!(is_unavailable(&end) && elapsed < IN_TIME, "{elapsed:?}: {end:?}");
    // None of them waits for its deadline, or they would take forty of these together.
    let (elapsed, ()) = timed(async {
        for _ in 0..20 {
            assert!(is_unavailable(&read(&store).await));
            assert!(is_unavailable(&write(&store, "/during").await));
        }
    })
    .await;
    assert!(elapsed < 20 * TIMEOUT, "{elapsed:?}");

    server.start_again();
    until_it_works(&store).await;
    let mut changes = store.watch(&[everything()], written).await.unwrap();
    expect_change(&mut changes, "/before").await;
    write(&store, "/after").await.unwrap();
    expect_change(&mut changes, "/after").await;
}

#[tokio::test]
async fn a_restart_between_two_calls_is_not_even_noticed() {
    let mut server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    write(&store, "/before").await.unwrap();
    for _ in 0..3 {
        server.kill();
        server.start_again();
        // Reads may be sent twice, so a connection that broke meanwhile costs nothing.
        assert_eq!(read(&store).await.unwrap().ranges[0].kvs.len(), 1);
    }
}

#[tokio::test]
async fn a_lease_is_renewed_over_one_stream_until_that_ends() {
    let mut server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let lease = store.grant(600 * TIMEOUT).await.unwrap().id;
    for _ in 0..5 {
        assert_eq!(store.keep_alive(lease).await.unwrap(), 600 * TIMEOUT);
    }
    let opened = "grpc_server_started_total{grpc_method=\"LeaseKeepAlive\",grpc_service=\"etcdserverpb.Lease\",\
         grpc_type=\"bidi_stream\"}";
    assert_eq!(server.metric(opened), Some(1.0));

    server.kill();
    server.start_again();
    until_it_works(&store).await;
    assert_eq!(store.keep_alive(lease).await.unwrap(), 600 * TIMEOUT);
    store.revoke(lease).await.unwrap();
    for _ in 0..2 {
        let gone = store.keep_alive(lease).await;
        assert!(matches!(gone, Err(StoreError::NoSuchLease(_))), "{gone:?}");
    }
}

#[tokio::test]
async fn whoever_does_not_answer_as_etcd_is_unavailable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    for address in [silent.local_addr().unwrap(), address] {
        let store = connect(&[&format!("http://{address}")]);
        let (elapsed, result) = timed(read(&store)).await;
        assert!(is_unavailable(&result) && elapsed < IN_TIME, "{elapsed:?}: {result:?}");
    }
}
