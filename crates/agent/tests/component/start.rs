//! How a start went: what a machine publishes of it, and how often it publishes a unit that flaps.

use std::time::Duration;

use fleet_agent::fake::Operation;
use fleet_core::JobState::{Launched, Loaded};
use fleet_testkit::eventually;
use tokio::time;

use crate::world::{RUNS, name, one_host};

const CRASHES: &str = "[Service]\nExecStart=/bin/false\n";
/// One that systemd starts again and again, and that is at rest between for longer than a second.
const SLOW_LOOP: &str = "[Service]\nExecStartPre=/bin/false\nRestart=always\nRestartSec=5\n";
/// One that never rests.
const QUICK_LOOP: &str = "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=0.1\n";
const PATIENCE: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn a_start_is_settled_a_moment_after_its_job_and_not_before() {
    let (cluster, _host, _daemon) = one_host().await;
    let before = time::Instant::now();
    cluster.bring_up("a.service", RUNS).await;
    let open = cluster.published("a.service").await.unwrap().start.unwrap();
    assert!(!open.settled, "the process may die at once");
    let (state, start) = cluster.settled("a.service").await;
    assert_eq!((&*state.systemd.active, &*start.failure), ("active", ""));
    assert_eq!(start.at, open.at);
    let took = before.elapsed();
    assert!((50..100).contains(&took.as_millis()), "{took:?}");
    // Another start is another one, however soon.
    cluster.want("a.service", Loaded).await;
    cluster.shows("a.service", "inactive", Loaded).await;
    assert_eq!(cluster.published("a.service").await.unwrap().start, None);
    cluster.want("a.service", Launched).await;
    let (_, again) = cluster.settled("a.service").await;
    assert_ne!(again.at, start.at);
}

#[tokio::test(start_paused = true)]
async fn what_dies_at_once_has_not_been_started() {
    let (cluster, _host, _daemon) = one_host().await;
    let words = "systemd reports failed (failed): exit-code, status 1";
    for unit in ["a.service", "b.service", "c.service", "d.service", "e.service"] {
        cluster.launch(unit, CRASHES).await;
        let (state, start) = cluster.settled(unit).await;
        assert_eq!((&*state.systemd.active, &*start.failure), ("failed", words));
        assert_eq!(state.failure, "exit-code, status 1");
    }
    // One that ran to its end has.
    cluster.launch("once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n").await;
    let (state, start) = cluster.settled("once.service").await;
    assert_eq!((&*state.systemd.active, &*start.failure), ("inactive", ""));
}

#[tokio::test(start_paused = true)]
async fn a_restart_loop_is_a_failure_that_is_told_with_its_exit_code() {
    let (cluster, _host, _daemon) = one_host().await;
    cluster.launch("slow.service", SLOW_LOOP).await;
    cluster.launch("quick.service", QUICK_LOOP).await;
    let (state, start) = cluster.settled("slow.service").await;
    assert_eq!(start.failure, "it is in a restart loop: exit-code, status 1");
    assert_eq!((&*state.systemd.sub, &*state.failure), ("auto-restart", "exit-code, status 1"));
    let (_, start) = cluster.settled("quick.service").await;
    let begins = "it is in a restart loop: exit-code, status 1, restarted ";
    assert!(start.failure.starts_with(begins), "{}", start.failure);
}

#[tokio::test(start_paused = true)]
async fn what_systemd_refuses_is_told_as_refused_for_that_content() {
    let (cluster, host, _daemon) = one_host().await;
    let why = "Unit a.service has a bad unit file setting.";
    host.manager.refuse(&name("a.service"), Operation::Start, why);
    cluster.launch("a.service", RUNS).await;
    cluster.tells("a.service", Some(why)).await;
    let machine = "m1".parse().unwrap();
    let told = cluster.registry.trouble(&name("a.service"), &machine).await.unwrap().unwrap();
    assert_eq!(told.refused, Some(crate::world::hash(RUNS)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_restart_is_told_of_as_a_start_that_failed() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch("a.service", RUNS).await;
    let (_, before) = cluster.settled("a.service").await;
    host.manager.refuse(&name("a.service"), Operation::Restart, "no");
    let unit = cluster.registry.unit(&name("a.service")).await.unwrap().unwrap();
    cluster.registry.ask_restart(&unit, None).await.unwrap();
    let failed = eventually("the refusal is published", PATIENCE, || async {
        let start = cluster.published("a.service").await.and_then(|state| state.start);
        start.filter(|start| start.at != before.at)
    })
    .await;
    assert_eq!((failed.settled, &*failed.failure), (true, "no"));
}

#[tokio::test(start_paused = true)]
async fn the_next_fleetd_knows_how_starts_went_and_writes_nothing_new() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("a.service", RUNS).await;
    cluster.launch("b.service", CRASHES).await;
    let (a, _) = cluster.settled("a.service").await;
    let (b, _) = cluster.settled("b.service").await;
    daemon.kill().await;
    let _daemon = host.boot(&cluster).await;
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.published("a.service").await, Some(a));
    assert_eq!(cluster.published("b.service").await, Some(b));
}

#[tokio::test(start_paused = true)]
async fn units_that_flap_are_published_seldom_and_their_last_state_always() {
    const UNITS: usize = 20;
    let (cluster, host, _daemon) = one_host().await;
    let units: Vec<String> = (0..UNITS).map(|n| format!("u{n}.service")).collect();
    for unit in &units {
        cluster.launch(unit, QUICK_LOOP).await;
    }
    for unit in &units {
        cluster.settled(unit).await;
    }
    time::sleep(Duration::from_secs(10)).await;
    let (before, seconds) = (cluster.store.revision().0, 100);
    time::sleep(Duration::from_secs(seconds)).await;
    let writes = cluster.store.revision().0 - before;
    // One a unit every ten seconds; the lease is kept without a write.
    let most = i64::try_from(UNITS).unwrap() * (i64::try_from(seconds).unwrap() / 10 + 1);
    assert!(writes <= most, "{writes} writes in {seconds} s");
    // What happens to it in the end is told soon.
    host.manager.set_state(&name("u7.service"), "active", "running");
    let came = time::Instant::now();
    cluster.shows("u7.service", "active", Launched).await;
    assert!(came.elapsed() <= Duration::from_millis(1100), "{:?}", came.elapsed());
}
