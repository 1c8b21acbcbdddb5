//! A machine that is back before the entry of its life before the boot has expired.

use std::time::Duration;

use fleet_agent::Agent;
use fleet_core::JobState::Launched;
use fleet_registry::{MachineRecord, Registry, Versioned};
use tokio::time::{self, Instant};

use crate::{
    gate::Gate,
    world::{Cluster, Daemon, Host, RUNS, TTL},
};

/// What a second without an answer may become.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// An agent of `m1` in the boot with this id, at this address.
fn agent(host: &Host, registry: &Registry, boot: &str, address: &str) -> Agent {
    host.agent_on(registry, |config| {
        boot.clone_into(&mut config.record.boot_id);
        address.clone_into(&mut config.record.public_ip);
    })
}

async fn entry(cluster: &Cluster) -> Option<Versioned<MachineRecord>> {
    cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap()
}

/// A cluster whose `m1` lost its power while it ran a unit.
async fn cut(boot: &str) -> Cluster {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let daemon = Daemon::start(agent(&host, &cluster.registry, boot, "198.18.0.1"));
    daemon.is_present().await;
    cluster.bring_up("a.service", RUNS).await;
    daemon.kill().await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_lost_power_takes_over_from_before_its_boot_at_once() {
    let cluster = cut("one").await;
    let before = entry(&cluster).await.unwrap();
    time::sleep(Duration::from_secs(2)).await;
    let (host, booted) = (Host::new("m1"), Instant::now());
    let daemon = Daemon::start(agent(&host, &cluster.registry, "two", "198.18.0.1"));
    daemon.is_present().await;
    assert!(booted.elapsed() < AT_ONCE, "{:?}", booted.elapsed());
    host.has("a.service", "active").await;
    cluster.shows("a.service", "active", Launched).await;
    let after = entry(&cluster).await.unwrap();
    assert_eq!((after.created, &*after.value.boot_id), (before.created, "two"), "never away");
    assert_eq!(after.value.asked_by, "");
    // Nothing of the life before is left to end.
    time::sleep(3 * TTL).await;
    assert_eq!(entry(&cluster).await.unwrap().created, before.created);
    cluster.shows("a.service", "active", Launched).await;
}

/// Written by a fleetd that doesn't say its boot, or in this boot by one whose runtime directory is
/// gone: there is no proof, but as soon as the old lease ends the machine is back.
#[tokio::test(start_paused = true)]
async fn without_a_proof_the_end_of_the_old_lease_is_awaited_and_not_tried_for() {
    for (before, now) in [("", "two"), ("one", ""), ("one", "one")] {
        let cluster = cut(before).await;
        let lease_ends = Instant::now() + TTL;
        time::sleep(Duration::from_secs(2)).await;
        let host = Host::new("m1");
        let daemon = Daemon::start(agent(&host, &cluster.registry, now, "198.18.0.1"));
        time::sleep(Duration::from_secs(5)).await;
        let told = daemon.presence.obstacle.borrow().clone().unwrap();
        assert!(told.contains("an entry of an earlier boot at \"198.18.0.1\""), "{told}");
        daemon.is_present().await;
        let late = Instant::now().saturating_duration_since(lease_ends);
        assert!(late < Duration::from_millis(200), "{late:?} after its end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_lives_answers_and_is_not_disturbed() {
    for boots in [("one", "two"), ("one", "one"), ("", "two")] {
        let (cluster, first, second) = (Cluster::new().await, Host::new("m1"), Host::new("m1"));
        let daemon = Daemon::start(agent(&first, &cluster.registry, boots.0, "198.18.0.1"));
        daemon.is_present().await;
        cluster.bring_up("a.service", RUNS).await;
        first.deeds();
        let held = daemon.presence.current.borrow().clone();
        let since = daemon.presence.contact.borrow().unwrap().since;
        let other = Daemon::start(agent(&second, &cluster.registry, boots.1, "198.18.0.1"));
        time::sleep(5 * TTL).await;
        assert_eq!(*other.presence.current.borrow(), None, "{boots:?}");
        let told = other.presence.obstacle.borrow().clone().unwrap();
        assert!(told.contains("two machines have the same id"), "{told}");
        assert_eq!(second.manager.take_calls(), []);
        assert_eq!(*daemon.presence.current.borrow(), held);
        assert_eq!(daemon.presence.contact.borrow().unwrap().since, since, "without a gap");
        assert_eq!(entry(&cluster).await.unwrap().value.asked_by, "");
        assert_eq!(first.deeds(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn at_another_address_it_is_another_machine_whatever_its_boot() {
    let cluster = cut("one").await;
    let host = Host::new("m1");
    let other = Daemon::start(agent(&host, &cluster.registry, "two", "198.18.0.2"));
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(*other.presence.current.borrow(), None);
    let told = other.presence.obstacle.borrow().clone().unwrap();
    assert!(told.contains("two machines have the same id"), "{told}");
}

/// One call to the store fails, each in turn; or the newcomer is killed there, and started anew.
#[tokio::test(start_paused = true)]
async fn a_machine_that_is_back_takes_over_whatever_fails_on_the_way() {
    for calls in 0.. {
        let mut was_shut = false;
        for is_killed in [false, true] {
            let cluster = cut("one").await;
            let (gate, registry) = Gate::before(&cluster.store);
            gate.shut_after(calls, Duration::from_secs(1));
            let host = Host::new("m1");
            let mut daemon = Daemon::start(agent(&host, &registry, "two", "198.18.0.1"));
            if is_killed {
                time::sleep(Duration::from_millis(500)).await;
                daemon.kill().await;
                daemon = Daemon::start(agent(&host, &registry, "two", "198.18.0.1"));
            }
            let began = Instant::now();
            daemon.is_present().await;
            was_shut = gate.shut().is_some_and(|(from, _)| from <= Instant::now());
            assert!(
                began.elapsed() < Duration::from_secs(8),
                "call {calls}: {:?}",
                began.elapsed()
            );
            cluster.shows("a.service", "active", Launched).await;
            time::sleep(3 * TTL).await;
            let entry = entry(&cluster).await.expect("it is present still").value;
            assert_eq!((&*entry.boot_id, &*entry.asked_by), ("two", ""), "call {calls}");
            cluster.shows("a.service", "active", Launched).await;
        }
        if !was_shut {
            assert!(calls > 4, "{calls}");
            return;
        }
    }
}
