//! What the host has of its own stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use fleet_agent::manager::{JobResult, ManagerError, Taken, UnitManager, contract};
use fleet_systemd::SystemdManager;

use crate::machine::{Machine, RUNS, file, load, reload, start, state, stop, unit, units, unload};

const OWN: &str = "this machine has a unit of that name of its own";

/// Gives the host a unit of its own, which runs, and returns its process.
fn give(machine: &Machine, name: &str) -> String {
    machine.host().write(&format!("/etc/systemd/system/{name}"), RUNS).unwrap();
    machine.run("systemctl daemon-reload");
    machine.run(&format!("systemctl start {name}"));
    machine.show(name, "MainPID")
}

/// What is said of a unit that is to be loaded; nothing when it was.
async fn refusal(manager: &SystemdManager, name: &str, text: &str) -> Option<String> {
    let mut answers = manager.load(&[(unit(name), file(text))].into()).await;
    match answers.remove(&unit(name)).unwrap() {
        Ok(()) => None,
        Err(ManagerError::Taken(why)) => Some(why),
        Err(error) => panic!("{error:?}"),
    }
}

async fn taken(manager: &SystemdManager, others: &[&str]) -> BTreeMap<String, Taken> {
    let others = units(others).into_iter().map(|unit| (unit, BTreeSet::new())).collect();
    let taken = manager.taken(&others).await.unwrap();
    taken.into_iter().map(|(unit, taken)| (unit.to_string(), taken)).collect()
}

#[tokio::test]
async fn unit_of_the_hosts_is_left_alone() {
    let machine = Machine::shared();
    let manager = machine.manager("own").await;
    let pid = give(&machine, "own.service");
    contract::a_unit_of_the_hosts_is_left_alone(&manager, "own", &unit("own.service")).await;
    assert_eq!(machine.show("own.service", "MainPID"), pid);
    assert_eq!(machine.run("find /run/systemd/system -name own*"), "");
    machine.run("systemctl stop own.service");
}

#[tokio::test]
async fn names_of_every_kind_of_unit_that_a_host_has_are_taken() {
    let machine = Machine::shared();
    let manager = machine.manager("kinds").await;
    machine.run("systemd-run --quiet --unit=kinds-transient sleep infinity");
    machine.run("mkdir -p /run/kinds/mounted");
    machine.run("mount -t tmpfs kinds /run/kinds/mounted");
    machine.run("systemctl mask --quiet --runtime kinds-masked.service");
    for name in [
        "dbus.service",
        "systemd-journald.service",
        "multi-user.target",
        "getty@tty7.service", // of a template
        "kinds-transient.service",
        "run-kinds-mounted.mount", // without a file
        "system.slice",
        "-.mount",
    ] {
        let before = state(&manager, name).await;
        let why = refusal(&manager, name, "[Unit]\nDescription=a\n").await;
        assert!(why.as_ref().is_some_and(|why| why.starts_with(OWN)), "{name}: {why:?}");
        for answer in [manager.start(&unit(name)).await, manager.stop(&unit(name)).await] {
            assert!(matches!(answer, Err(ManagerError::Taken(_))), "{name}: {answer:?}");
        }
        assert_eq!(state(&manager, name).await, before, "{name}");
    }
    let why = refusal(&manager, "kinds-masked.service", RUNS).await;
    assert_eq!(why.unwrap(), format!("{OWN}: it is masked"));
    assert_eq!(machine.run("readlink /run/systemd/system/kinds-masked.service"), "/dev/null\n");
    let alias = format!("{RUNS}[Install]\nAlias=dbus.service\n");
    let why = refusal(&manager, "kinds.service", &alias).await.unwrap();
    assert_eq!(why, "this machine has a unit of its own called dbus.service, an alias of this one");
    // One that only systemd can spell.
    let host = machine.run("uname -n").trim().to_owned();
    machine.host().write(&format!("/etc/systemd/system/kinds-{host}.service"), RUNS).unwrap();
    let alias = format!("{RUNS}[Install]\nAlias=kinds-%H.service\n");
    assert!(refusal(&manager, "kinds.service", &alias).await.is_some());
    assert!(manager.units().await.unwrap().is_empty());
    assert_eq!(machine.run("find /run/systemd/system -name dbus.service"), "");
    machine.run("systemctl stop kinds-transient.service");
    machine.run("umount /run/kinds/mounted");
    machine.run("systemctl unmask --quiet --runtime kinds-masked.service");
    assert_eq!(refusal(&manager, "kinds-masked.service", RUNS).await, None);
    unload(&manager, &["kinds-masked.service"]).await;
}

