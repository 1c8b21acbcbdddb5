//! Several endpoints, some of which are dead.

use std::time::Duration;

use fleet_etcd::EtcdStore;
use fleet_store::{Changes, Revision, Store};
use fleet_testkit::EtcdServer;
use tokio::time;

use crate::helpers::{
    TIMEOUT, connect, create, everything, is_unavailable, read, timed, until_it_works, write,
};

/// A connection is one descriptor of ours to the server's port; counted by the server.
fn connections(server: &EtcdServer) -> f64 {
    server.metric("process_open_fds").expect("etcd counts its descriptors")
}

#[tokio::test]
async fn a_dead_endpoint_costs_nothing() {
    let mut dead = EtcdServer::start();
    let alive = EtcdServer::start();
    dead.kill();
    for endpoints in [[dead.endpoint(), alive.endpoint()], [alive.endpoint(), dead.endpoint()]] {
        let store = connect(&[&endpoints[0], &endpoints[1]]);
        for key in ["/a", "/b"] {
            write(&store, key).await.unwrap();
        }
        assert!(store.watch(&[everything()], Revision(1)).await.is_ok());
    }
}

#[tokio::test]
async fn a_frozen_endpoint_is_left_for_the_next() {
    let servers = [EtcdServer::start(), EtcdServer::start()];
    let store = connect(&[&servers[0].endpoint(), &servers[1].endpoint()]);
    // Which of the two is in use? They are two clusters, so their data tells.
    write(&store, "/mark").await.unwrap();
    let is_marked = async |server: &EtcdServer| {
        read(&connect(&[&server.endpoint()])).await.unwrap().ranges[0].kvs.len() == 1
    };
    let used = usize::from(!is_marked(&servers[0]).await);
    servers[used].pause();

    let found = read(&store).await.unwrap();
    assert_eq!(found.ranges[0].kvs.len(), 0, "the other has answered");
    // From now on it is the preferred one: no call waits for the frozen one first.
    let (elapsed, ()) = timed(async {
        for _ in 0..20 {
            assert!(read(&store).await.is_ok());
        }
    })
    .await;
    assert!(elapsed < 20 * TIMEOUT, "{elapsed:?}");
    servers[used].resume();
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_not_sent_again() {
    let servers = [EtcdServer::start(), EtcdServer::start()];
    let store = connect(&[&servers[0].endpoint(), &servers[1].endpoint()]);
    write(&store, "/mark").await.unwrap();
    servers.iter().for_each(EtcdServer::pause);
    let (elapsed, result) = timed(write(&store, "/once")).await;
    servers.iter().for_each(EtcdServer::resume);
    assert!(is_unavailable(&result), "{result:?}");
    assert!(elapsed < TIMEOUT * 2, "it went to one endpoint only: {elapsed:?}");
}

#[tokio::test]
async fn all_calls_watches_and_leases_share_one_connection() {
    let server = EtcdServer::start();
    let store = connect(&[&server.endpoint()]);
    let before = connections(&server);
    let mut watches = Vec::new();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = store.clone();
        calls.spawn(async move {
            write(&store, &format!("/{n}")).await.unwrap();
            let lease = store.grant(TIMEOUT).await.unwrap().id;
            store.keep_alive(lease).await.unwrap();
            store.watch(&[everything()], Revision(1)).await.unwrap()
        });
    }
    while let Some(watch) = calls.join_next().await {
        watches.push(watch.unwrap());
    }
    // Asking makes a connection of its own, before as after.
    let opened = connections(&server) - before;
    assert!((1.0..=2.0).contains(&opened), "{opened} descriptors for {} watches", watches.len());
}

#[tokio::test]
async fn a_member_without_its_cluster_answers_nothing_and_breaks_its_watches() {
    let mut servers = EtcdServer::start_cluster(3);
    let store = connect(&[&servers[0].endpoint()]);
    write(&store, "/before").await.unwrap();
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    assert_eq!(changes.next().await.unwrap().len(), 1);

    servers.truncate(1);
    let end = time::timeout(10 * TIMEOUT, changes.next()).await.expect("the watch hangs silently");
    assert!(is_unavailable(&end), "{end:?}");
    for _ in 0..3 {
        assert!(is_unavailable(&write(&store, "/during").await));
        assert!(is_unavailable(&read(&store).await));
    }
}

#[tokio::test]
async fn the_loss_of_one_member_of_three_is_survived() {
    let mut servers = EtcdServer::start_cluster(3);
    let endpoints: Vec<String> = servers.iter().map(EtcdServer::endpoint).collect();
    let store = connect(&[&endpoints[0], &endpoints[1], &endpoints[2]]);
    write(&store, "/before").await.unwrap();
    for (lost, server) in servers.iter_mut().enumerate() {
        server.kill();
        until_it_works(&store).await;
        // The cluster may still be choosing a leader, and the answer be lost with the old one.
        let written = async {
            while let Err(error) = write(&store, &format!("/{lost}")).await {
                assert!(error.is_retryable(), "{error:?}");
            }
        };
        time::timeout(20 * TIMEOUT, written).await.expect("writes work again");
        until_it_works(&store).await;
        assert_eq!(read(&store).await.unwrap().ranges[0].kvs.len(), lost + 2);
        server.start_again();
    }
}

