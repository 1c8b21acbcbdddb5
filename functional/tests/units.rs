//! What an operator does with units: start, list, stop, destroy; templates, conflicts, global.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fleet_functional::{Host, Lab, State, eventually, units};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_unit_is_started_listed_stopped_and_destroyed() -> Result<()> {
    Lab::with_hosts(3).story(|lab| {
        let (h1, unit) = (lab.host(1)?, "hello.service");
        let file = units::hand_over(h1, unit, units::SLEEPER)?;

        let said = h1.fleetctl(&["start", &file])?;
        let machine = h1.api()?.active_on(unit)?;
        let host = lab.host_with_id(&machine)?;
        let legend = format!("{}.../{}", &machine[..8], host.address());
        assert!(said.ends_with(&format!("Unit {unit} launched on {legend}\n")), "{said}");
        host.active(unit)?;
        for other in lab.hosts().iter().filter(|other| other.machine_id() != machine) {
            other.not_active(unit)?;
        }

        // Every host's fleetctl shows the same.
        for host in lab.hosts() {
            let rows = host.fleetctl(&["list-units", "--no-legend"])?;
            let row: Vec<&str> = rows.split_whitespace().collect();
            assert_eq!(row, [unit, legend.as_str(), "active", "running"]);
            let rows = host.fleetctl(&["list-machines", "--no-legend", "--full"])?;
            let ids: BTreeSet<_> = rows.lines().filter_map(|row| row.split('\t').next()).collect();
            assert_eq!(ids, lab.hosts().iter().map(Host::machine_id).collect());
        }

        h1.fleetctl(&["stop", unit])?;
        host.not_active(unit)?;
        assert_eq!(
            h1.fleetctl(&["list-unit-files", "--no-legend", "--fields=dstate,state"])?
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["loaded", "loaded"]
        );

        assert_eq!(h1.fleetctl(&["unload", unit])?, format!("Unit {unit} inactive\n"));
        lab.wait_for_states("no state is left", SOON, <[State]>::is_empty)?;
        assert_eq!(host.show(unit, "LoadState")?["LoadState"], "not-found");
        h1.fleetctl(&["load", unit])?;
        let states = lab.wait_for_states("it has a state", SOON, |states| !states.is_empty())?;
        let loaded = lab.host_with_id(&states[0].machine)?;
        assert_eq!(loaded.show(unit, "LoadState")?["LoadState"], "loaded");
        loaded.not_active(unit)?;
        assert_eq!(h1.fleetctl(&["cat", unit])?, units::SLEEPER);
        assert_eq!(h1.fleetctl(&["version"])?, h1.fleetctl(&["--version"])?);

        assert_eq!(h1.fleetctl(&["destroy", unit])?, format!("Destroyed {unit}\n"));
        lab.wait_for_states("no state is left", SOON, <[State]>::is_empty)?;
        assert_eq!(h1.fleetctl(&["list-unit-files", "--no-legend"])?, "");
        let shown = host.show(unit, "LoadState")?;
        assert_eq!(shown["LoadState"], "not-found");
        Ok(())
    })
}

#[test]
fn instances_of_a_template_run_with_their_own_names() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        let h1 = lab.host(1)?;
        let text = "[Service]\nExecStart=/usr/bin/sleep %i\n";
        let file = units::hand_over(h1, "nap@.service", text)?;
        h1.fleetctl(&["submit", &file])?;
        h1.fleetctl(&["start", "nap@1001", "nap@1002.service"])?;

        let mut api = h1.api()?;
        for (unit, argument) in [("nap@1001.service", "1001"), ("nap@1002.service", "1002")] {
            let host = lab.host_with_id(&api.active_on(unit)?)?;
            let pid = host.active(unit)?.pid;
            let words = host.run(&["cat", &format!("/proc/{pid}/cmdline")])?;
            assert_eq!(words.split('\0').nth(1), Some(argument));
        }
        // The template itself is stored and never runs.
        let states = api.states()?;
        ensure!(states.len() == 2, "{states:?}");
        let template = h1.output(&["fleetctl", "start", "nap@.service"])?;
        assert_eq!(template.code, Some(1));
        let why = r#"cannot activate template "nap@.service""#;
        assert!(template.stderr.contains(why), "{template:?}");
        Ok(())
    })
}

#[test]
fn every_example_is_accepted_without_a_warning() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"))? {
            let path = entry?.path();
            let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
            let file = units::hand_over(h1, &name, &fs::read_to_string(&path)?)?;
            let output = h1.output(&["fleetctl", "submit", &file])?;
            ensure!(output.code == Some(0) && output.stderr.is_empty(), "{name}: {output:?}");
            names.insert(name);
        }
        assert!(names.contains("hello.service"), "{names:?}");
        let rows = h1.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit"])?;
        assert_eq!(rows.lines().map(str::to_owned).collect::<BTreeSet<_>>(), names);
        Ok(())
    })
}

#[test]
fn conflicts_spread_three_units_over_three_hosts_and_keep_a_fourth_waiting() -> Result<()> {
    Lab::with_hosts(3).story(|lab| {
        let mut api = lab.host(2)?.api()?;
        for i in 1..=3 {
            api.put(&format!("apart@{i}.service"), units::APART, "launched")?;
        }
        let all_apart = |states: &[State]| {
            let machines: BTreeSet<_> = states.iter().map(|state| &state.machine).collect();
            machines.len() == 3 && states.iter().all(|state| state.active == "active")
        };
        let states = lab.wait_for_states("one unit on each host", SOON, all_apart)?;
        assert_eq!(states.len(), 3);

        // There is no room for a fourth, until there is.
        api.put("apart@4.service", units::APART, "launched")?;
        let waits = |api: &mut fleet_functional::Api| -> Result<()> {
            let record = api.unit("apart@4.service")?;
            if let Some(machine) = record.get("machineID") {
                bail!("it is on {machine}")
            }
            Ok(())
        };
        fleet_functional::throughout("apart@4 waits", Duration::from_secs(3), || waits(&mut api))?;
        let freed = api.active_on("apart@2.service")?;
        api.destroy("apart@2.service")?;
        eventually("apart@4 takes the room", SOON, || {
            let machine = api.active_on("apart@4.service")?;
            ensure!(machine == freed, "it went to {machine}, not to {freed}");
            Ok(())
        })
    })
}

#[test]
fn a_global_unit_runs_on_all_machines_also_on_one_that_comes_later() -> Result<()> {
    Lab::with_hosts(3).config("agent_ttl=5s").story(|lab| {
        let (h1, h3, unit) = (lab.host(1)?, lab.host(3)?, "everywhere.service");
        h3.power_cut()?;
        let file = units::hand_over(h1, unit, units::EVERYWHERE)?;
        let said = h1.fleetctl(&["start", &file])?;
        assert!(said.contains(&format!("Triggered global unit {unit} start\n")), "{said}");
        let on = |n: usize| {
            move |states: &[State]| {
                states.len() == n && states.iter().all(|state| state.active == "active")
            }
        };
        eventually("it runs on the two that are up", SOON, || {
            h1.active(unit)?;
            lab.host(2)?.active(unit)
        })?;

        h3.boot()?;
        lab.wait_for_states("it runs on all", Duration::from_secs(30), on(3))?;
        for host in lab.hosts() {
            host.active(unit)?;
        }

        h1.fleetctl(&["destroy", unit])?;
        lab.wait_for_states("it is gone", SOON, <[State]>::is_empty)?;
        lab.hosts().iter().try_for_each(|host| host.not_active(unit))
    })
}
