//! fleetd goes and comes back; units stay.

use std::{collections::BTreeSet, fs, time::Duration};

use fleet_agent::{UnitManager, fake::Call};
use fleet_core::JobState::{Launched, Loaded};
use tokio::time;

use crate::world::{RUNS, name, one_host};

const FINISHES: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";

/// Long enough for every tick, scan and poll.
const A_WHILE: Duration = Duration::from_secs(65);

#[tokio::test(start_paused = true)]
async fn a_successor_adopts_units_without_touching_them() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("runs.service", RUNS).await;
    cluster.launch("done.service", FINISHES).await;
    cluster.launch("fails.service", FAILS).await;
    cluster.submit("idle.service", RUNS, Loaded).await;
    cluster.place("idle.service", Some("m1")).await;
    cluster.shows("runs.service", "active", Launched).await;
    cluster.shows("done.service", "inactive", Launched).await;
    cluster.shows("fails.service", "failed", Launched).await;
    cluster.shows("idle.service", "inactive", Loaded).await;
    let lease = daemon.presence.current.borrow().clone();
    daemon.kill().await;
    host.deeds();

    let daemon = host.boot(&cluster).await;
    time::sleep(A_WHILE).await;
    assert_eq!(host.deeds(), []);
    assert_eq!(*daemon.presence.current.borrow(), lease, "its lease is kept");
    cluster.shows("runs.service", "active", Launched).await;
    cluster.shows("done.service", "inactive", Launched).await;
    cluster.shows("fails.service", "failed", Launched).await;
    cluster.shows("idle.service", "inactive", Loaded).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_without_memory_goes_by_what_systemd_says() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("runs.service", RUNS).await;
    cluster.launch("fails.service", FAILS).await;
    cluster.shows("runs.service", "active", Launched).await;
    cluster.shows("fails.service", "failed", Launched).await;
    daemon.kill().await;
    fs::remove_file(host.runtime_dir.join("claims")).unwrap();
    host.deeds();

    let _daemon = host.boot(&cluster).await;
    time::sleep(A_WHILE).await;
    assert_eq!(host.deeds(), []);
    cluster.shows("runs.service", "active", Launched).await;
    // A unit that runs and should only be loaded is stopped, whoever started it.
    cluster.want("runs.service", Loaded).await;
    cluster.shows("runs.service", "inactive", Loaded).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_catches_up_with_what_changed_meanwhile() {
    let (cluster, host, daemon) = one_host().await;
    let other = "[Service]\nExecStart=/bin/sleep 9999\n";
    for unit in ["stays.service", "goes.service", "changes.service", "spoilt.service"] {
        cluster.bring_up(unit, RUNS).await;
    }
    daemon.kill().await;
    cluster.destroy("goes.service").await;
    cluster.submit("changes.service", other, Launched).await;
    cluster.launch("comes.service", RUNS).await;
    host.manager.spoil_file(&name("spoilt.service"));

    let _daemon = host.boot(&cluster).await;
    cluster.shows("comes.service", "active", Launched).await;
    cluster.shows_nothing("goes.service").await;
    let starts = |unit| host.manager.starts_of(&name(unit));
    host.has_files(&["changes.service", "comes.service", "spoilt.service", "stays.service"]).await;
    host.has("changes.service", "active").await;
    host.has("spoilt.service", "active").await;
    assert_eq!(starts("stays.service"), 1);
    assert_eq!(starts("changes.service"), 2);
    assert_eq!(starts("spoilt.service"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_successor_withdraws_what_its_predecessor_could_not() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("a.service", RUNS).await;
    cluster.launch("b.service", RUNS).await;
    cluster.shows("a.service", "active", Launched).await;
    cluster.shows("b.service", "active", Launched).await;
    daemon.kill().await;
    // As if it had been killed between unloading and withdrawing.
    host.manager.stop(&name("a.service")).await.unwrap();
    host.manager.unload(&BTreeSet::from([name("a.service")])).await[&name("a.service")]
        .as_ref()
        .unwrap();
    cluster.destroy("a.service").await;
    assert!(cluster.published("a.service").await.is_some());

    let _daemon = host.boot(&cluster).await;
    cluster.shows_nothing("a.service").await;
    cluster.shows("b.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_told_to_stop_leaves_everything_as_it_is() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.deeds();
    drop(daemon.stop().await);
    assert_eq!(host.deeds(), []);
    cluster.shows("a.service", "active", Launched).await;
    let present = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap();
    assert!(present.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_agent_runs_again_and_knows_what_it_did() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("a.service", FINISHES).await;
    cluster.shows("a.service", "inactive", Launched).await;
    let agent = daemon.stop().await;
    host.deeds();
    let daemon = crate::world::Daemon::start(agent);
    cluster.bring_up("b.service", RUNS).await;
    let touched_a = |call: &Call| *call == Call::Start(name("a.service"));
    assert!(!host.deeds().iter().any(touched_a));
    daemon.kill().await;
}
