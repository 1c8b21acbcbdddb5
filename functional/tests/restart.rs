//! Restarts, and why a unit isn't running: what a user is told and what really happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, Stopwatch, eventually, units};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);

/// The process of a unit on every host.
fn pids(lab: &Lab, unit: &str) -> Result<BTreeMap<String, String>> {
    lab.hosts()
        .iter()
        .map(|host| Ok((host.machine_id().to_owned(), host.active(unit)?.pid)))
        .collect()
}

/// When a unit's process began, in microseconds on the clock that all hosts share.
fn started(host: &Host, unit: &str) -> Result<u64> {
    host.active(unit)?.started.parse().context("a number of microseconds")
}

#[test]
fn a_global_unit_is_restarted_on_one_machine_after_the_other() -> Result<()> {
    Lab::with_hosts(3).story(|lab| {
        let (h2, unit) = (lab.host(2)?, "everywhere.service");
        // A restart takes half a second, so that the order shows.
        let text = units::EVERYWHERE.replacen(
            "[Service]\n",
            "[Service]\nType=exec\nExecStartPre=/usr/bin/sleep 0.5\n",
            1,
        );
        let file = units::hand_over(h2, unit, &text)?;
        h2.fleetctl(&["start", &file])?;
        let before = eventually("the unit runs everywhere", SOON, || pids(lab, unit))?;

        let said = h2.fleetctl(&["restart", unit])?;
        let after = pids(lab, unit)?;
        let mut order = Vec::new();
        for host in lab.hosts() {
            let machine = host.machine_id();
            ensure!(before[machine] != after[machine], "it was not restarted on {}", host.name());
            order.push((machine.to_owned(), started(host, unit)?));
            let place = format!("{}.../{}", &machine[..8], host.address());
            ensure!(said.contains(&format!("Unit {unit} launched on {place}\n")), "{said}");
        }
        order.sort();
        for pair in order.windows(2) {
            let apart = pair[1].1.saturating_sub(pair[0].1);
            ensure!(apart >= 500_000, "two at a time, {apart} us apart: {order:?}");
        }

        // One machine alone.
        let machine = h2.machine_id();
        let path = format!("/units/{unit}/restart?machineID={machine}");
        let asked = h2.api()?.send("POST", &path, None)?;
        ensure!(asked.status == 202, "{} {}", asked.status, asked.body);
        eventually("it is restarted there", SOON, || {
            let now = pids(lab, unit)?;
            ensure!(now[machine] != after[machine], "not yet");
            for host in lab.hosts().iter().filter(|host| host.machine_id() != machine) {
                ensure!(now[host.machine_id()] == after[host.machine_id()], "on {}", host.name());
            }
            Ok(())
        })
    })
}

#[test]
fn a_restarted_unit_stays_on_its_machine_and_its_content_is_current() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        let (h1, unit) = (lab.host(1)?, "stays.service");
        let file = units::hand_over(h1, unit, units::SLEEPER)?;
        h1.fleetctl(&["start", &file])?;
        let machine = h1.api()?.active_on(unit)?;
        let host = lab.host_with_id(&machine)?;
        let before = host.active(unit)?;
        for asking in lab.hosts() {
            let last = host.active(unit)?.pid;
            let said = asking.fleetctl(&["restart", "--block-attempts=5", unit])?;
            ensure!(said.contains(&format!("Unit {unit} launched on {}", &machine[..8])), "{said}");
            ensure!(host.active(unit)?.pid != last, "{} could not restart it", asking.name());
        }
        ensure!(host.active(unit)?.invocation != before.invocation, "the same run");
        ensure!(h1.api()?.active_on(unit)? == machine, "it moved");

        // A loaded unit is started, a missing one isn't created.
        h1.fleetctl(&["stop", unit])?;
        let said = h1.fleetctl(&["restart", unit])?;
        ensure!(said.contains("launched on"), "{said}");
        host.active(unit)?;
        let missing = h1.output(&["fleetctl", "restart", "missing.service"])?;
        let said = missing.stderr;
        ensure!(missing.code == Some(1), "{said}");
        ensure!(said == "unable to find unit missing.service\n", "{said}");
        Ok(())
    })
}