#[tokio::test]
async fn link_of_an_earlier_fleet_goes_and_the_hosts_unit_runs_on() {
    let machine = Machine::boot(); // others reload
    let name = "earlier.service";
    {
        let manager = machine.manager("earlier").await;
        load(&manager, &[(name, RUNS)]).await;
    }
    let pid = give(&machine, name);
    let manager = machine.manager("earlier").await;
    manager.units().await.unwrap();
    let found = taken(&manager, &[]).await;
    assert_eq!((&*found[name].why, found[name].runs_ours), (OWN, false));
    let refused = manager.stop(&unit(name)).await;
    assert!(matches!(refused, Err(ManagerError::Taken(_))), "{refused:?}");
    unload(&manager, &[name]).await;
    reload(&manager, &[]).await;
    assert_eq!(machine.run("find /run/systemd/system -name earlier.service"), "");
    assert_eq!(machine.show(name, "MainPID"), pid);
    assert_eq!(machine.show(name, "FragmentPath"), "/etc/systemd/system/earlier.service");
    // What failed is the host's to reset.
    machine.run("systemctl kill --signal=KILL earlier.service");
    while state(&manager, name).await != "loaded/failed/failed" {}
    unload(&manager, &[name]).await;
    assert_eq!(state(&manager, name).await, "loaded/failed/failed");
    assert_eq!(taken(&manager, &[name]).await.len(), 1);
    machine.run("rm /etc/systemd/system/earlier.service");
    machine.run("systemctl reset-failed earlier.service");
    machine.run("systemctl daemon-reload");
    assert_eq!(taken(&manager, &[name]).await, BTreeMap::new());
}

#[tokio::test]
async fn unit_of_fleets_that_is_masked_stops_and_leaves_the_mask_and_no_link() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("masked").await;
    let name = "masked.service";
    let text = format!("{RUNS}[Install]\nWantedBy=multi-user.target\nAlias=masked-too.service\n");
    load(&manager, &[(name, &text)]).await;
    reload(&manager, &[name]).await;
    start(&manager, name).await;
    machine.run("systemctl --runtime --force mask masked.service");
    manager.units().await.unwrap();
    let found = taken(&manager, &[]).await;
    assert_eq!(found[name].why, format!("{OWN}: it is masked"));
    assert!(found[name].runs_ours);
    for refused in [manager.start(&unit(name)).await, manager.restart(&unit(name)).await] {
        assert!(matches!(refused, Err(ManagerError::Taken(_))), "{refused:?}");
    }
    assert_eq!(refusal(&manager, name, &text).await.as_deref(), Some(&*found[name].why));
    assert_eq!(stop(&manager, name).await, JobResult::Done);
    unload(&manager, &[name]).await;
    assert_eq!(machine.run("readlink /run/systemd/system/masked.service"), "/dev/null\n");
    assert_eq!(machine.run("find /run/systemd/system -name masked-too.service"), "");
    assert_eq!(machine.run("find /run/systemd/system -path *.wants/masked.service"), "");
}

#[tokio::test]
async fn unit_of_fleets_that_the_host_gets_one_for_may_stop_until_systemd_has_read_that() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("late").await;
    let name = "late.service";
    load(&manager, &[(name, RUNS)]).await;
    start(&manager, name).await;
    machine.host().write("/etc/systemd/system/late.service", RUNS).unwrap();
    manager.units().await.unwrap();
    assert!(taken(&manager, &[]).await[name].runs_ours);
    machine.run("systemctl daemon-reload");
    assert!(!taken(&manager, &[]).await[name].runs_ours, "whose process it is can't be told");
    let refused = manager.stop(&unit(name)).await;
    assert!(matches!(refused, Err(ManagerError::Taken(_))), "{refused:?}");
    unload(&manager, &[name]).await;
    assert_eq!(state(&manager, name).await, "loaded/active/running");
}

#[tokio::test]
async fn unit_of_the_hosts_is_not_enabled_along_with_one_of_fleets() {
    let machine = Machine::shared();
    let manager = machine.manager("also").await;
    let theirs = format!("{RUNS}[Install]\nWantedBy=multi-user.target\n");
    machine.host().write("/etc/systemd/system/also-host.service", &theirs).unwrap();
    let text = format!("{RUNS}[Install]\nWantedBy=multi-user.target\nAlso=also-host.service\n");
    load(&manager, &[("also.service", &text)]).await;
    let links = machine.run("find /run/systemd/system -path *.wants/also*");
    assert_eq!(links, "/run/systemd/system/multi-user.target.wants/also.service\n");
    unload(&manager, &["also.service"]).await;
    assert_eq!(machine.run("find /run/systemd/system -name also*"), "");
}
