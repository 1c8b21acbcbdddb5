//! Restarts that users ask for (`spec/README.md` 14): carried out once, acknowledged, never lost.

use std::time::Duration;

use fleet_agent::fake::{Call, Operation};
use fleet_core::JobState::{Launched, Loaded};
use fleet_testkit::eventually;
use tokio::time;

use crate::world::{Cluster, Host, RUNS, hash, name, one_host};

const UNIT: &str = "a.service";
const PATIENCE: Duration = Duration::from_secs(100);
/// Long enough for every tick, scan and poll.
const A_WHILE: Duration = Duration::from_secs(65);

async fn ask(cluster: &Cluster, unit: &str) {
    let seen = cluster.registry.unit(&name(unit)).await.unwrap().unwrap();
    cluster.registry.ask_restart(&seen, None).await.unwrap();
}

async fn is_pending(cluster: &Cluster, unit: &str) -> bool {
    let seen = cluster.registry.unit(&name(unit)).await.unwrap().unwrap();
    !cluster.registry.pending_restarts(&seen, None).await.unwrap().is_empty()
}

async fn is_acknowledged(cluster: &Cluster, unit: &str) {
    eventually("the restart is acknowledged", PATIENCE, || async {
        if is_pending(cluster, unit).await { Err("it is pending") } else { Ok(()) }
    })
    .await;
}

