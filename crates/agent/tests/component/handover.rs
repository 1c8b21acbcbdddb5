//! A unit that had to go is said to be gone when it is, and not before, whatever goes wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleet_agent::fake::Operation;
use fleet_core::JobState::{Inactive, Launched, Loaded};
use fleet_store::{MemoryStore, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn};
use fleet_testkit::{Behind, Between, eventually};
use tokio::time::{self, Instant};

use crate::world::{Cluster, Host, RUNS, TTL, name, one_host};

const A: &str = "a.service";

/// Takes 3 s to stop.
fn slow() -> String {
    format!("{RUNS}ExecStop=/bin/sleep 3\n")
}

/// A host with a unit that runs and is slow to stop.
async fn running() -> (Cluster, Host) {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch(A, &slow()).await;
    cluster.shows(A, "active", Launched).await;
    daemon.kill().await;
    (cluster, host)
}

/// Waits until the unit may start elsewhere, and checks that it doesn't run here then.
async fn moves(cluster: &Cluster, host: &Host) {
    let m2 = "m2".parse().unwrap();
    let _other = match cluster.registry.machine(&m2).await.unwrap() {
        None => Some(Host::new("m2").boot(cluster).await),
        Some(_) => None,
    };
    eventually("it may start elsewhere", Duration::from_secs(200), || async {
        let record = cluster.registry.unit(&name(A)).await.unwrap().unwrap().record.value;
        let is_free = record.machine.is_none() && cluster.try_place(A, "m2").await;
        if is_free { Ok(()) } else { Err(format!("{record:?}")) }
    })
    .await;
    assert_eq!(host.manager.state_of(&name(A)).load, "not-found", "it is still here");
    assert!(!cluster.has("schedule/m1/a.service").await, "its order stands");
    assert!(!cluster.has("leaving/a.service").await);
}