#[test]
fn every_fleetd_says_why_a_unit_has_no_machine() -> Result<()> {
    Lab::with_hosts(3).story(|lab| {
        let (h1, unit) = (lab.host(1)?, "picky.service");
        let text = format!("{}[X-Fleet]\nMachineMetadata=disk=ssd\n", units::SLEEPER);
        let file = units::hand_over(h1, unit, &text)?;
        let begun = Stopwatch::start();
        let waited = h1.output(&["fleetctl", "start", "--block-attempts=2", &file])?;
        let said = waited.stderr;
        ensure!(waited.code == Some(1) && begun.elapsed() > Duration::from_secs(4), "{said}");
        let line = said.lines().next().unwrap_or_default();
        ensure!(
            line.starts_with(&format!("Still waiting for {unit} (inactive: no machine takes it (")),
            "{said}"
        );
        ensure!(line.contains(": local Machine metadata insufficient"), "{said}");

        // The leader and the others say the same, machine by machine.
        for host in lab.hosts() {
            let pending: Value = host.api()?.unit(unit)?["pending"].clone();
            ensure!(pending["reason"] == "refused", "{}: {pending}", host.name());
            let machines = pending["machines"].as_array().context("machines are named")?;
            ensure!(machines.len() == 3, "{}: {pending}", host.name());
            ensure!(
                machines.iter().all(|m| m["reason"] == "metadata"),
                "{}: {pending}",
                host.name()
            );
            let list = host.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit,why"])?;
            ensure!(list.starts_with(&format!("{unit}\tno machine takes it (")), "{list}");
        }

        // Once a machine takes it there is nothing more to say.
        let change = serde_json::json!([{
            "op": "add", "path": format!("/{}/metadata/disk", h1.machine_id()), "value": "ssd",
        }]);
        h1.api()?.send("PATCH", "/machines", Some(&change))?;
        eventually("it runs", SOON, || h1.active(unit))?;
        eventually("there is nothing to say", SOON, || {
            let shown = h1.api()?.unit(unit)?;
            ensure!(shown.get("pending").is_none(), "{shown}");
            Ok(())
        })?;
        let list = h1.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit,why"])?;
        ensure!(list == format!("{unit}\t-\n"), "{list}");
        what_systemd_did_not_start_is_told_of(h1)
    })
}

/// Units that were launched and don't run, though systemd was told to start them.
fn what_systemd_did_not_start_is_told_of(h1: &Host) -> Result<()> {
    let needy = "[Unit]\nRequires=fails.service\nAfter=fails.service\n\
                 [Service]\nExecStart=/bin/sleep 1d\n[X-Fleet]\nMachineOf=fails.service\n";
    let timer = "[Timer]\nOnActiveSec=1h\nUnit=absent.service\n";
    for (unit, text, said) in [
        (
            "fails.service",
            "[Service]\nType=oneshot\nExecStart=/bin/false\n",
            "systemd reports failed (failed): exit-code, status 1",
        ),
        ("needs.service", needy, "what it depends on could not be started"),
        ("idle.timer", timer, "its start failed"),
    ] {
        let file = units::hand_over(h1, unit, text)?;
        let started = h1.output(&["fleetctl", "start", "--block-attempts=5", &file])?;
        let told = format!("Failed to find an active unit {unit}, err: ");
        let line = started.stderr.lines().last().unwrap_or_default();
        ensure!(started.code == Some(1), "{started:?}");
        ensure!(line.contains(&told) && line.ends_with(said), "{}", started.stderr);
        let list = h1.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit,state,why"])?;
        let line = list.lines().find(|line| line.starts_with(unit)).unwrap_or_default();
        ensure!(line.contains("launched") && line.ends_with(said), "{list}");
    }
    let once =
        units::hand_over(h1, "once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")?;
    h1.fleetctl(&["start", &once])?;
    let list = h1.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit,why"])?;
    ensure!(list.lines().any(|line| line == "once.service\t-"), "{list}");
    Ok(())
}
