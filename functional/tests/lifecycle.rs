//! What fleet leaves to systemd (`cluster.md` 1, 5): what has finished, what fails, what systemd
//! restarts, what is slow. A lab of two hosts whose fleetd keeps its units when it stops.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, State, Stopwatch, eventually, throughout, units};

const SOON: Duration = Duration::from_secs(10);
/// Longer than an agent takes to notice anything, and to act on it.
const WATCHED: Duration = Duration::from_secs(4);
/// Longer than `agent_ttl` below.
const HANG: Duration = Duration::from_secs(9);

#[test]
fn what_systemd_decides_is_left_to_it() -> Result<()> {
    let lab = Lab::with_hosts(2).config("agent_ttl=6s").config("purge_on_shutdown=false");
    lab.story(|lab| {
        what_fails_or_is_restarted_stays_where_it_is(lab).context("failing")?;
        a_slow_stop_holds_up_nothing_and_can_be_seen(lab).context("slow stop")?;
        what_has_finished_is_not_run_again(lab).context("finished")
    })
}

/// Returns the state of `unit`, which one machine reports.
fn state_of(lab: &Lab, unit: &str) -> Result<State> {
    let states = lab.host(1)?.api()?.states()?;
    let mut mine = states.into_iter().filter(|state| state.unit == unit);
    let state = mine.next().with_context(|| format!("{unit} has no state"))?;
    ensure!(mine.next().is_none(), "{unit} has several states");
    Ok(state)
}

/// Waits until `unit` is reported as `wanted` (active and sub state) and returns its host.
fn reported<'a>(lab: &'a Lab, unit: &str, wanted: &str) -> Result<&'a Host> {
    let state = eventually(&format!("{unit} is {wanted}"), SOON, || {
        let state = state_of(lab, unit)?;
        ensure!(format!("{}/{}", state.active, state.sub) == wanted, "it is {state:?}");
        Ok(state)
    })?;
    lab.host_with_id(&state.machine)
}

fn runs_of(host: &Host, unit: &str) -> Result<usize> {
    let path = format!("/run/runs-{unit}");
    Ok(host.run(&["cat", &path])?.lines().count())
}

/// A service that notes each of its runs, and then does something.
fn noting(rest: &str) -> String {
    format!("[Service]\nExecStartPre=/bin/sh -c 'echo run >>/run/runs-%n'\n{rest}")
}

fn what_has_finished_is_not_run_again(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    let kinds = [
        ("once.service", "Type=oneshot\nExecStart=/bin/true\n", "inactive/dead"),
        (
            "kept.service",
            "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
            "active/exited",
        ),
        ("done.service", "ExecStart=/bin/true\n", "inactive/dead"),
        ("broken.service", "ExecStart=/bin/false\n", "failed/failed"),
    ];
    for (unit, rest, _) in kinds {
        api.put(unit, &noting(rest), "launched")?;
    }
    let unchanged = || -> Result<()> {
        for (unit, _, end) in kinds {
            let state = state_of(lab, unit)?;
            let found = format!("{}/{}", state.active, state.sub);
            ensure!(found == end, "{unit} is {found}");
            let runs = runs_of(lab.host_with_id(&state.machine)?, unit)?;
            ensure!(runs == 1, "{unit} ran {runs} times");
        }
        Ok(())
    };
    eventually("each has run once", SOON, unchanged)?;

    for host in lab.hosts() {
        let fleetd = host.fleetd()?;
        host.run(&["systemctl", "kill", "--signal=KILL", "fleet.service"])?;
        fleetd.wait_gone(SOON)?;
    }
    all_back(lab)?;
    throughout("a killed fleetd's successor runs nothing again", WATCHED, || {
        ran_once(lab, &kinds)
    })?;
    eventually("and reports the same", SOON, unchanged)?;

    for host in lab.hosts() {
        host.run(&["systemctl", "restart", "fleet.service"])?;
    }
    all_back(lab)?;
    throughout("nor does one that was restarted", WATCHED, || ran_once(lab, &kinds))?;
    eventually("and reports the same", SOON, unchanged)?;

    lab.etcd().freeze()?;
    throughout("nor while etcd hangs", HANG, || ran_once(lab, &kinds))?;
    lab.etcd().thaw()?;
    throughout("nor after it", WATCHED, || ran_once(lab, &kinds))?;
    eventually("and the same is reported", SOON, unchanged)
}