/// Asks for the unit to leave, or destroys it and creates it anew.
async fn send_away(cluster: &Cluster, is_destroyed: bool) {
    if is_destroyed {
        cluster.destroy(A).await;
        cluster.submit(A, RUNS, Launched).await;
    } else {
        cluster.ask_to_leave(A).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_released_once_it_has_stopped_and_is_unloaded() {
    for is_destroyed in [false, true] {
        let (cluster, host) = running().await;
        let _daemon = host.boot(&cluster).await;
        let before = Instant::now();
        send_away(&cluster, is_destroyed).await;
        cluster.shows(A, "deactivating", Loaded).await;
        moves(&cluster, &host).await;
        let took = before.elapsed().as_secs_f64();
        assert!((3.0..3.5).contains(&took), "{took}");
        cluster.shows_nothing(A).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_unloaded_and_started_again_at_once_runs_here_again_when_it_has_stopped() {
    let (cluster, host) = running().await;
    let _daemon = host.boot(&cluster).await;
    cluster.want(A, Inactive).await;
    cluster.shows(A, "deactivating", Loaded).await;
    cluster.want(A, Launched).await;
    cluster.shows(A, "active", Launched).await;
    assert_eq!(host.manager.starts_of(&name(A)), 2);
    time::sleep(Duration::from_secs(60)).await;
    assert!(cluster.has("schedule/m1/a.service").await);
    cluster.want(A, Inactive).await;
    cluster.is_released(A).await;
    assert_eq!(host.manager.state_of(&name(A)).load, "not-found");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_can_not_be_stopped_is_here_until_it_can_and_says_why() {
    for is_destroyed in [false, true] {
        let (cluster, host) = running().await;
        let _daemon = host.boot(&cluster).await;
        host.manager.refuse(&name(A), Operation::Stop, "no way");
        send_away(&cluster, is_destroyed).await;
        cluster.tells(A, Some("no way")).await;
        let _other = Host::new("m2").boot(&cluster).await;
        for _ in 0..60 {
            time::sleep(Duration::from_secs(60)).await;
            assert!(!is_destroyed || !cluster.try_place(A, "m2").await);
            assert!(cluster.has("schedule/m1/a.service").await);
            assert_eq!(host.manager.state_of(&name(A)).active, "active");
        }
        host.manager.allow(&name(A));
        moves(&cluster, &host).await;
        cluster.tells(A, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleetd_that_is_killed_at_any_time_leaves_it_to_the_next() {
    for is_destroyed in [false, true] {
        for tenths in 0..=32 {
            let (cluster, host) = running().await;
            let daemon = host.boot(&cluster).await;
            send_away(&cluster, is_destroyed).await;
            time::sleep(Duration::from_millis(tenths * 100)).await;
            daemon.kill().await;
            time::sleep(Duration::from_secs(1)).await;
            let _daemon = host.boot(&cluster).await;
            moves(&cluster, &host).await;
        }
    }
}

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It hangs until fleetd is killed.
    Hangs,
    /// It never arrives, and fails.
    Before,
    /// Its answer is lost.
    After,
}

/// Lets one call go wrong, by its number.
struct Faulty {
    store: MemoryStore,
    calls: Arc<AtomicUsize>,
    at: usize,
    fault: Fault,
}

impl Faulty {
    /// Whether this call goes wrong.
    async fn is_due(&self) -> bool {
        let is_due = self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at;
        if is_due && self.fault == Fault::Hangs {
            std::future::pending::<()>().await;
        }
        is_due
    }
}

fn cut() -> StoreError {
    StoreError::Unavailable("the line is cut".into())
}

#[async_trait]
impl Between for Faulty {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        if self.is_due().await { Err(cut()) } else { self.store.read(ranges, at).await }
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let is_due = self.is_due().await;
        if is_due && self.fault == Fault::Before {
            return Err(cut());
        }
        let outcome = self.store.commit(txn).await;
        if is_due { Err(cut()) } else { outcome }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_a_kill_and_a_fault_at_every_call() {
    for is_destroyed in [false, true] {
        for fault in [Fault::Hangs, Fault::Before, Fault::After] {
            let mut at = 1;
            loop {
                let (cluster, host) = running().await;
                let (store, calls) = (cluster.store.clone(), Arc::new(AtomicUsize::new(0)));
                let faulty = Faulty { store, calls: Arc::clone(&calls), at, fault };
                let line = cluster.over(Arc::new(Behind(faulty)));
                let first = crate::world::Daemon::start(host.agent(&line));
                time::sleep(Duration::from_secs(1)).await;
                send_away(&cluster, is_destroyed).await;
                if fault == Fault::Hangs {
                    time::sleep(Duration::from_secs(5)).await;
                    first.kill().await;
                    let _next = host.boot(&cluster).await;
                    moves(&cluster, &host).await;
                } else {
                    moves(&cluster, &host).await;
                    drop(first);
                }
                if calls.load(Ordering::Relaxed) < at {
                    assert!(at > 6, "it was {at} calls only");
                    break;
                }
                at += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_etcd_nothing_is_released_and_after_it_at_once() {
    let (cluster, host) = running().await;
    let _daemon = host.boot(&cluster).await;
    cluster.ask_to_leave(A).await;
    cluster.shows(A, "deactivating", Loaded).await;
    cluster.store.set_available(false);
    host.has(A, "inactive").await;
    time::sleep(Duration::from_secs(3600)).await;
    host.has_files(&[A]).await;
    cluster.store.set_available(true);
    moves(&cluster, &host).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_taken_for_dead_says_nothing_of_what_is_elsewhere() {
    for is_destroyed in [false, true] {
        let (cluster, host) = running().await;
        let daemon = host.boot(&cluster).await;
        send_away(&cluster, is_destroyed).await;
        cluster.shows(A, "deactivating", Loaded).await;
        daemon.kill().await;
        time::sleep(TTL * 2).await; // its lease is gone, and so is what it has
        let other = Host::new("m2");
        let _other = other.boot(&cluster).await;
        if is_destroyed {
            assert!(!cluster.try_place(A, "m2").await, "nobody has said that it is dead");
        } else {
            cluster.place(A, None).await;
            cluster.place(A, Some("m2")).await;
            other.has(A, "active").await;
        }
        let _daemon = host.boot(&cluster).await;
        host.has_files(&[]).await;
        if is_destroyed {
            moves(&cluster, &host).await;
        }
        other.has(A, "active").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_created_again_here_runs_when_the_old_one_has_stopped() {
    let (cluster, host) = running().await;
    let _daemon = host.boot(&cluster).await;
    cluster.destroy(A).await;
    cluster.shows(A, "deactivating", Loaded).await;
    cluster.submit(A, RUNS, Launched).await;
    assert!(!cluster.try_place(A, "m1").await, "who decides has to know that it is leaving");
    let before = Instant::now();
    cluster.place(A, Some("m1")).await;
    assert!(!cluster.has("leaving/a.service").await);
    cluster.runs(A, RUNS).await;
    assert!((2..4).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_global_now_stays_and_its_old_order_goes() {
    let (cluster, host) = running().await;
    let daemon = host.boot(&cluster).await;
    daemon.kill().await;
    cluster.destroy(A).await;
    cluster.submit(A, &format!("{}[X-Fleet]\nGlobal=true\n", slow()), Launched).await;
    let _daemon = host.boot(&cluster).await;
    eventually("nothing is said of its leaving", Duration::from_secs(30), || async {
        let is_said = cluster.has("leaving/a.service").await;
        if is_said { Err("it is") } else { Ok(()) }
    })
    .await;
    assert!(!cluster.has("schedule/m1/a.service").await);
    cluster.shows(A, "active", Launched).await;
}