/// How long a watch with calls beside it may take to leave a frozen member: one call without an
/// answer and, where the frozen one led, an election, with room for a busy machine. A connection
/// that is silent is given up later by its pings alone.
const SOON: Duration = Duration::from_secs(6);

/// How long it may take without calls: by pings alone, with room for a busy machine.
const BY_PINGS: Duration = Duration::from_secs(15);

/// A store on three members and a watch of it, and which of the members it has its connection to.
async fn watched(servers: &[EtcdServer]) -> (EtcdStore, Changes, usize) {
    let endpoints: Vec<String> = servers.iter().map(EtcdServer::endpoint).collect();
    let before: Vec<f64> = servers.iter().map(connections).collect();
    let store = connect(&[&endpoints[0], &endpoints[1], &endpoints[2]]);
    let changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    let after = servers.iter().map(connections);
    let used = after.zip(before).position(|(after, before)| after > before).expect("it is used");
    (store, changes, used)
}

/// Writes through one of the members that are well; once, though an answer may be lost.
async fn write_elsewhere(servers: &[EtcdServer], frozen: usize, key: &str) {
    let well: Vec<String> = (0..servers.len())
        .filter(|member| *member != frozen)
        .map(|member| servers[member].endpoint())
        .collect();
    let store = connect(&[&well[0], &well[1]]);
    let written = async {
        while create(&store, key).await.is_err() {
            time::sleep(TIMEOUT / 20).await;
        }
    };
    time::timeout(20 * TIMEOUT, written).await.expect("the others do without it");
}

async fn expect(changes: &mut Changes, key: &str) {
    let event = changes.next().await.expect("the watch goes on");
    let keys: Vec<&str> = event.iter().map(|change| change.key().as_str()).collect();
    assert_eq!(keys, [key], "each change once");
}

#[tokio::test]
async fn watches_leave_a_frozen_member_with_the_call_that_has_no_answer() {
    let servers = EtcdServer::start_cluster(3);
    let (store, mut changes, used) = watched(&servers).await;
    write(&store, "/before").await.unwrap();
    expect(&mut changes, "/before").await;

    servers[used].pause();
    let beats = async {
        loop {
            let _ = read(&store).await;
            time::sleep(TIMEOUT / 5).await;
        }
    };
    let told = async {
        write_elsewhere(&servers, used, "/during").await;
        expect(&mut changes, "/during").await;
    };
    tokio::select! {
        told = time::timeout(SOON, told) => told.expect("it is told soon"),
        () = beats => {}
    }
    servers[used].resume();
    write(&store, "/after").await.unwrap();
    expect(&mut changes, "/after").await;
}

#[tokio::test]
async fn watches_leave_a_frozen_member_by_themselves_where_nobody_calls() {
    let servers = EtcdServer::start_cluster(3);
    let (store, mut changes, used) = watched(&servers).await;
    write(&store, "/before").await.unwrap();
    expect(&mut changes, "/before").await;
    servers[used].pause();
    write_elsewhere(&servers, used, "/during").await;
    let told = time::timeout(BY_PINGS, expect(&mut changes, "/during")).await;
    told.expect("it is told all the same");
    servers[used].resume();
}

#[tokio::test]
async fn a_watch_outlives_the_death_of_one_member_of_three_and_tells_everything_once() {
    let mut servers = EtcdServer::start_cluster(3);
    let (store, mut changes, used) = watched(&servers).await;
    write(&store, "/before").await.unwrap();
    expect(&mut changes, "/before").await;
    servers[used].kill();
    write_elsewhere(&servers, used, "/during").await;
    time::timeout(BY_PINGS, expect(&mut changes, "/during")).await.expect("the watch goes on");
    write(&store, "/after").await.unwrap();
    time::timeout(BY_PINGS, expect(&mut changes, "/after")).await.expect("and on");
}

#[tokio::test]
async fn a_watch_does_not_go_on_in_another_cluster() {
    let mut servers = [EtcdServer::start(), EtcdServer::start()];
    let store = connect(&[&servers[0].endpoint(), &servers[1].endpoint()]);
    write(&store, "/mark").await.unwrap();
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    expect(&mut changes, "/mark").await;
    let is_marked = async |server: &EtcdServer| {
        read(&connect(&[&server.endpoint()])).await.unwrap().ranges[0].kvs.len() == 1
    };
    let used = usize::from(!is_marked(&servers[0]).await);
    servers[used].kill();
    let end = time::timeout(BY_PINGS, changes.next()).await.expect("in time");
    assert!(matches!(end, Err(fleet_store::StoreError::Compacted(_))), "{end:?}");
}