fn all_back(lab: &Lab) -> Result<()> {
    eventually("every fleetd serves", SOON, || lab.wait_for_machines())
}

/// Checks on all hosts that each unit has run at most once, and on one of them.
fn ran_once(lab: &Lab, kinds: &[(&str, &str, &str)]) -> Result<()> {
    for (unit, _, _) in kinds {
        let runs: usize = lab.hosts().iter().map(|host| runs_of(host, unit).unwrap_or(0)).sum();
        ensure!(runs == 1, "{unit} ran {runs} times");
    }
    Ok(())
}

fn what_fails_or_is_restarted_stays_where_it_is(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    api.put("fails.service", &noting("ExecStart=/bin/false\n"), "launched")?;
    let again = "ExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n\
                 [Unit]\nStartLimitIntervalSec=0\n";
    api.put("again.service", &noting(again), "launched")?;

    let host = reported(lab, "fails.service", "failed/failed")?;
    let restarting = lab.host_with_id(&eventually("it is placed", SOON, || {
        Ok(state_of(lab, "again.service")?.machine)
    })?)?;
    throughout("fleet leaves both alone", WATCHED, || {
        ensure!(state_of(lab, "fails.service")?.machine == host.machine_id(), "it moved");
        ensure!(state_of(lab, "again.service")?.machine == restarting.machine_id(), "it moved");
        ensure!(runs_of(host, "fails.service")? == 1, "it was started again");
        Ok(())
    })?;
    assert_eq!(api.unit("fails.service")?["currentState"], "launched");
    let runs = runs_of(restarting, "again.service")?;
    ensure!(runs > 10, "systemd has restarted it only {runs} times");
    // fleet has asked for one start, all others were systemd's.
    let journal = restarting.journal("fleet.service", 10_000);
    assert_eq!(journal.matches("Triggered systemd unit again.service start").count(), 1);
    for unit in ["fails.service", "again.service"] {
        api.destroy(unit)?;
    }
    lab.wait_for_states("nothing is left", SOON, <[State]>::is_empty)?;
    let shown = host.show("fails.service", "LoadState,ActiveState")?;
    assert_eq!(
        (shown["LoadState"].as_str(), shown["ActiveState"].as_str()),
        ("not-found", "inactive")
    );
    Ok(())
}

fn a_slow_stop_holds_up_nothing_and_can_be_seen(lab: &Lab) -> Result<()> {
    const STOP: Duration = Duration::from_secs(5);
    let mut api = lab.host(1)?.api()?;
    let slow = format!("{}ExecStop=/usr/bin/sleep {}\n", units::SLEEPER, STOP.as_secs());
    api.put("slow.service", &slow, "launched")?;
    let host = reported(lab, "slow.service", "active/running")?;

    let watch = Stopwatch::start();
    api.destroy("slow.service")?;
    let quick = format!("{}[X-Fleet]\nMachineID={}\n", units::SLEEPER, host.machine_id());
    api.put("quick.service", &quick, "launched")?;
    reported(lab, "quick.service", "active/running")?;
    api.destroy("quick.service")?;
    eventually("the quick one is gone", SOON, || {
        ensure!(state_of(lab, "quick.service").is_err(), "it is still there");
        Ok(())
    })?;
    let shown = state_of(lab, "slow.service")?;
    ensure!(watch.elapsed() < STOP, "the quick one had to wait");
    assert_eq!((shown.active.as_str(), shown.sub.as_str()), ("deactivating", "stop"));
    lab.wait_for_states("it is gone as well", SOON, <[State]>::is_empty)?;
    ensure!(watch.elapsed() >= STOP, "it went before it had stopped");
    host.not_active("slow.service")
}
