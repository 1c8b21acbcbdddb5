//! The machine's presence, and what hangs on it.

use std::time::Duration;

use fleet_agent::{Ended, fake::Operation};
use fleet_core::JobState::Launched;
use fleet_store::{Key, Op, Range, Store, Txn};
use fleet_testkit::eventually;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::world::{Cluster, Daemon, Host, RUNS, TTL, name, one_host};

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_taken_anew_and_everything_published_again() {
    let (cluster, host, daemon) = one_host().await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\nMachineMetadata=zone=a\n");
    cluster.submit("g.service", &global, Launched).await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.shows("g.service", "active", Launched).await;
    let lost = daemon.presence.current.borrow().clone().unwrap();
    host.deeds();
    cluster.registry.leave(&lost).await.unwrap();
    assert_eq!(cluster.published("a.service").await, None);
    cluster.shows("a.service", "active", Launched).await;
    cluster.shows("g.service", "active", Launched).await;
    assert_ne!(daemon.presence.current.borrow().clone().unwrap().lease, lost.lease);
    assert_eq!(host.deeds(), [], "no unit was touched");
}

#[tokio::test(start_paused = true)]
async fn a_successor_writes_only_the_states_that_are_not_there_yet() {
    let (cluster, host, daemon) = one_host().await;
    for unit in ["same.service", "fails.service"] {
        cluster.launch(unit, RUNS).await;
        cluster.settled(unit).await;
    }
    let written = async || {
        let key = Key::from("/fleet/state/same.service,m1");
        let found = cluster.store.read(&[Range::key(key)], None).await.unwrap();
        found.ranges[0].kvs[0].mod_revision
    };
    let before = written().await;
    daemon.kill().await;
    host.manager.set_state(&name("fails.service"), "failed", "failed");
    let _daemon = host.boot(&cluster).await;
    cluster.shows("fails.service", "failed", Launched).await;
    time::sleep(TTL * 2).await;
    assert_eq!(written().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_from_the_registry_comes_back_and_nothing_else_is_written() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    for unit in ["lost.service", "stays.service"] {
        cluster.launch(unit, RUNS).await;
        cluster.settled(unit).await;
    }
    cluster.launch("bad.service", RUNS).await;
    cluster.tells("bad.service", Some("no room")).await;
    let written = async || {
        let key = Key::from("/fleet/state/stays.service,m1");
        let found = cluster.store.read(&[Range::key(key)], None).await.unwrap();
        found.ranges[0].kvs[0].mod_revision
    };
    let before = written().await;
    for outage in [false, true] {
        let keys = ["/fleet/state/lost.service,m1", "/fleet/trouble/bad.service,m1"];
        let then = keys.map(|key| Op::Delete(Key::from(key))).to_vec();
        cluster.store.commit(Txn { compare: vec![], then }).await.unwrap();
        if outage {
            cluster.store.set_available(false);
            time::sleep(TTL / 6).await;
            cluster.store.set_available(true);
        } else {
            time::sleep(10 * TTL).await;
        }
        let back = Instant::now();
        cluster.shows("lost.service", "active", Launched).await;
        cluster.tells("bad.service", Some("no room")).await;
        assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    }
    assert_eq!(written().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_meets_a_lost_lease_does_not_wait_for_the_next_beat() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    time::sleep(TTL / 3 + Duration::from_secs(1)).await; // just after a beat
    let lost = daemon.presence.current.borrow().clone().unwrap();
    cluster.registry.leave(&lost).await.unwrap();
    let before = Instant::now();
    host.manager.set_state(&name("a.service"), "failed", "failed");
    cluster.shows("a.service", "failed", Launched).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_the_run_after_a_third_of_the_ttl_and_a_beat_begins_it_again() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let mut agent = host.agent(&cluster);
    let stop = CancellationToken::new();
    let presence = agent.register(&stop).await.unwrap();
    cluster.store.set_available(false);
    let before = Instant::now();
    assert_eq!(agent.run(&stop).await, Ended::BeatTimedOut);
    // A third to the beat, which may come an eighth earlier, and a third of failing.
    let (ran, most) = (before.elapsed(), 2 * TTL / 3);
    assert!(ran >= most - TTL / 24 && ran <= most, "{ran:?}");

    let again = time::timeout(Duration::from_secs(10), agent.register(&stop)).await;
    assert!(again.is_err(), "it goes on trying");
    cluster.store.set_available(true);
    assert_eq!(agent.register(&stop).await, Some(presence), "the lease is the same");
}

#[tokio::test(start_paused = true)]
async fn a_successor_in_the_same_process_gets_a_lease_of_its_own_ttl() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let stop = CancellationToken::new();
    let held = host.agent(&cluster).register(&stop).await.unwrap();
    for (ttl, keeps) in [(TTL, true), (TTL * 2, false)] {
        let mut successor = host.agent_with(&cluster, |config| {
            (config.presence, config.ttl) = (Some(held.clone()), ttl);
        });
        let got = successor.register(&stop).await.unwrap();
        assert_eq!((got.ttl, got.created), (ttl, held.created), "its entry never went");
        assert_eq!(got.lease == held.lease, keeps);
        assert_eq!(successor.register(&stop).await, Some(got), "a beat is enough then");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_no_gap_in_contact_and_what_follows_one_is_told() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let stop = CancellationToken::new();
    let mut agent = host.agent(&cluster);
    for ttl in [TTL, TTL, TTL * 2] {
        agent.register(&stop).await.unwrap();
        let handle = agent.presence();
        let (held, before) = (handle.current.borrow().clone(), *handle.contact.borrow());
        assert!(before.is_some_and(|contact| !contact.after_gap));
        time::sleep(TTL / 4).await;
        agent = host.agent_with(&cluster, |config| {
            (config.presence, config.contact, config.ttl) = (held, before, ttl);
        });
        agent.register(&stop).await.unwrap();
        let now = agent.presence().contact.borrow().unwrap();
        assert_eq!(Some(now.since), before.map(|contact| contact.since), "{ttl:?}");
        assert!(now.until >= Instant::now() + ttl / 2);
    }
    time::sleep(TTL * 3).await;
    agent.register(&stop).await.unwrap();
    let contact = agent.presence().contact.borrow().unwrap();
    assert!(contact.since == Instant::now() && contact.after_gap, "the lease had ended");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_ends_nothing() {
    let (cluster, _host, mut daemon) = one_host().await;
    daemon.presence.current.mark_unchanged();
    for _ in 0..20 {
        cluster.store.set_available(false);
        time::sleep(TTL / 4).await;
        cluster.store.set_available(true);
        time::sleep(TTL / 2).await;
    }
    assert!(!daemon.presence.current.has_changed().unwrap());
    let present = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap();
    assert_eq!(present.unwrap().value.metadata["zone"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_the_same_id_waits_until_the_first_has_left() {
    let (cluster, first, second) = (Cluster::new().await, Host::new("m1"), Host::new("m1"));
    let daemon = first.boot(&cluster).await;
    cluster.bring_up("a.service", RUNS).await;
    let other = Daemon::start(second.agent(&cluster));
    time::sleep(Duration::from_secs(600)).await;
    assert_eq!(*other.presence.current.borrow(), None);
    let told = other.presence.obstacle.borrow().clone().unwrap();
    assert!(told.contains("m1") && told.contains("198.18.0.1"), "{told}");
    assert_eq!(second.manager.take_calls(), [], "it does nothing to its units");
    daemon.stop().await.purge().await;
    eventually("the other is present", Duration::from_secs(120), || async {
        other.presence.current.borrow().clone()
    })
    .await;
    eventually("nothing is in the way", Duration::from_secs(1), || async {
        other.presence.obstacle.borrow().is_none().then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_during_an_outage_is_present_soon_after_it() {
    let (cluster, first, fresh) = (Cluster::new().await, Host::new("m1"), Host::new("m2"));
    let daemon = first.boot(&cluster).await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.store.set_available(false);
    time::sleep(Duration::from_secs(70)).await;
    daemon.kill().await;
    let (successor, other) =
        (Daemon::start(first.agent(&cluster)), Daemon::start(fresh.agent(&cluster)));
    time::sleep(Duration::from_secs(90)).await; // in the middle of a long pause, if there were one
    first.deeds();
    cluster.store.set_available(true);
    let back = Instant::now();
    successor.is_present().await;
    other.is_present().await;
    // The engine takes those for dead who aren't back after 10 s.
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    cluster.shows("a.service", "active", Launched).await;
    assert_eq!(first.deeds(), [], "no unit was touched");
}

#[tokio::test(start_paused = true)]
async fn registering_ends_when_told_to_stop() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    cluster.store.set_available(false);
    let mut agent = host.agent(&cluster);
    let stop = CancellationToken::new();
    let (presence, ()) = tokio::join!(agent.register(&stop), async {
        time::sleep(Duration::from_secs(300)).await;
        stop.cancel();
    });
    assert_eq!(presence, None);
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_presence_is_told_and_beats_in_time_are_none() {
    let (cluster, _host, daemon) = one_host().await;
    let contact = || daemon.presence.contact.borrow().unwrap();
    let registered = contact().since;
    time::sleep(TTL * 10).await;
    assert_eq!(contact().since, registered);
    assert!(contact().has_lasted(TTL * 10));

    cluster.store.set_available(false);
    time::sleep(TTL * 20).await;
    assert!(!contact().has_lasted(TTL), "the next beat is overdue");
    cluster.store.set_available(true);
    let back = Instant::now();
    eventually("contact is made again", Duration::from_secs(5), || async {
        if contact().since >= back { Ok(()) } else { Err("as before") }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_published_at_once() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let (address, follow) = watch::channel("198.18.0.2".to_owned());
    let daemon = Daemon::start(host.agent_with(&cluster, |config| config.address = Some(follow)));
    daemon.is_present().await;
    let published = async || {
        let machine = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap().unwrap();
        (machine.value.public_ip, machine.created)
    };
    let (first, created) = published().await;
    assert_eq!(first, "198.18.0.2");
    address.send_replace(String::new());
    eventually("no address is published", Duration::from_secs(1), || async {
        let now = published().await;
        if now == (String::new(), created) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_presence_that_is_handed_over_is_kept_by_a_beat_and_tells_what_is_new() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    let held = daemon.presence.current.borrow().clone();
    drop(daemon.stop().await);
    host.deeds();
    let successor = host.agent_with(&cluster, |config| {
        config.presence.clone_from(&held);
        config.record.metadata.insert("zone".to_owned(), "b".to_owned());
    });
    let daemon = Daemon::start(successor);
    assert_eq!(*daemon.presence.current.borrow(), held);
    let machine = eventually("its metadata is published", Duration::from_secs(1), || async {
        let machine = cluster.registry.machine(&"m1".parse().unwrap()).await.unwrap().unwrap();
        if machine.value.metadata["zone"] == "b" { Some(machine) } else { None }
    })
    .await;
    assert_eq!(*daemon.presence.current.borrow(), held);
    assert!(machine.created < machine.revision, "the entry was never gone");
    time::sleep(TTL).await;
    assert_eq!(host.deeds(), [], "no unit was touched");
    cluster.shows("a.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_watches_follows_by_period() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let daemon = Daemon::start(host.agent_with(&cluster, |config| config.disable_watches = true));
    daemon.is_present().await;
    time::sleep(Duration::from_secs(1)).await; // its first look is over
    cluster.launch("a.service", RUNS).await;
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(host.deeds(), [], "nobody told it");
    cluster.shows("a.service", "active", Launched).await;
    cluster.destroy("a.service").await;
    cluster.shows_nothing("a.service").await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_somebody_deleted_is_made_anew_at_once() {
    let (cluster, host, daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    let before = daemon.presence.current.borrow().clone().unwrap();
    host.deeds();
    let entry = Op::Delete(Key::from("/fleet/machine/m1"));
    cluster.store.commit(Txn { compare: vec![], then: vec![entry] }).await.unwrap();
    let id = "m1".parse().unwrap();
    let deleted = Instant::now();
    eventually("the entry is back", Duration::from_secs(5), || async {
        cluster.registry.machine(&id).await.unwrap()
    })
    .await;
    assert!(deleted.elapsed() < Duration::from_secs(1), "{:?}", deleted.elapsed());
    // What hung on the old lease doesn't go with it.
    time::sleep(2 * TTL).await;
    assert_ne!(daemon.presence.current.borrow().clone().unwrap().lease, before.lease);
    assert!(cluster.registry.machine(&id).await.unwrap().is_some());
    cluster.shows("a.service", "active", Launched).await;
    assert_eq!(host.deeds(), [], "no unit was touched");
}
