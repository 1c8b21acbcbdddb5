//! The life of a unit: started, stopped, changed, destroyed; and which units are here at all.

use std::{collections::BTreeSet, time::Duration};

use fleet_agent::fake::Call;
use fleet_core::JobState::{Inactive, Launched, Loaded};
use tokio::time;

use crate::world::{Cluster, Host, RUNS, hash, name, one_host};

const OTHER: &str = "[Service]\nExecStart=/bin/sleep 1000000\n";

#[tokio::test(start_paused = true)]
async fn a_unit_is_loaded_launched_stopped_and_taken_off() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.submit("a.service", RUNS, Loaded).await;
    cluster.place("a.service", Some("m1")).await;
    cluster.shows("a.service", "inactive", Loaded).await;
    cluster.want("a.service", Launched).await;
    cluster.shows("a.service", "active", Launched).await;
    assert_eq!(cluster.published("a.service").await.unwrap().hash, hash(RUNS));
    cluster.want("a.service", Loaded).await;
    cluster.shows("a.service", "inactive", Loaded).await;
    cluster.want("a.service", Inactive).await;
    cluster.shows_nothing("a.service").await;
    host.has_files(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_launched_unit_is_published_within_milliseconds() {
    let (cluster, _host, _daemon) = one_host().await;
    let before = time::Instant::now();
    cluster.bring_up("a.service", RUNS).await;
    assert!(before.elapsed() < Duration::from_millis(20), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_destroyed_unit_is_stopped_then_unloaded_and_its_state_goes_last() {
    let (cluster, host, _daemon) = one_host().await;
    let slow = format!("{RUNS}ExecStop=/bin/sleep 30\n");
    cluster.bring_up("a.service", &slow).await;
    cluster.destroy("a.service").await;
    cluster.shows("a.service", "deactivating", Loaded).await;
    host.has_files(&["a.service"]).await;
    cluster.shows_nothing("a.service").await;
    host.has_files(&[]).await;
    assert_eq!(host.manager.state_of(&name("a.service")).active, "inactive");
}

/// systemd may still have it in memory, and start it for another unit's sake.
#[tokio::test(start_paused = true)]
async fn after_unloading_a_reload_is_done_if_needed_though_nothing_is_started() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.destroy("a.service").await;
    cluster.shows_nothing("a.service").await;
    let calls = host.deeds();
    let unload = calls.iter().position(|call| matches!(call, Call::Unload(_))).unwrap();
    assert!(
        calls[unload..].iter().any(|call| matches!(call, Call::ReloadIfNeeded(_))),
        "{:?}",
        &calls[unload..]
    );
}

#[tokio::test(start_paused = true)]
async fn changed_content_is_stopped_rewritten_and_started_once() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.submit("a.service", OTHER, Launched).await;
    cluster.runs("a.service", OTHER).await;
    assert_eq!(host.manager.running(&name("a.service")), Some(hash(OTHER)));
    assert_eq!(host.manager.starts_of(&name("a.service")), 2);
}

#[tokio::test(start_paused = true)]
async fn many_units_cost_few_calls() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let names: BTreeSet<_> = (0..70).map(|n| name(&format!("u{n}.service"))).collect();
    host.boot(&cluster).await.kill().await;
    for unit in &names {
        cluster.launch(unit.as_str(), RUNS).await;
    }
    let _daemon = host.boot(&cluster).await;
    for unit in &names {
        cluster.shows(unit.as_str(), "active", Launched).await;
    }
    let deeds = host.deeds();
    assert_eq!(deeds[..2], [Call::Load(names.clone()), Call::ReloadIfNeeded(names.clone())]);
    assert_eq!(deeds.len(), 2 + names.len(), "and one start each");
    for unit in &names {
        cluster.destroy(unit.as_str()).await;
    }
    host.has_files(&[]).await;
    let unloads = host.deeds().into_iter().filter(|call| matches!(call, Call::Unload(_)));
    assert!(unloads.count() <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_stop_and_an_endless_start_hold_up_nobody() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch("slow.service", &format!("{RUNS}ExecStop=/bin/sleep 80\n")).await;
    cluster.launch("endless.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep inf\n").await;
    cluster.shows("slow.service", "active", Launched).await;
    cluster.shows("endless.service", "activating", Launched).await;
    let before = time::Instant::now();
    cluster.destroy("slow.service").await;
    cluster.bring_up("quick.service", RUNS).await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    cluster.shows("slow.service", "deactivating", Loaded).await;
    // What never ends starting can be destroyed all the same.
    cluster.destroy("endless.service").await;
    cluster.shows_nothing("endless.service").await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    host.has_files(&["quick.service"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_wanted_again_while_it_stops_is_started_again() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.launch("a.service", &format!("{RUNS}ExecStop=/bin/sleep 10\n")).await;
    cluster.shows("a.service", "active", Launched).await;
    cluster.place("a.service", None).await;
    cluster.shows("a.service", "deactivating", Loaded).await;
    cluster.place("a.service", Some("m1")).await;
    cluster.shows("a.service", "active", Launched).await;
    assert_eq!(host.manager.starts_of(&name("a.service")), 2);
    assert!(!host.deeds().iter().any(|call| matches!(call, Call::Unload(_))));
}

#[tokio::test(start_paused = true)]
async fn metadata_brings_and_takes_global_units() {
    let (cluster, host, _daemon) = one_host().await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\nMachineMetadata=disk=ssd\n");
    cluster.submit("g.service", &global, Launched).await;
    cluster.bring_up("a.service", RUNS).await;
    host.has_files(&["a.service"]).await;
    cluster.set_metadata("m1", "disk", "ssd").await;
    cluster.shows("g.service", "active", Launched).await;
    cluster.set_metadata("m1", "disk", "").await;
    cluster.shows_nothing("g.service").await;
    host.has_files(&["a.service"]).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_conflict_the_first_by_name_runs() {
    let (cluster, _host, _daemon) = one_host().await;
    let picky = format!("{RUNS}[X-Fleet]\nConflicts=a.service\nGlobal=true\n");
    cluster.submit("b.service", &picky, Launched).await;
    cluster.shows("b.service", "active", Launched).await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.shows_nothing("b.service").await;
    cluster.destroy("a.service").await;
    cluster.shows("b.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_agent_calls_and_writes_next_to_nothing() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    time::sleep(Duration::from_secs(60)).await;
    let (revision, _) = (cluster.store.revision(), host.manager.take_calls());
    time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(cluster.store.revision(), revision, "nothing is written");
    let calls = host.manager.take_calls();
    // The first two only look at files.
    let is_cheap = |call: &Call| matches!(call, Call::Units | Call::Taken | Call::States(_));
    assert!(calls.iter().all(is_cheap), "{calls:?}");
    assert!(calls.len() <= 3 * 3600 / 30 + 3, "{}", calls.len());
}

#[tokio::test(start_paused = true)]
async fn what_systemd_changes_by_itself_is_published_and_left_alone() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.deeds();
    host.manager.set_state(&name("a.service"), "failed", "failed");
    cluster.shows("a.service", "failed", Launched).await;
    time::sleep(Duration::from_secs(600)).await;
    assert_eq!(host.deeds(), []);
    let dump = daemon.dump.state();
    assert_eq!(dump["Agent"]["Cache"]["TargetStates"]["a.service"], "launched");
    let record = &dump["UnitStatePublisher"]["Cache"]["a.service"];
    assert_eq!(record["ActiveState"], "failed");
    assert_eq!(record["MachineID"], "m1");
    assert_eq!(dump["UnitStateGenerator"]["Subscribed"][0], "a.service");
}

#[tokio::test(start_paused = true)]
async fn a_global_unit_makes_way_for_a_scheduled_one_and_comes_back() {
    let (cluster, host, _daemon) = one_host().await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\nConflicts=b.service\n");
    cluster.bring_up("b.service", RUNS).await;
    host.deeds();
    cluster.submit("a.service", &global, Launched).await;
    cluster.submit("z.service", &format!("{RUNS}[X-Fleet]\nGlobal=true\n"), Launched).await;
    cluster.shows("z.service", "active", Launched).await;
    assert!(!host.deeds().iter().any(|call| matches!(call, Call::Stop(_))), "b runs on");
    assert_eq!(cluster.published("a.service").await, None);
    cluster.destroy("b.service").await;
    cluster.shows("a.service", "active", Launched).await;
    cluster.bring_up("b.service", RUNS).await;
    cluster.shows_nothing("a.service").await;
}
