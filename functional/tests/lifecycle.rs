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
        an_exit_code_says_how_a_start_went(lab).context("starts")?;
        what_is_said_to_have_stopped_has(lab).context("stops")?;
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

/// Runs fleetctl on the first host; returns its exit code and what it wrote to stderr.
fn fleetctl(lab: &Lab, words: &[&str]) -> Result<(Option<i32>, String)> {
    let output = lab.host(1)?.output(&[&["fleetctl"], words].concat())?;
    Ok((output.code, output.stderr))
}

/// Starts a unit with this content, and insists on how that ends and on what is said.
fn start(lab: &Lab, unit: &str, content: &str, code: i32, said: &[&str]) -> Result<()> {
    let file = units::hand_over(lab.host(1)?, unit, content)?;
    let (found, err) = fleetctl(lab, &["start", "--replace", &file])?;
    ensure!(found == Some(code), "start of {unit} gave {found:?}: {err}");
    ensure!(said.iter().all(|text| err.contains(text)), "start of {unit} says {err}");
    Ok(())
}

fn an_exit_code_says_how_a_start_went(lab: &Lab) -> Result<()> {
    let service = |rest: &str| format!("[Service]\n{rest}\n");
    let failed = "systemd reports failed (failed): exit-code, status 1";
    for round in 0..5 {
        let unit = format!("false{round}.service");
        start(lab, &unit, &service("ExecStart=/bin/false"), 1, &[failed])?;
    }
    // What dies later has been started.
    let later = service("ExecStart=/bin/sh -c 'sleep .2; exit 3'");
    start(lab, "later.service", &later, 0, &[])?;
    start(lab, "turns.service", units::SLEEPER, 0, &[])?;
    start(lab, "turns.service", &service("ExecStart=/bin/false"), 1, &[failed])?;
    let looping = "ExecStartPre=/usr/bin/there-is-none\nExecStart=/bin/sleep infinity\n\
                   Restart=always\nRestartSec=5";
    let said = "it is in a restart loop: exit-code, status 203";
    start(lab, "loop.service", &service(looping), 1, &[said])?;
    let (_, why) = fleetctl(lab, &["start", "loop.service"])?;
    ensure!(why.contains(said), "{why}");
    let limit = "ExecStart=/bin/sh -c 'exit 1'\nRestart=always\nRestartSec=100ms";
    start(lab, "limit.service", &service(limit), 1, &["start-limit-hit", "status 1"])?;
    let needs = format!("[Unit]\nRequires=there-is-none.service\n{}", units::SLEEPER);
    start(lab, "needs.service", &needs, 1, &["there-is-none.service not found"])?;
    start(lab, "bad.service", &service("ExecStart=bin/relative"), 1, &["bad unit file setting"])?;

    let crash = service("ExecStart=/bin/sh -c 'sleep 1; exit 3'");
    start(lab, "crash.service", &crash, 0, &[])?;
    reported(lab, "crash.service", "failed/failed")?;
    let again = "status 3. To run it again: fleetctl restart crash.service";
    eventually("a second start says that it failed", SOON, || {
        let (code, err) = fleetctl(lab, &["start", "crash.service"])?;
        ensure!(code == Some(1) && err.contains(again), "{code:?}: {err}");
        Ok(())
    })?;
    start(lab, "once.service", &service("Type=oneshot\nExecStart=/bin/true"), 0, &[])?;
    let (code, err) = fleetctl(lab, &["start", "once.service"])?;
    ensure!(code == Some(0) && err.contains("has finished"), "{code:?}: {err}");

    let everywhere = format!("{}[X-Fleet]\nGlobal=true\n", units::SLEEPER);
    start(lab, "all.service", &everywhere, 0, &[])?;
    eventually("it runs everywhere", SOON, || {
        lab.hosts().iter().try_for_each(|host| host.active("all.service").map(drop))
    })?;
    let failing = service("ExecStart=/bin/false\n[X-Fleet]\nGlobal=true");
    start(lab, "all.service", &failing, 1, &[failed])?;
    let all = lab.host(1)?.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit"])?;
    let words: Vec<&str> = ["destroy"].into_iter().chain(all.lines()).collect();
    let (code, err) = fleetctl(lab, &words)?;
    ensure!(code == Some(0), "{err}");
    ensure!(lab.host(1)?.api()?.states()?.is_empty(), "something is left");
    Ok(())
}

fn what_is_said_to_have_stopped_has(lab: &Lab) -> Result<()> {
    const STOP: Duration = Duration::from_secs(3);
    let slow = format!("{}ExecStop=/bin/sleep {}\n", units::SLEEPER, STOP.as_secs());
    for command in ["stop", "unload", "destroy"] {
        start(lab, "slowstop.service", &slow, 0, &[])?;
        let host = reported(lab, "slowstop.service", "active/running")?;
        let watch = Stopwatch::start();
        let (code, err) = fleetctl(lab, &[command, "slowstop.service"])?;
        ensure!(code == Some(0), "{command}: {err}");
        ensure!(watch.elapsed() >= STOP, "{command} came back after {:?}", watch.elapsed());
        host.not_active("slowstop.service")?;
    }
    // One that has to be killed.
    let stubborn = "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n\
                    TimeoutStopSec=2\n";
    start(lab, "stubborn.service", stubborn, 0, &[])?;
    let watch = Stopwatch::start();
    let (code, err) = fleetctl(lab, &["stop", "stubborn"])?;
    ensure!(code == Some(0) && watch.elapsed() >= Duration::from_secs(2), "{code:?} {err}");
    let state = state_of(lab, "stubborn.service")?;
    ensure!(state.active == "failed", "systemd's own word is another one than {state:?}");
    let (code, err) = fleetctl(lab, &["destroy", "stubborn"])?;
    ensure!(code == Some(0), "{err}");
    ensure!(state_of(lab, "stubborn.service").is_err(), "it is still reported");
    Ok(())
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
