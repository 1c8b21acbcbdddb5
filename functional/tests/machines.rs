//! What becomes of units when their machine, its fleetd or its way to etcd goes away
//! (cluster.md 7).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use fleet_functional::{Host, Lab, Run, State, eventually, throughout, units};

const SOON: Duration = Duration::from_secs(10);
/// Short, so that a loss is noticed soon; long enough for a busy machine to keep its lease.
const TTL: &str = "agent_ttl=5s";
/// `TTL`, what etcd may add to it, and time to start elsewhere on a busy machine.
const LOST: Duration = Duration::from_secs(20);

/// Starts `count` sleepers through the first host and returns where each runs.
fn start_sleepers(lab: &Lab, count: usize) -> Result<BTreeMap<String, String>> {
    let mut api = lab.host(1)?.api()?;
    for i in 1..=count {
        api.put(&format!("sleep@{i}.service"), units::SLEEPER, "launched")?;
    }
    let all = |states: &[State]| {
        states.len() == count && states.iter().all(|state| state.active == "active")
    };
    let states = lab.wait_for_states("all sleepers run", SOON, all)?;
    Ok(states.into_iter().map(|state| (state.unit, state.machine)).collect())
}

/// Returns the units that `host` has, by `places`.
fn units_on<'a>(places: &'a BTreeMap<String, String>, host: &Host) -> Vec<&'a String> {
    places.iter().filter(|(_, id)| *id == host.machine_id()).map(|(unit, _)| unit).collect()
}

fn runs(host: &Host, units: &[&String]) -> Result<Vec<Run>> {
    units.iter().map(|unit| host.active(unit)).collect()
}

/// Waits until each of `units` runs on a machine other than `left`'s.
fn wait_moved(lab: &Lab, units: &[&String], left: &Host, limit: Duration) -> Result<()> {
    let staying = lab.hosts().iter().find(|host| host.machine_id() != left.machine_id());
    eventually("the units run elsewhere", limit, || {
        let mut api = staying.unwrap_or(left).api()?;
        for unit in units {
            let machine = api.active_on(unit)?;
            ensure!(machine != left.machine_id(), "{unit} is still on {}", left.name());
            lab.host_with_id(&machine)?.active(unit)?;
        }
        Ok(())
    })
}

#[test]
fn units_of_a_host_that_loses_power_run_elsewhere() -> Result<()> {
    Lab::with_hosts(3).config(TTL).story(|lab| {
        let places = start_sleepers(lab, 6)?;
        let lost = lab.host(2)?;
        let moving = units_on(&places, lost);
        assert_eq!(moving.len(), 2, "least loaded means two on each: {places:?}");
        let (h1, h3) = (lab.host(1)?, lab.host(3)?);
        let kept = (runs(h1, &units_on(&places, h1))?, runs(h3, &units_on(&places, h3))?);

        lost.power_cut()?;
        wait_moved(lab, &moving, lost, LOST)?;
        let machines = h1.api()?.machines()?;
        assert!(!machines.contains(&lost.machine_id().to_owned()), "{machines:?}");
        // The others weren't touched.
        let now = (runs(h1, &units_on(&places, h1))?, runs(h3, &units_on(&places, h3))?);
        assert_eq!(now, kept);

        // It comes back empty and stays so: nothing moves for a machine that returns.
        lost.boot()?;
        lost.wait_ready()?;
        lab.wait_for_machines()?;
        moving.iter().try_for_each(|unit| lost.not_active(unit))
    })
}

#[test]
fn units_move_when_the_host_that_leads_loses_power() -> Result<()> {
    Lab::with_hosts(3).config(TTL).story(|lab| {
        let places = start_sleepers(lab, 3)?;
        let lost = lab.leader()?;
        let moving = units_on(&places, lost);
        lost.power_cut()?;
        // Another has to win the engine's lease first: 10 s (cluster.md 3), and what etcd adds.
        wait_moved(lab, &moving, lost, LOST + SOON)
    })
}

#[test]
fn a_killed_fleetd_is_followed_by_one_that_adopts_its_units() -> Result<()> {
    Lab::with_hosts(2).config(TTL).story(|lab| {
        let places = start_sleepers(lab, 4)?;
        let h1 = lab.host(1)?;
        let mine = units_on(&places, h1);
        let before = runs(h1, &mine)?;
        let fleetd = h1.fleetd()?;
        h1.run(&["systemctl", "kill", "--signal=KILL", "fleet.service"])?;
        fleetd.wait_gone(SOON)?;

        eventually("its successor serves", SOON, || {
            ensure!(h1.fleetd()? != fleetd, "the old one is still there");
            let machines = h1.api()?.machines()?;
            ensure!(machines.len() == 2, "it lists {machines:?}");
            Ok(())
        })?;
        // Longer than the old presence lasts, and than a pass of the new agent takes to come.
        throughout("its units run on untouched", SOON, || {
            ensure!(runs(h1, &mine)? == before, "they were restarted");
            let mut api = lab.host(2)?.api()?;
            for unit in &mine {
                let machine = api.active_on(unit)?;
                ensure!(machine == h1.machine_id(), "{unit} moved to {machine}");
            }
            Ok(())
        })?;

        // It is in charge of what it adopted.
        lab.host(2)?.api()?.destroy(mine[0])?;
        eventually("a unit that it adopted stops", SOON, || h1.not_active(mine[0]))
    })
}