fn restarts(host: &Host) -> usize {
    host.deeds().iter().filter(|call| matches!(call, Call::Restart(_))).count()
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_restarted_once_for_each_request() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch(UNIT, RUNS).await;
    cluster.shows(UNIT, "active", Launched).await;
    for starts in 2..5 {
        ask(&cluster, UNIT).await;
        is_acknowledged(&cluster, UNIT).await;
        cluster.shows(UNIT, "active", Launched).await;
        assert_eq!(host.manager.starts_of(&name(UNIT)), starts);
        assert_eq!(restarts(&host), 1);
    }
    time::sleep(A_WHILE).await;
    assert_eq!(host.deeds(), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_restart_is_acknowledged_when_it_is_done_and_holds_up_nobody() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch(UNIT, &format!("{RUNS}ExecStop=/bin/sleep 200\n")).await;
    cluster.shows(UNIT, "active", Launched).await;
    let before = time::Instant::now();
    ask(&cluster, UNIT).await;
    cluster.shows(UNIT, "activating", Launched).await;
    cluster.bring_up("quick.service", RUNS).await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    time::sleep(Duration::from_secs(150)).await;
    assert!(is_pending(&cluster, UNIT).await);
    is_acknowledged(&cluster, UNIT).await;
    assert!(before.elapsed() >= Duration::from_secs(200), "{:?}", before.elapsed());
    assert_eq!(restarts(&host), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_made_while_one_is_carried_out_is_carried_out_after_it() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch(UNIT, &format!("{RUNS}ExecStop=/bin/sleep 20\n")).await;
    cluster.shows(UNIT, "active", Launched).await;
    ask(&cluster, UNIT).await;
    cluster.shows(UNIT, "activating", Launched).await;
    ask(&cluster, UNIT).await;
    is_acknowledged(&cluster, UNIT).await;
    assert_eq!(host.manager.starts_of(&name(UNIT)), 3);
    cluster.shows(UNIT, "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_neither_loses_a_request_nor_carries_it_out_again() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch(UNIT, &format!("{RUNS}ExecStop=/bin/sleep 20\n")).await;
    cluster.shows(UNIT, "active", Launched).await;
    ask(&cluster, UNIT).await;
    cluster.shows(UNIT, "activating", Launched).await;
    daemon.kill().await;
    assert!(is_pending(&cluster, UNIT).await);

    let daemon = host.boot(&cluster).await;
    is_acknowledged(&cluster, UNIT).await;
    cluster.shows(UNIT, "active", Launched).await;
    assert_eq!(host.manager.starts_of(&name(UNIT)), 2, "systemd was told before");
    daemon.kill().await;

    ask(&cluster, UNIT).await;
    let _daemon = host.boot(&cluster).await;
    is_acknowledged(&cluster, UNIT).await;
    assert_eq!(host.manager.starts_of(&name(UNIT)), 3, "systemd was not told before");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_void_is_acknowledged_and_nothing_is_done() {
    let (cluster, host, daemon) = one_host().await;
    for unit in [UNIT, "b.service"] {
        cluster.bring_up(unit, RUNS).await;
    }
    daemon.kill().await;
    ask(&cluster, UNIT).await;
    ask(&cluster, "b.service").await;
    cluster.want(UNIT, Loaded).await;
    cluster.destroy("b.service").await;

    let _daemon = host.boot(&cluster).await;
    is_acknowledged(&cluster, UNIT).await;
    cluster.shows(UNIT, "inactive", Loaded).await;
    cluster.shows_nothing("b.service").await;
    assert_eq!(restarts(&host), 0);
    assert_eq!(host.manager.starts_of(&name(UNIT)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_or_is_refused_is_acknowledged_too() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch("fails.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    cluster.shows("fails.service", "failed", Launched).await;
    ask(&cluster, "fails.service").await;
    is_acknowledged(&cluster, "fails.service").await;
    assert_eq!(host.manager.starts_of(&name("fails.service")), 2);

    cluster.launch(UNIT, RUNS).await;
    cluster.shows(UNIT, "active", Launched).await;
    host.manager.refuse(&name(UNIT), Operation::Restart, "no");
    host.deeds();
    ask(&cluster, UNIT).await;
    is_acknowledged(&cluster, UNIT).await;
    time::sleep(A_WHILE).await;
    assert_eq!(restarts(&host), 1);
    cluster.shows(UNIT, "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_a_lost_bus_and_a_lost_registry() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch(UNIT, &format!("{RUNS}ExecStop=/bin/sleep 3\n")).await;
    cluster.shows(UNIT, "active", Launched).await;
    host.manager.set_available(false);
    ask(&cluster, UNIT).await;
    time::sleep(A_WHILE).await;
    assert!(is_pending(&cluster, UNIT).await);
    assert_eq!(host.manager.starts_of(&name(UNIT)), 1);
    host.manager.set_available(true);
    cluster.shows(UNIT, "activating", Launched).await;
    cluster.store.set_available(false);
    time::sleep(Duration::from_secs(10)).await;
    cluster.store.set_available(true);
    is_acknowledged(&cluster, UNIT).await;
    assert_eq!(host.manager.starts_of(&name(UNIT)), 2);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_never_ends_can_be_stopped() {
    let (cluster, _host, _daemon) = one_host().await;
    cluster.launch(UNIT, "[Service]\nType=oneshot\nExecStart=/bin/sleep inf\n").await;
    cluster.shows(UNIT, "activating", Launched).await;
    ask(&cluster, UNIT).await;
    time::sleep(A_WHILE).await;
    assert!(is_pending(&cluster, UNIT).await);
    cluster.want(UNIT, Loaded).await;
    is_acknowledged(&cluster, UNIT).await;
    cluster.shows(UNIT, "inactive", Loaded).await;
}

#[tokio::test(start_paused = true)]
async fn new_content_and_a_restart_are_one_start() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch(UNIT, RUNS).await;
    cluster.shows(UNIT, "active", Launched).await;
    daemon.kill().await;
    let other = "[Service]\nExecStart=/bin/sleep 1000\n";
    cluster.submit(UNIT, other, Launched).await;
    ask(&cluster, UNIT).await;
    let _daemon = host.boot(&cluster).await;
    is_acknowledged(&cluster, UNIT).await;
    cluster.runs(UNIT, other).await;
    assert_eq!(host.manager.running(&name(UNIT)), Some(hash(other)));
    assert_eq!(host.manager.starts_of(&name(UNIT)), 2);
}
