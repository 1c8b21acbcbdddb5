//! systemd out of reach, and back. These tests have machines of their own.

use std::{collections::BTreeMap, time::Duration};

use fleet_agent::manager::{Job, JobResult, Listed, ManagerError, UnitManager, contract};
use fleet_systemd::{Config, ConnectError, Endpoint, SystemdManager};
use fleet_testkit::eventually;
use tokio::time::{Instant, timeout};

use crate::machine::{
    Machine, RUNS, SOON, file, listed, load, start, state, stop, told, told_of_all, unit, units,
    unload,
};

/// Loads and starts a unit whose start never ends.
async fn hanging(manager: &SystemdManager, name: &str) -> Job {
    load(manager, &[(name, contract::HANGS)]).await;
    manager.start(&unit(name)).await.unwrap()
}

async fn ends(job: Job) -> JobResult {
    timeout(SOON, job.wait()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_bus_is_found_again() {
    let machine = Machine::boot();
    let manager = machine.manager("bus").await;
    load(&manager, &[("bus.service", RUNS)]).await;
    start(&manager, "bus.service").await;
    told(&manager, "bus.service").await;
    let pid = machine.show("bus.service", "MainPID");
    let job = hanging(&manager, "bus-hangs.service").await;
    assert_eq!(manager.lost_since(), None);

    let before = Instant::now();
    machine.run("systemctl stop dbus.socket dbus.service");
    assert_eq!(ends(job).await, JobResult::Lost);
    let since = manager.lost_since().unwrap();
    assert!(since >= before && since <= Instant::now());
    let refused = manager.states(&units(&["bus.service"])).await;
    assert!(matches!(refused, Err(ManagerError::Unavailable(_))), "{refused:?}");
    // What can't be done now is seen to be undone, so that a later pass does it.
    let late = BTreeMap::from([(unit("bus-late.service"), file(RUNS))]);
    let answers = manager.load(&late).await;
    assert!(matches!(answers.values().next(), Some(Err(ManagerError::Unavailable(_)))));
    let answers = manager.unload(&units(&["bus.service"])).await;
    assert!(matches!(answers.values().next(), Some(Err(ManagerError::Unavailable(_)))));
    let here = manager.units().await.unwrap();
    assert_eq!(here[&unit("bus.service")], Listed { finished: false, ..listed(RUNS) });
    assert_eq!(here.get(&unit("bus-late.service")), None, "nobody could say whose that name is");
    assert_eq!(manager.lost_since(), Some(since), "the first moment counts");

    machine.run("systemctl start dbus.socket dbus.service");
    told_of_all(&manager).await;
    assert_eq!(manager.lost_since(), None);
    assert_eq!(state(&manager, "bus.service").await, "loaded/active/running");
    assert_eq!(machine.show("bus.service", "MainPID"), pid, "it wasn't touched");
    load(&manager, &[("bus.service", RUNS), ("bus-late.service", RUNS)]).await;
    assert_eq!(start(&manager, "bus-late.service").await, JobResult::Done);
    told(&manager, "bus-late.service").await;
    assert_eq!(machine.show("bus.service", "MainPID"), pid, "it wasn't touched");
    for name in ["bus.service", "bus-late.service", "bus-hangs.service"] {
        assert_eq!(stop(&manager, name).await, JobResult::Done);
    }
    unload(&manager, &["bus.service", "bus-late.service", "bus-hangs.service"]).await;
    assert!(manager.units().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_that_executes_itself_anew_is_found_again() {
    let machine = Machine::boot();
    let manager = machine.manager("reexec").await;
    load(&manager, &[("reexec.service", RUNS)]).await;
    machine.run("systemctl daemon-reexec");
    told_of_all(&manager).await;
    assert_eq!(start(&manager, "reexec.service").await, JobResult::Done);
    told(&manager, "reexec.service").await;
    assert_eq!(stop(&manager, "reexec.service").await, JobResult::Done);
    unload(&manager, &["reexec.service"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_socket_serves_where_there_is_no_bus() {
    let machine = Machine::boot();
    let nowhere = Endpoint { address: "unix:path=/nonexistent".to_owned(), private: false };
    // systemd wants to know the process at the other end, so it must be one of the host.
    let proxy = "/usr/lib/systemd/systemd-socket-proxyd /run/systemd/private";
    for (name, text) in [
        ("proxy.socket", "[Socket]\nListenStream=/run/proxy.sock\n"),
        ("proxy.service", &format!("[Service]\nExecStart={proxy}\n")),
    ] {
        machine.host().write(&format!("/etc/systemd/system/{name}"), text).unwrap();
    }
    machine.run("systemctl start proxy.socket");
    let private = machine.endpoint("run/proxy.sock", true);
    let config = Config { endpoints: vec![nowhere, private], ..machine.config("private") };
    let manager = SystemdManager::connect(config).await.unwrap();
    contract::all(&manager, "private").await;
    // This closes the private connections.
    machine.run("systemctl daemon-reexec");
    told_of_all(&manager).await;
    contract::changes_are_told(&manager, "private").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_systemd_holds_nobody_up() {
    let machine = Machine::boot();
    let patience = Duration::from_millis(300);
    let config = Config { call_timeout: patience, ..machine.config("silent") };
    let manager = SystemdManager::connect(config.clone()).await.unwrap();
    let init = machine.host().init().unwrap();
    init.signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    // More than may be in flight: those that wait in line have no more time than the others.
    let name = unit("silent.service");
    let starts = futures::future::join_all((0..250).map(|_| manager.start(&name))).await;
    let other = starts.iter().find(|start| !matches!(start, Err(ManagerError::Untold(_))));
    assert!(other.is_none(), "{:?}", other.map(|start| start.as_ref().err()));
    let refused = SystemdManager::connect(config).await.map(drop);
    assert!(matches!(refused, Err(ConnectError::Dial { .. })), "{refused:?}");
    assert!(begun.elapsed() < 10 * patience, "{:?}", begun.elapsed());
    init.signal(nix::sys::signal::Signal::SIGCONT).unwrap();
    eventually("systemd answers again", SOON, || async {
        manager.states(&units(&["silent.service"])).await
    })
    .await;
}
