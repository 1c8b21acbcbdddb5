//! What goes wrong costs only what it must.

use std::time::Duration;

use fleet_agent::fake::{Call, Operation};
use fleet_core::{
    JobState::{Launched, Loaded},
    UnitFile, UnitOption,
};
use fleet_store::{Key, Op, Range, Store, Txn};
use tokio::time::{self, Instant};

use crate::world::{Cluster, Host, RUNS, hash, name, one_host};

const HOUR: Duration = Duration::from_secs(3600);

fn count(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> usize {
    calls.iter().filter(|call| wanted(call)).count()
}

#[tokio::test(start_paused = true)]
async fn a_bad_unit_blocks_nobody_and_is_retried_with_growing_pauses() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    cluster.launch("bad.service", RUNS).await;
    cluster.bring_up("good.service", RUNS).await;
    host.deeds();
    time::sleep(HOUR).await;
    let tries = count(&host.deeds(), |call| matches!(call, Call::Load(_)));
    assert!((60..=70).contains(&tries), "{tries}");
    host.manager.allow(&name("bad.service"));
    cluster.shows("bad.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn what_systemd_would_read_otherwise_is_not_written_and_blocks_nobody() {
    let (cluster, host, _daemon) = one_host().await;
    // As an earlier fleetd took it.
    let hidden = UnitOption::new("Unit", "Description", "x\r[Service]\rExecStart=/evil");
    let (file, launched) = (UnitFile::new(vec![hidden]), Launched);
    cluster.registry.create_unit(&name("evil.service"), &file, launched).await.unwrap();
    cluster.place("evil.service", Some("m1")).await;
    cluster.bring_up("good.service", RUNS).await;
    let why = "systemd would read something else: option \"Description\" in section \"Unit\" is not \
               as it was submitted";
    cluster.tells("evil.service", Some(why)).await;
    host.has_files(&["good.service"]).await;
    // It can be listed, and destroyed.
    let stored = cluster.registry.unit(&name("evil.service")).await.unwrap().unwrap();
    assert_eq!(stored.file, file);
    cluster.destroy("evil.service").await;
    cluster.tells("evil.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_by_somebody_is_no_reason_to_try_again() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    cluster.launch("bad.service", RUNS).await;
    cluster.tells("bad.service", Some("no room")).await;
    time::sleep(HOUR).await;
    host.deeds();
    for _ in 0..600 {
        host.manager.reload();
        time::sleep(Duration::from_secs(1)).await;
    }
    let tries = count(&host.deeds(), |call| matches!(call, Call::Load(_)));
    assert!((9..=11).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_start_is_retried_and_a_failed_one_is_not() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("refused.service"), Operation::Start, "not now");
    cluster.launch("refused.service", RUNS).await;
    cluster.launch("fails.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    cluster.shows("fails.service", "failed", Launched).await;
    cluster.shows("refused.service", "inactive", Loaded).await;
    time::sleep(HOUR).await;
    assert_eq!(host.manager.starts_of(&name("fails.service")), 1);
    cluster.tells("fails.service", Some("its start failed")).await;
    host.manager.allow(&name("refused.service"));
    cluster.shows("refused.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_came_to_nothing_is_told_of_until_it_does_not_matter() {
    let (cluster, host, _daemon) = one_host().await;
    const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
    for unit in ["stopped.service", "replaced.service", "mended.service"] {
        cluster.launch(unit, FAILS).await;
        cluster.tells(unit, Some("its start failed")).await;
    }
    cluster.want("stopped.service", Loaded).await;
    cluster.tells("stopped.service", None).await;
    cluster.submit("replaced.service", RUNS, Launched).await;
    cluster.tells("replaced.service", None).await;
    host.manager.set_state(&name("mended.service"), "active", "running");
    cluster.tells("mended.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told_for_as_long_as_it_does_and_written_once() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    cluster.launch("bad.service", RUNS).await;
    cluster.tells("bad.service", Some("no room")).await;
    let key: Key = "/fleet/trouble/bad.service,m1".to_owned().into();
    let written = async || {
        let found = cluster.store.read(&[Range::key(key.clone())], None).await.unwrap();
        found.ranges[0].kvs[0].mod_revision
    };
    let first = written().await;
    time::sleep(HOUR).await; // tried again some 60 times
    assert_eq!(written().await, first);
    host.manager.allow(&name("bad.service"));
    host.manager.refuse(&name("bad.service"), Operation::Start, &"x".repeat(10_000));
    cluster.tells("bad.service", Some(&format!("{}...", "x".repeat(500)))).await;
    host.manager.allow(&name("bad.service"));
    cluster.shows("bad.service", "active", Launched).await;
    cluster.tells("bad.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told_while_systemd_is_silent() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.manager.be_silent(Duration::from_secs(25));
    host.manager.set_state(&name("a.service"), "failed", "failed"); // is asked about
    time::sleep(Duration::from_secs(5)).await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    let before = Instant::now();
    cluster.launch("bad.service", RUNS).await;
    cluster.tells("bad.service", Some("no room")).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_agent_told_is_withdrawn_by_the_next() {
    let (cluster, host, daemon) = one_host().await;
    for unit in ["gone.service", "well.service"] {
        host.manager.refuse(&name(unit), Operation::Load, "no room");
        cluster.launch(unit, RUNS).await;
        cluster.tells(unit, Some("no room")).await;
    }
    daemon.kill().await;
    cluster.destroy("gone.service").await;
    host.manager.allow(&name("well.service"));
    let _daemon = host.boot(&cluster).await;
    cluster.shows("well.service", "active", Launched).await;
    cluster.tells("well.service", None).await;
    cluster.tells("gone.service", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_fails_can_be_destroyed_without_waiting() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Start, "never");
    cluster.launch("bad.service", RUNS).await;
    cluster.shows("bad.service", "inactive", Loaded).await;
    time::sleep(HOUR).await; // the pause is a minute by now
    let before = Instant::now();
    cluster.destroy("bad.service").await;
    cluster.shows_nothing("bad.service").await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_reload_that_is_needed_nothing_is_started() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("a.service"), Operation::Reload, "too many reloads");
    cluster.launch("a.service", RUNS).await;
    cluster.shows("a.service", "inactive", Loaded).await;
    time::sleep(HOUR).await;
    let calls = host.deeds();
    assert_eq!(count(&calls, |call| matches!(call, Call::Start(_))), 0);
    assert!(count(&calls, |call| matches!(call, Call::ReloadIfNeeded(_))) <= 70);
    host.manager.allow(&name("a.service"));
    cluster.shows("a.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_runtime_directory_everything_but_memory_works() {
    let (cluster, mut host) = (Cluster::new().await, Host::new("m1"));
    host.runtime_dir = "/proc/nowhere".into();
    let daemon = host.boot(&cluster).await;
    cluster.bring_up("a.service", RUNS).await;
    daemon.kill().await;
    host.deeds();
    let _daemon = host.boot(&cluster).await; // waits until the first one's entry has expired
    cluster.shows("a.service", "active", Launched).await;
    assert_eq!(host.deeds(), []);
}

#[tokio::test(start_paused = true)]
async fn the_file_stays_while_the_unit_can_not_be_stopped() {
    let (cluster, host, _daemon) = one_host().await;
    for unit in ["refused.service", "slow.service"] {
        cluster.launch(unit, &format!("{RUNS}ExecStop=/bin/sleep 1000\n")).await;
        cluster.shows(unit, "active", Launched).await;
    }
    host.manager.refuse(&name("refused.service"), Operation::Stop, "no");
    cluster.destroy("refused.service").await;
    cluster.destroy("slow.service").await;
    time::sleep(Duration::from_secs(500)).await; // its stop was given up some times by then
    host.has_files(&["refused.service", "slow.service"]).await;
    cluster.shows("slow.service", "deactivating", Loaded).await;
    host.has("slow.service", "deactivating").await;
    time::sleep(Duration::from_secs(600)).await;
    host.has_files(&["refused.service"]).await;
    host.manager.allow(&name("refused.service"));
    time::sleep(Duration::from_secs(1200)).await;
    host.has_files(&[]).await;
    cluster.shows_nothing("refused.service").await;
}

const FINISHES: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";

#[tokio::test(start_paused = true)]
async fn a_unit_that_can_not_be_linked_again_is_never_stopped_for_it() {
    let (cluster, host, _daemon) = one_host().await;
    for (unit, text, active) in
        [("runs.service", RUNS, "active"), ("finishes.service", FINISHES, "inactive")]
    {
        cluster.launch(unit, text).await;
        cluster.shows(unit, active, Launched).await;
        host.manager.refuse(&name(unit), Operation::Load, "no answer in time");
        host.manager.unlink(&name(unit));
    }
    host.deeds();
    time::sleep(HOUR).await;
    let calls = host.deeds();
    assert_eq!(count(&calls, |call| !matches!(call, Call::Load(_))), 0, "{calls:?}");
    assert!(!calls.is_empty(), "it is tried");
    cluster.tells("runs.service", Some("no answer in time")).await;
    cluster.shows("runs.service", "active", Launched).await;

    for unit in ["runs.service", "finishes.service"] {
        host.manager.allow(&name(unit));
        cluster.tells(unit, None).await;
        assert_eq!(host.manager.starts_of(&name(unit)), 1);
    }
    host.deeds();
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_is_written_again_and_what_it_ran_is_left_alone() {
    let (cluster, host, mut daemon) = one_host().await;
    let units = ["runs.service", "finishes.service"];
    cluster.launch("runs.service", RUNS).await;
    cluster.launch("finishes.service", FINISHES).await;
    cluster.shows("runs.service", "active", Launched).await;
    cluster.shows("finishes.service", "inactive", Launched).await;
    for successor in [false, true] {
        if successor {
            daemon.kill().await;
            host.manager.lose_files();
            daemon = host.boot(&cluster).await;
        } else {
            host.manager.lose_files();
        }
        host.has_files(&units).await;
        cluster.shows("runs.service", "active", Launched).await;
        cluster.shows("finishes.service", "inactive", Launched).await;
        assert_eq!(units.map(|unit| host.manager.starts_of(&name(unit))), [1, 1], "{successor}");
    }
    // What shouldn't be here any more is stopped, file or not.
    daemon.kill().await;
    host.manager.lose_files();
    cluster.destroy("runs.service").await;
    let _daemon = host.boot(&cluster).await;
    host.has("runs.service", "inactive").await;
    cluster.shows_nothing("runs.service").await;
}

/// Where this fails it hangs: time stands still for whoever never rests.
#[tokio::test(start_paused = true)]
async fn a_retry_that_is_due_during_an_outage_waits_for_its_end() {
    let (cluster, host, _daemon) = one_host().await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    cluster.launch("bad.service", RUNS).await;
    cluster.bring_up("good.service", RUNS).await;
    cluster.store.set_available(false);
    time::sleep(Duration::from_secs(20)).await; // what is on its way may still be done
    host.deeds();
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
    host.manager.allow(&name("bad.service"));
    // Reading anew may take longer than the time between two passes.
    cluster.store.set_read_delay(Duration::from_secs(7));
    cluster.store.set_available(true);
    cluster.shows("bad.service", "active", Launched).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_does_nothing_to_units() {
    let (cluster, host, _daemon) = one_host().await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\nMachineMetadata=zone=a\n");
    cluster.submit("g.service", &global, Launched).await;
    cluster.launch("a.service", RUNS).await;
    cluster.launch("slow.service", &format!("{RUNS}ExecStop=/bin/sleep 20\n")).await;
    for unit in ["a.service", "g.service", "slow.service"] {
        cluster.shows(unit, "active", Launched).await;
    }
    // A stop that ends during the outage isn't followed up in it.
    cluster.destroy("slow.service").await;
    cluster.shows("slow.service", "deactivating", Loaded).await;
    cluster.store.set_available(false);
    host.deeds();
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
    host.has_files(&["a.service", "g.service", "slow.service"]).await;

    cluster.store.set_available(true);
    cluster.shows_nothing("slow.service").await;
    for unit in ["a.service", "g.service"] {
        cluster.shows(unit, "active", Launched).await;
        assert_eq!(host.manager.starts_of(&name(unit)), 1);
    }
    assert!(!host.deeds().contains(&Call::Stop(name("a.service"))));
}

#[tokio::test(start_paused = true)]
async fn a_unit_moved_away_during_an_absence_is_stopped_on_return() {
    let (cluster, host, daemon) = one_host().await;
    cluster.launch("a.service", RUNS).await;
    cluster.launch("b.service", RUNS).await;
    cluster.shows("a.service", "active", Launched).await;
    cluster.shows("b.service", "active", Launched).await;
    daemon.kill().await;
    time::sleep(Duration::from_secs(60)).await; // its lease is gone
    cluster.place("a.service", None).await;
    let _daemon = host.boot(&cluster).await;
    cluster.shows("b.service", "active", Launched).await;
    host.has("a.service", "inactive").await;
    host.has_files(&["b.service"]).await;
    assert_eq!(host.manager.starts_of(&name("b.service")), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_else_has_is_waited_for_on_return() {
    let (cluster, host, other) = (Cluster::new().await, Host::new("m1"), Host::new("m2"));
    let daemon = host.boot(&cluster).await;
    let _other = other.boot(&cluster).await;
    for unit in ["back.service", "nobodys.service", "moved.service", "gone.service"] {
        cluster.bring_up(unit, RUNS).await;
    }
    daemon.kill().await;
    time::sleep(Duration::from_secs(60)).await; // its lease is gone
    for unit in ["back.service", "nobodys.service", "moved.service"] {
        cluster.place(unit, None).await;
    }
    cluster.place("moved.service", Some("m2")).await;
    cluster.destroy("gone.service").await;

    let before = Instant::now();
    let _daemon = host.boot(&cluster).await;
    host.has("moved.service", "inactive").await;
    host.has("gone.service", "inactive").await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    time::sleep(Duration::from_secs(2)).await;
    cluster.place("back.service", Some("m1")).await;
    host.has("nobodys.service", "inactive").await;
    let waited = before.elapsed();
    assert!((4..=6).contains(&waited.as_secs()), "{waited:?}");
    cluster.shows("back.service", "active", Launched).await;
    time::sleep(Duration::from_secs(60)).await;
    assert!(!host.deeds().contains(&Call::Stop(name("back.service"))));
    host.has_files(&["back.service"]).await;
}

#[tokio::test(start_paused = true)]
async fn systemd_out_of_reach_is_caught_up_with_at_once() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.manager.set_available(false);
    cluster.launch("b.service", RUNS).await;
    time::sleep(HOUR).await;
    let before = Instant::now();
    host.manager.set_available(true);
    cluster.shows("b.service", "active", Launched).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(host.manager.starts_of(&name("a.service")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_content_that_is_not_there_is_waited_for_and_the_old_one_runs_on() {
    let (cluster, host, _daemon) = one_host().await;
    cluster.bring_up("a.service", RUNS).await;
    host.deeds();
    // An entry of the schedule that speaks of a content nobody has.
    let entry = format!(r#"{{"hash":"{}","desiredState":"launched"}}"#, hash("[Service]\nX=1\n"));
    let key: Key = "/fleet/schedule/m1/a.service".to_owned().into();
    let put = Op::Put { key, value: entry.into_bytes(), lease: None };
    cluster.store.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
    let there = "[Service]\nX=1\nExecStart=/bin/sleep 5\n";
    cluster.submit("a.service", there, Launched).await;
    cluster.runs("a.service", there).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nobody_understands_stops_nothing_and_starts_nothing() {
    let (cluster, host, daemon) = one_host().await;
    let global = format!("{RUNS}[X-Fleet]\nGlobal=true\n");
    cluster.launch("a.service", RUNS).await;
    cluster.submit("g.service", &global, Launched).await;
    for unit in ["a.service", "g.service"] {
        cluster.shows(unit, "active", Launched).await;
    }
    host.deeds();
    for (unit, under) in
        [("a.service", "schedule/m1"), ("g.service", "global"), ("new.service", "schedule/m1")]
    {
        let why = cluster.garble(&format!("{under}/{unit}")).await;
        cluster.tells(unit, Some(&why)).await;
    }
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
    // Nor does the fleetd after this one.
    daemon.kill().await;
    let daemon = host.boot(&cluster).await;
    time::sleep(HOUR).await;
    assert_eq!(host.deeds(), []);
    for unit in ["a.service", "g.service"] {
        cluster.shows(unit, "active", Launched).await;
        cluster.want(unit, Loaded).await; // writes the order anew
        cluster.shows(unit, "inactive", Loaded).await;
        cluster.tells(unit, None).await;
    }
    // Who is told to leave takes along what is here, whatever it should be.
    let why = cluster.garble("schedule/m1/a.service").await;
    cluster.tells("a.service", Some(&why)).await;
    assert!(daemon.stop().await.purge().await.is_empty());
    host.has_files(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_content_that_is_not_what_its_record_says_is_told_of() {
    let (cluster, host, _daemon) = one_host().await;
    let other = "[Service]\nExecStart=/bin/sleep 1\n";
    let differs =
        format!("its content has the hash {}, its record says {}", hash(other), hash(RUNS));
    let file = |text: Option<&str>| {
        let key: Key = "/fleet/file/a.service".to_owned().into();
        match text {
            Some(text) => Op::Put { key, value: text.into(), lease: None },
            None => Op::Delete(key),
        }
    };
    cluster.submit("a.service", RUNS, Launched).await;
    for (text, said) in
        [(Some(other), differs.as_str()), (None, "the registry has no content of it")]
    {
        cluster.store.commit(Txn { compare: vec![], then: vec![file(text)] }).await.unwrap();
        order(&cluster, Some("m1")).await;
        cluster.tells("a.service", Some(said)).await;
        host.has_files(&[]).await;
        // It is looked at again now and then, for a hand that mends it.
        cluster.store.commit(Txn { compare: vec![], then: vec![file(Some(RUNS))] }).await.unwrap();
        cluster.shows("a.service", "active", Launched).await;
        cluster.tells("a.service", None).await;
        order(&cluster, None).await;
        cluster.shows_nothing("a.service").await;
    }
}

/// Writes the order for `a.service` as the engine does, who looks at no content.
async fn order(cluster: &Cluster, machine: Option<&str>) {
    let id = machine.unwrap_or("m1");
    let key: Key = format!("/fleet/schedule/{id}/a.service").into();
    let value = format!(r#"{{"hash":"{}","desiredState":"launched"}}"#, hash(RUNS)).into_bytes();
    let op = match machine {
        Some(_) => Op::Put { key, value, lease: None },
        None => Op::Delete(key),
    };
    cluster.store.commit(Txn { compare: vec![], then: vec![op] }).await.unwrap();
}