#[test]
fn units_of_a_fleetd_that_is_told_to_stop_leave_at_once() -> Result<()> {
    // A long time to live: a move that waits for it would come too late.
    Lab::with_hosts(3).config("agent_ttl=60s").story(|lab| {
        let places = start_sleepers(lab, 6)?;
        let h1 = lab.host(1)?;
        let moving = units_on(&places, h1);
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;

        let shown = h1.show("fleet.service", "Result,ExecMainStatus")?;
        assert_eq!((shown["Result"].as_str(), shown["ExecMainStatus"].as_str()), ("success", "0"));
        for unit in &moving {
            h1.not_active(unit)?;
        }
        assert_eq!(h1.run(&["ls", "/run/fleet/units"])?, "");
        let machines = lab.host(2)?.api()?.machines()?;
        assert!(!machines.contains(&h1.machine_id().to_owned()), "{machines:?}");
        let mut api = lab.host(2)?.api()?;
        // The cluster is young: its new leader waits for ten seconds of steady contact, and a moment.
        eventually("its units run elsewhere", 2 * SOON, || {
            for unit in &moving {
                ensure!(api.active_on(unit)? != h1.machine_id(), "{unit} is still there");
            }
            Ok(())
        })
    })
}

#[test]
fn a_fleetd_that_stops_slow_units_is_given_the_time() -> Result<()> {
    Lab::with_hosts(1).config(TTL).story(|lab| {
        let h1 = lab.host(1)?;
        let slow = format!("{}ExecStop=/usr/bin/sleep 8\n", units::SLEEPER);
        h1.api()?.put("slow.service", &slow, "launched")?;
        let runs = |states: &[State]| states.iter().any(|state| state.active == "active");
        lab.wait_for_states("it runs", SOON, runs)?;
        const SHORT: &str = "mkdir -p /run/systemd/system/fleet.service.d && \
            printf '[Service]\\nTimeoutStopSec=2s\\n' >/run/systemd/system/fleet.service.d/short.conf";
        h1.run(&["sh", "-c", SHORT])?;
        h1.run(&["systemctl", "daemon-reload"])?;
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        let shown = h1.show("fleet.service", "Result,ExecMainStatus")?;
        assert_eq!((shown["Result"].as_str(), shown["ExecMainStatus"].as_str()), ("success", "0"));
        h1.not_active("slow.service")?;
        assert_eq!(h1.run(&["ls", "/run/fleet/units"])?, "");
        Ok(())
    })
}

#[test]
fn a_fleetd_that_keeps_its_units_can_be_replaced_without_touching_them() -> Result<()> {
    let lab = Lab::with_hosts(2).config("agent_ttl=15s").config("purge_on_shutdown=false");
    lab.story(|lab| {
        let places = start_sleepers(lab, 4)?;
        let h1 = lab.host(1)?;
        let mine = units_on(&places, h1);
        let before = runs(h1, &mine)?;
        let fleetd = h1.fleetd()?;
        h1.run(&["systemctl", "stop", "fleet.service", "fleet.socket"])?;
        assert!(!fleetd.is_alive());
        assert_eq!(runs(h1, &mine)?, before);
        let machines = lab.host(2)?.api()?.machines()?;
        assert_eq!(machines.len(), 2, "its presence stays");

        h1.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        lab.wait_for_machines()?;
        throughout("its units run on untouched", SOON, || {
            ensure!(runs(h1, &mine)? == before, "they were restarted");
            Ok(())
        })
    })
}

#[test]
fn a_host_that_was_cut_off_stops_on_return_what_runs_elsewhere() -> Result<()> {
    Lab::with_hosts(3).config(TTL).story(|lab| {
        let places = start_sleepers(lab, 6)?;
        let cut = lab.host(3)?;
        let moving = units_on(&places, cut);
        let before = runs(cut, &moving)?;
        // And one that may run nowhere else.
        let bound = format!("{}[X-Fleet]\nMachineID={}\n", units::SLEEPER, cut.machine_id());
        lab.host(1)?.api()?.put("bound.service", &bound, "launched")?;
        lab.wait_for_states("it runs as well", SOON, |states| {
            states.len() == 7 && states.iter().all(|state| state.active == "active")
        })?;
        let bound = cut.active("bound.service")?;
        cut.partition()?;
        wait_moved(lab, &moving, cut, LOST)?;
        assert_eq!(runs(cut, &moving)?, before, "what was cut off goes on");

        cut.heal()?;
        eventually("the one that returns stops them", LOST, || {
            moving.iter().try_for_each(|unit| cut.not_active(unit))
        })?;
        lab.wait_for_machines()?;
        // Each runs exactly once, where it went.
        let count = |states: &[State]| {
            states.len() == 7 && states.iter().all(|state| state.active == "active")
        };
        lab.wait_for_states("seven states, all active", SOON, count)?;
        wait_moved(lab, &moving, cut, SOON)?;
        throughout("what could run nowhere else goes on", SOON, || {
            ensure!(cut.active("bound.service")? == bound, "it was restarted");
            Ok(())
        })
    })
}
