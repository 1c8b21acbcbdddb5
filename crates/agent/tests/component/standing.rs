//! What a machine says of itself while it leaves, and while its systemd says nothing.

use std::{collections::BTreeSet, time::Duration};

use fleet_core::{JobState::Launched, MachineStanding};
use fleet_registry::MachineRecord;
use fleet_testkit::eventually;
use tokio::time::{self, Instant};

use crate::{
    gate::Gate,
    world::{Cluster, Daemon, Host, RUNS, TTL, name, one_host},
};

async fn entry(cluster: &Cluster) -> Option<MachineRecord> {
    let entry = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap();
    entry.map(|entry| entry.value)
}

async fn says(cluster: &Cluster, standing: MachineStanding, within: Duration) {
    eventually(&format!("m1 is {standing}"), within, || async {
        let said = entry(cluster).await.map(|entry| entry.standing);
        if said == Some(standing) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

/// etcd is frozen for 7 s at every call that a purge makes, in turn. The lease may end meanwhile;
/// then the machine registers anew.
#[tokio::test(start_paused = true)]
async fn a_machine_that_leaves_stays_present_until_its_last_unit_is_gone_whatever_fails() {
    const SHORT: Duration = Duration::from_secs(8); // agent_ttl=9s
    const FROZEN: Duration = Duration::from_secs(7);
    const BACK: Duration = Duration::from_secs(2);
    let slow = format!("{RUNS}ExecStop=/bin/sleep 45\n");
    for calls in 0.. {
        let (cluster, host) = (Cluster::new().await, Host::new("m1"));
        let (gate, registry) = Gate::before(&cluster.store);
        let daemon = Daemon::start(host.agent_on(&registry, |config| config.ttl = SHORT));
        daemon.is_present().await;
        cluster.bring_up("a.service", &slow).await;
        let mut agent = daemon.stop().await;
        gate.shut_after(calls, FROZEN);
        let watching = async {
            loop {
                time::sleep(Duration::from_millis(100)).await;
                if host.manager.state_of(&name("a.service")).active == "inactive" {
                    return;
                }
                let now = Instant::now();
                let excused = |(from, until)| from <= now && now < until + BACK;
                if gate.shut().is_none_or(|shut| !excused(shut)) {
                    let entry = entry(&cluster).await;
                    let entry = entry.unwrap_or_else(|| panic!("absent, frozen at call {calls}"));
                    assert_eq!(entry.standing, MachineStanding::Leaving, "call {calls}");
                }
            }
        };
        let (left, ()) = tokio::join!(agent.purge(), watching);
        assert_eq!(left, BTreeSet::new());
        let Some((_, until)) = gate.shut() else {
            assert!(calls > 20, "a purge of 45 s beats every 2.7 s, and this was all: {calls}");
            return;
        };
        // What can't be ended any more ends by itself.
        let gone = until.max(Instant::now()) + 2 * SHORT;
        time::sleep_until(gone).await;
        assert_eq!(entry(&cluster).await, None, "call {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_says_that_it_leaves_while_a_pass_still_ends() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    // The publisher asks systemd for states, which takes longer than the machine's lease.
    host.manager.be_silent(3 * TTL);
    host.manager.set_state(&name("a.service"), "failed", "failed");
    time::sleep(Duration::from_secs(1)).await;
    daemon.standing.leave();
    says(&cluster, MachineStanding::Leaving, Duration::from_secs(1)).await;
    let stopping = daemon.stop();
    let watching = async {
        time::sleep(2 * TTL).await;
        entry(&cluster).await
    };
    let (_, entry) = tokio::join!(stopping, watching);
    assert!(entry.is_some(), "nobody kept it present while its fleetd was busy");
}

#[tokio::test(start_paused = true)]
async fn a_fleetd_that_starts_anew_does_not_leave_any_more() {
    let (cluster, host, daemon) = one_host().await;
    daemon.standing.leave();
    says(&cluster, MachineStanding::Leaving, Duration::from_secs(1)).await;
    daemon.kill().await;
    let _next = host.boot(&cluster).await;
    says(&cluster, MachineStanding::InService, Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_systemd_is_silent_says_so_after_a_ttl_and_touches_nothing() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.deeds();
    host.manager.be_silent(Duration::from_secs(25));
    says(&cluster, MachineStanding::Silent, TTL + Duration::from_secs(2)).await;
    time::sleep(10 * TTL).await;
    says(&cluster, MachineStanding::Silent, Duration::ZERO).await;
    host.manager.speak_again();
    says(&cluster, MachineStanding::InService, Duration::from_secs(27)).await;
    assert_eq!(host.deeds(), []);
    cluster.shows("a.service", "active", Launched).await;
}
