//! From load to unload.

use std::{collections::BTreeMap, time::Duration};

use fleet_agent::manager::{JobResult, ManagerError, UnitManager, contract};
use futures::future::join_all;
use tokio::time::{Instant, timeout};

use crate::machine::{
    Machine, RUNS, SOON, file, listed, load, logged, reload, start, state, stop, told, unit, units,
    unload,
};

#[tokio::test]
async fn manager_keeps_the_contract() {
    let machine = Machine::shared();
    contract::all(&machine.manager("contract").await, "contract").await;
}

#[tokio::test]
async fn unit_goes_through_its_life() {
    let machine = Machine::shared();
    let manager = machine.manager("life").await;
    let name = "life.service";
    assert_eq!(state(&manager, name).await, "not-found/inactive/dead");

    load(&manager, &[(name, RUNS)]).await;
    assert_eq!(manager.units().await.unwrap(), BTreeMap::from([(unit(name), listed(RUNS))]));
    assert_eq!(state(&manager, name).await, "loaded/inactive/dead");
    assert!(!reload(&manager, &[name]).await, "systemd hasn't met it");

    assert_eq!(start(&manager, name).await, JobResult::Done);
    told(&manager, name).await;
    assert_eq!(state(&manager, name).await, "loaded/active/running");
    assert_ne!(machine.show(name, "MainPID"), "0");

    assert_eq!(stop(&manager, name).await, JobResult::Done);
    told(&manager, name).await;
    unload(&manager, &[name]).await;
    assert_eq!(state(&manager, name).await, "not-found/inactive/dead");
    assert!(manager.units().await.unwrap().is_empty());
    assert!(matches!(manager.start(&unit(name)).await, Err(ManagerError::Refused(_))));
    assert_eq!(machine.run("systemctl list-units --all --no-legend life.service"), "");
    assert_eq!(machine.run("find /run/systemd -name life.service"), "");

    let number = |verb: &str| {
        let lines = logged(&format!("Triggered systemd unit life.service {verb}: job="));
        let number = lines[0].rsplit_once('=').unwrap().1.parse::<u32>().unwrap();
        assert_ne!(number, 0);
        assert_eq!(lines.len(), 1);
    };
    number("start");
    number("stop");
    assert_eq!(
        logged("Writing systemd unit life.service"),
        [format!("INFO Writing systemd unit life.service ({}b)", file(RUNS).to_text().len())]
    );
    assert_eq!(logged("Removing").iter().filter(|line| line.contains("unit life.")).count(), 1);
    assert_eq!(
        logged("Failed to trigger systemd unit life.service"),
        ["ERROR Failed to trigger systemd unit life.service start: Unit life.service not found."]
    );
}

#[tokio::test]
async fn unit_that_cannot_be_started_costs_only_itself() {
    let machine = Machine::shared();
    let manager = machine.manager("refused").await;
    let (bad, good) = ("refused-bad.service", "refused-good.service");
    load(&manager, &[(bad, "[Service]\nExecStart=no/such/path\n"), (good, RUNS)]).await;
    reload(&manager, &[bad, good]).await;
    let refused = manager.start(&unit(bad)).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "Unit refused-bad.service has a bad unit file setting.");
    assert_eq!(state(&manager, bad).await, "bad-setting/inactive/dead");
    assert_eq!(start(&manager, good).await, JobResult::Done);
    stop(&manager, good).await;
    unload(&manager, &[bad, good]).await;
}

#[tokio::test]
async fn bad_install_section_is_undone_and_named() {
    let machine = Machine::shared();
    let manager = machine.manager("install").await;
    let (bad, good) = (unit("install-bad.service"), unit("install-good.service"));
    let files = [(bad.clone(), contract::BAD_INSTALL), (good.clone(), RUNS)];
    let answers = manager.load(&files.map(|(name, text)| (name, file(text))).into()).await;
    assert_eq!(
        answers[&bad].as_ref().unwrap_err().to_string(),
        "Failed to enable systemd unit install-bad.service: unit has no installation information"
    );
    assert!(answers[&good].is_ok());
    assert_eq!(machine.run("find /run/systemd -name install-bad.service"), "");
    assert!(!manager.units().await.unwrap().contains_key(&bad));
    unload(&manager, &["install-good.service"]).await;
}

#[tokio::test]
async fn job_of_a_slow_stop_ends_when_the_unit_has_stopped() {
    let machine = Machine::shared();
    let manager = machine.manager("slow").await;
    let (slow, quick) = ("slow.service", "slow-quick.service");
    let takes_its_time = format!("{RUNS}ExecStop=/bin/sleep 1\n");
    load(&manager, &[(slow, &takes_its_time), (quick, RUNS)]).await;
    start(&manager, slow).await;
    let begun = Instant::now();
    let job = manager.stop(&unit(slow)).await.unwrap();
    assert_eq!(start(&manager, quick).await, JobResult::Done, "others aren't held up");
    assert_eq!(state(&manager, slow).await, "loaded/deactivating/stop");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(timeout(SOON, job.wait()).await.unwrap(), JobResult::Done);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(state(&manager, slow).await, "loaded/inactive/dead");
    stop(&manager, quick).await;
    unload(&manager, &[slow, quick]).await;
}

#[tokio::test]
async fn many_units_go_in_one_batch() {
    let machine = Machine::shared();
    let manager = machine.manager("many").await;
    // More than dbus-daemon allows replies to be pending.
    let names: Vec<String> = (0..150).map(|i| format!("many-{i}.service")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, RUNS)).collect();
    load(&manager, &files).await;
    assert!(!reload(&manager, &names).await);
    let started = join_all(names.iter().map(|name| start(&manager, name))).await;
    assert!(started.iter().all(|result| *result == JobResult::Done), "{started:?}");
    let states = manager.states(&units(&names)).await.unwrap();
    assert_eq!(states.len(), names.len());
    assert!(states.values().all(|state| state.active == "active"), "{states:?}");
    let stopped = join_all(names.iter().map(|name| stop(&manager, name))).await;
    assert!(stopped.iter().all(|result| *result == JobResult::Done), "{stopped:?}");
    unload(&manager, &names).await;
    assert!(!reload(&manager, &[]).await, "systemd has forgotten them all");
    assert_eq!(machine.run("systemctl list-units --all --no-legend many-*"), "");
}

#[tokio::test]
async fn running_unit_is_adopted_untouched() {
    let machine = Machine::boot(); // what others enable makes a newer systemd want a reload
    let name = "adopted.service";
    let pid = {
        let manager = machine.manager("adopted").await;
        load(&manager, &[(name, RUNS)]).await;
        start(&manager, name).await;
        machine.show(name, "MainPID")
    };
    let manager = machine.manager("adopted").await;
    assert_eq!(manager.units().await.unwrap()[&unit(name)], listed(RUNS));
    load(&manager, &[(name, RUNS)]).await;
    assert!(!reload(&manager, &[name]).await);
    assert_eq!(start(&manager, name).await, JobResult::Done);
    assert_eq!(machine.show(name, "MainPID"), pid);
    assert_eq!(logged("Writing systemd unit adopted.service").len(), 1);
    // A unit that changes by itself is told of, without any call of ours.
    machine.run("systemctl kill --signal=KILL adopted.service");
    told(&manager, name).await;
    while state(&manager, name).await != "loaded/failed/failed" {
        told(&manager, name).await;
    }
    unload(&manager, &[name]).await;
    assert_eq!(state(&manager, name).await, "not-found/inactive/dead");
}
