//! A fleetd that leaves takes its units along, within bounds.

use std::{collections::BTreeSet, time::Duration};

use fleet_agent::fake::Operation;
use fleet_core::JobState::Launched;
use tokio::time::Instant;

use crate::world::{RUNS, TTL, name, one_host};

#[tokio::test(start_paused = true)]
async fn every_unit_stops_at_the_same_time_and_presence_ends_last() {
    let (cluster, host, daemon) = one_host().await;
    for unit in ["a.service", "b.service", "c.service"] {
        cluster.launch(unit, &format!("{RUNS}ExecStop=/bin/sleep 40\n")).await;
        cluster.shows(unit, "active", Launched).await;
    }
    let mut agent = daemon.stop().await;
    let before = Instant::now();
    let watching = async {
        tokio::time::sleep(TTL + Duration::from_secs(5)).await;
        cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap()
    };
    let (left, present) = tokio::join!(agent.purge(), watching);
    assert_eq!(left, BTreeSet::new());
    assert!(present.is_some(), "presence is kept while units stop, longer than its ttl");
    assert!(before.elapsed() < Duration::from_secs(41), "{:?}", before.elapsed());
    host.has_files(&[]).await;
    assert_eq!(cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap(), None);
    for unit in ["a.service", "b.service", "c.service"] {
        assert_eq!(cluster.published(unit).await, None);
        assert_eq!(host.manager.state_of(&name(unit)).active, "inactive");
    }
}

const ASKS: &str = "TimeoutStopSec=200\nExecStop=/bin/sleep 200\n";
const LATE: &str = "TimeoutStopSec=200\nExecStop=/bin/sleep 1000\n";
const ENDLESS: &str = "TimeoutStopSec=infinity\nExecStop=/bin/sleep 4000\n";

#[tokio::test(start_paused = true)]
async fn what_can_not_be_stopped_is_left_after_a_minute_and_a_slow_stop_is_awaited() {
    for (slow, stops, takes, left) in [
        ("a.service", "", 60, &["refused.service"][..]),
        ("slow.service", "ExecStop=/bin/sleep 85\n", 85, &["refused.service"]),
        ("never.service", "ExecStop=/bin/sleep 1000\n", 100, &["never.service", "refused.service"]),
        ("asks.service", ASKS, 200, &["refused.service"]),
        ("late.service", LATE, 210, &["late.service", "refused.service"]),
        ("endless.service", ENDLESS, 3600, &["endless.service", "refused.service"]),
    ] {
        let (cluster, host, daemon) = one_host().await;
        for (unit, stops) in [("refused.service", ""), (slow, stops)] {
            cluster.launch(unit, &format!("{RUNS}{stops}")).await;
            cluster.shows(unit, "active", Launched).await;
        }
        host.manager.refuse(&name("refused.service"), Operation::Stop, "no");
        let mut agent = daemon.stop().await;
        let before = Instant::now();
        let expected: BTreeSet<_> = left.iter().map(|unit| name(unit)).collect();
        assert_eq!(agent.purge().await, expected);
        assert_eq!(before.elapsed().as_secs(), takes, "{slow}");
        host.has_files(left).await;
        assert_eq!(cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_without_etcd_stops_units_all_the_same() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.store.set_available(false);
    let left = daemon.stop().await.purge().await;
    assert_eq!(left, BTreeSet::new());
    assert_eq!(host.manager.state_of(&name("a.service")).load, "not-found");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_never_present_purges_nothing() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    daemon.kill().await;
    host.deeds();
    cluster.store.set_available(false);
    assert_eq!(host.agent(&cluster).purge().await, BTreeSet::new());
    assert_eq!(host.deeds(), []);
}

#[tokio::test(start_paused = true)]
async fn a_successor_in_the_same_process_purges_whether_it_has_registered_anew_or_not() {
    for (available, ttl) in [(false, TTL), (false, TTL * 2), (true, TTL * 2)] {
        let (cluster, host, daemon) = one_host().await;
        cluster.bring_up("a.service", RUNS).await;
        let presence = daemon.stop().await.presence().current.borrow().clone();
        let mut successor = host.agent_with(&cluster, |config| {
            (config.presence, config.ttl) = (presence, ttl);
        });
        cluster.store.set_available(available);
        assert_eq!(successor.purge().await, BTreeSet::new());
        assert_eq!(host.manager.state_of(&name("a.service")).load, "not-found");
        cluster.store.set_available(true);
        let present = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap();
        assert_eq!(present.is_none(), available, "{ttl:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_leaves_leaves_its_units_alone() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    let agent = daemon.stop().await;
    host.deeds();
    agent.leave().await;
    assert_eq!(host.deeds(), []);
    assert_eq!(cluster.published("a.service").await, None);
    assert_eq!(cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap(), None);
}
