//! A host's own units are the host's: found, told of, and never touched.

use std::time::Duration;

use fleet_agent::fake::Call;
use fleet_core::JobState::{Inactive, Launched};
use tokio::time;

use crate::world::{Cluster, Host, RUNS, TTL, name, one_host};

const OWN: &str = "this machine has a unit of that name of its own";
const MASKED: &str = "this machine has a unit of that name of its own: it is masked";
const HOUR: Duration = Duration::from_secs(3600);

/// How often the agent tried to load something.
fn loads(calls: &[Call]) -> usize {
    calls.iter().filter(|call| matches!(call, Call::Load(_))).count()
}

/// Whether nothing was started, stopped or restarted.
fn is_harmless(calls: &[Call]) -> bool {
    !calls.iter().any(|call| matches!(call, Call::Start(_) | Call::Stop(_) | Call::Restart(_)))
}

#[tokio::test(start_paused = true)]
async fn a_unit_of_the_hosts_is_an_obstacle_until_its_name_is_free() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let clash = name("clash.service");
    host.manager.have_own(&clash, Some("active"));
    let daemon = host.boot(&cluster).await;
    cluster.launch("clash.service", RUNS).await;
    cluster.has_obstacle("clash.service", Some(OWN)).await;
    cluster.tells("clash.service", Some(OWN)).await;
    time::sleep(HOUR).await;
    assert_eq!(cluster.published("clash.service").await, None, "nothing of it is fleet's");
    let calls = host.deeds();
    assert!(is_harmless(&calls) && loads(&calls) == 1, "{calls:?}");

    // It outlives the order that found it, the fleetd that did, and the lease it hangs on.
    cluster.place("clash.service", None).await;
    cluster.tells("clash.service", None).await;
    time::sleep(HOUR).await;
    assert_eq!(cluster.obstacle("clash.service").await.as_deref(), Some(OWN));
    daemon.kill().await;
    time::sleep(TTL * 3).await;
    assert_eq!(cluster.obstacle("clash.service").await, None, "its lease has ended");
    let _daemon = host.boot(&cluster).await;
    cluster.has_obstacle("clash.service", Some(OWN)).await;
    cluster.store.set_available(false);
    time::sleep(TTL * 3).await;
    cluster.store.set_available(true);
    cluster.has_obstacle("clash.service", Some(OWN)).await;
    let calls = host.deeds();
    assert!(is_harmless(&calls) && loads(&calls) == 0, "{calls:?}");
    assert_eq!(host.manager.state_of(&clash).active, "active");

    host.manager.have_own(&clash, None);
    cluster.has_obstacle("clash.service", None).await;
    cluster.place("clash.service", Some("m1")).await;
    cluster.shows("clash.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn an_obstacle_goes_with_its_unit() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    host.manager.have_own(&name("clash.service"), Some("inactive"));
    let _daemon = host.boot(&cluster).await;
    cluster.launch("clash.service", RUNS).await;
    cluster.has_obstacle("clash.service", Some(OWN)).await;
    cluster.destroy("clash.service").await;
    cluster.has_obstacle("clash.service", None).await;
    assert!(is_harmless(&host.deeds()));
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_the_host_has_is_an_obstacle_too() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    host.manager.have_own(&name("dbus.service"), Some("active"));
    let _daemon = host.boot(&cluster).await;
    cluster.launch("a.service", &format!("{RUNS}[Install]\nAlias=dbus.service\n")).await;
    let why = "this machine has a unit of its own called dbus.service, an alias of this one";
    cluster.has_obstacle("a.service", Some(why)).await;
    cluster.place("a.service", None).await;
    time::sleep(HOUR).await;
    assert_eq!(cluster.obstacle("a.service").await.as_deref(), Some(why));
    host.has_files(&[]).await;
    host.manager.have_own(&name("dbus.service"), None);
    cluster.has_obstacle("a.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_global_unit_has_its_obstacle_on_the_machine_that_has_the_name() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    host.manager.have_own(&name("g.service"), Some("active"));
    let _daemon = host.boot(&cluster).await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\n");
    cluster.submit("g.service", &global, Launched).await;
    cluster.has_obstacle("g.service", Some(OWN)).await;
    cluster.want("g.service", Inactive).await;
    cluster.tells("g.service", None).await;
    assert_eq!(cluster.obstacle("g.service").await.as_deref(), Some(OWN));
    cluster.want("g.service", Launched).await;
    host.manager.have_own(&name("g.service"), None);
    cluster.shows("g.service", "active", Launched).await;
    cluster.has_obstacle("g.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_global_unit_that_has_its_obstacle_keeps_no_other_off() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    host.manager.have_own(&name("g.service"), Some("active"));
    let daemon = host.boot(&cluster).await;
    let picky = format!("{RUNS}[X-Fleet]\nGlobal=true\nConflicts=h.*\n");
    cluster.submit("g.service", &picky, Launched).await;
    cluster.submit("h.service", &format!("{RUNS}[X-Fleet]\nGlobal=true\n"), Launched).await;
    cluster.shows("h.service", "active", Launched).await;
    time::sleep(HOUR).await;
    daemon.kill().await;
    let _daemon = host.boot(&cluster).await;
    time::sleep(HOUR).await;
    assert_eq!(host.manager.starts_of(&name("h.service")), 1);
    cluster.has_obstacle("g.service", Some(OWN)).await;
    host.manager.have_own(&name("g.service"), None);
    cluster.shows("g.service", "active", Launched).await;
    cluster.shows_nothing("h.service").await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_masked_while_it_runs_goes_on_until_it_has_to_leave() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.deeds();
    host.manager.mask(&name("a.service"), true);
    cluster.has_obstacle("a.service", Some(MASKED)).await;
    daemon.kill().await;
    let _daemon = host.boot(&cluster).await;
    time::sleep(HOUR).await;
    cluster.shows("a.service", "active", Launched).await;
    assert!(is_harmless(&host.deeds()), "it is the engine's to say where it goes");
    cluster.place("a.service", None).await;
    host.has("a.service", "inactive").await;
    host.has_files(&[]).await;
    cluster.shows_nothing("a.service").await;
    assert_eq!(cluster.obstacle("a.service").await.as_deref(), Some(MASKED));
    host.manager.mask(&name("a.service"), false);
    cluster.has_obstacle("a.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_fleet_has_linked_over_the_hosts_is_taken_away_and_the_hosts_runs_on() {
    for leaves in [false, true] {
        let (cluster, host, daemon) = one_host().await;
        cluster.launch("clash.service", RUNS).await;
        cluster.launch("fine.service", RUNS).await;
        for unit in ["clash.service", "fine.service"] {
            cluster.shows(unit, "active", Launched).await;
        }
        daemon.kill().await;
        host.manager.have_own(&name("clash.service"), Some("active"));
        host.deeds();
        let daemon = host.boot(&cluster).await;
        if leaves {
            // Before or after it has seen what is there: nothing of the host's is stopped.
            daemon.stop().await.purge().await;
            let stopped = host.deeds().into_iter().filter(|call| matches!(call, Call::Stop(_)));
            let stopped: Vec<Call> = stopped.collect();
            assert_eq!(stopped, [Call::Stop(name("fine.service"))]);
        } else {
            cluster.has_obstacle("clash.service", Some(OWN)).await;
            host.has_files(&["fine.service"]).await;
            cluster.shows_nothing("clash.service").await;
            cluster.shows("fine.service", "active", Launched).await;
            cluster.destroy("clash.service").await;
            cluster.has_obstacle("clash.service", None).await;
            assert!(is_harmless(&host.deeds()));
        }
        assert_eq!(host.manager.state_of(&name("clash.service")).active, "active");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleetd_that_is_killed_anywhere_tells_of_the_obstacle_all_the_same() {
    for lived in 0..40 {
        let (cluster, host) = (Cluster::new().await, Host::new("m1"));
        host.manager.have_own(&name("clash.service"), Some("active"));
        let daemon = host.boot(&cluster).await;
        cluster.launch("clash.service", RUNS).await;
        for _ in 0..lived {
            tokio::task::yield_now().await;
        }
        daemon.kill().await;
        let _daemon = host.boot(&cluster).await;
        cluster.has_obstacle("clash.service", Some(OWN)).await;
        cluster.place("clash.service", None).await;
        time::sleep(HOUR).await;
        assert_eq!(cluster.obstacle("clash.service").await.as_deref(), Some(OWN), "{lived}");
        assert!(is_harmless(&host.deeds()));
    }
}
