//! A host's own units are the host's (`docs/decisions/0014`): a lab of two hosts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, Run, eventually, throughout, units};

/// A fleetd that was killed comes back after 10 s.
const SOON: Duration = Duration::from_secs(30);
/// Longer than the engine takes to notice anything, and to act on it.
const WATCHED: Duration = Duration::from_millis(2500);
const OWN: &str = "this machine has a unit of that name of its own";

#[test]
fn units_of_a_hosts_own_are_left_alone() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        unit_goes_where_its_name_is_free(lab).context("one host has it")?;
        unit_waits_where_all_hosts_have_its_name(lab).context("all hosts have it")?;
        names_of_the_system_are_nobodys(lab).context("sshd, dbus")?;
        masked_unit_leaves_and_the_mask_stays(lab).context("mask")?;
        fleets_own_names_are_refused(lab).context("fleet.service")
    })
}

/// Gives a host a unit of its own, which runs.
fn give(host: &Host, unit: &str) -> Result<Run> {
    host.write(&format!("/etc/systemd/system/{unit}"), units::SLEEPER)?;
    host.run(&["systemctl", "daemon-reload"])?;
    host.run(&["systemctl", "start", unit])?;
    host.active(unit)
}

/// Waits until every host says this of a unit that has no machine.
fn waits(lab: &Lab, unit: &str, why: &str) -> Result<()> {
    eventually(&format!("{unit} waits"), SOON, || {
        let shown = lab.host(1)?.api()?.unit(unit)?;
        let machines = shown["pending"]["machines"].as_array().cloned().unwrap_or_default();
        let all = machines.len() == 2 && machines.iter().all(|machine| machine["message"] == why);
        ensure!(all && shown.get("machineID").is_none(), "{shown}");
        Ok(())
    })
}

fn runs_on(lab: &Lab, unit: &str, host: &Host) -> Result<Run> {
    eventually(&format!("{unit} runs on {}", host.name()), SOON, || {
        let machine = lab.host(1)?.api()?.active_on(unit)?;
        ensure!(machine == host.machine_id(), "it is on {machine}");
        host.active(unit)
    })
}

fn is_gone(lab: &Lab, unit: &str) -> Result<()> {
    lab.wait_for_states(&format!("{unit} is gone"), SOON, |states| {
        !states.iter().any(|state| state.unit == unit)
    })?;
    for host in lab.hosts() {
        let left = host.run(&["find", "/run/systemd/system", "/run/fleet/units", "-name", unit])?;
        ensure!(left.is_empty(), "{} still has {left}", host.name());
    }
    Ok(())
}

fn unit_goes_where_its_name_is_free(lab: &Lab) -> Result<()> {
    let (one, two) = (lab.host(1)?, lab.host(2)?);
    let own = give(one, "clash.service")?;
    let mut api = one.api()?;
    // So that the host that has it would be taken first.
    api.put("busy.service", units::SLEEPER, "launched")?;
    let busy = eventually("busy.service runs", SOON, || one.api()?.active_on("busy.service"))?;
    api.put("clash.service", units::SLEEPER, "launched")?;
    runs_on(lab, "clash.service", two)?;
    api.desire("clash.service", "loaded")?;
    eventually("it has stopped", SOON, || two.not_active("clash.service"))?;
    api.desire("clash.service", "launched")?;
    runs_on(lab, "clash.service", two)?;
    api.destroy("clash.service")?;
    eventually("it has stopped", SOON, || two.not_active("clash.service"))?;
    is_gone(lab, "clash.service")?;
    ensure!(one.active("clash.service")? == own, "the host's own was touched");
    api.destroy("busy.service")?;
    eventually("it has stopped", SOON, || lab.host_with_id(&busy)?.not_active("busy.service"))
}

fn unit_waits_where_all_hosts_have_its_name(lab: &Lab) -> Result<()> {
    let own = lab.hosts().iter().map(|host| give(host, "all.service"));
    let own = own.collect::<Result<Vec<_>>>()?;
    let unchanged = || {
        let now = lab.hosts().iter().map(|host| host.active("all.service"));
        ensure!(now.collect::<Result<Vec<_>>>()? == own, "a host's own was touched");
        Ok(())
    };
    let mut api = lab.host(1)?.api()?;
    api.put("all.service", units::SLEEPER, "launched")?;
    waits(lab, "all.service", OWN)?;
    // It isn't sent back and forth, also not by a fleetd that starts.
    lab.host(2)?.run(&["systemctl", "kill", "--signal=KILL", "fleet.service"])?;
    waits(lab, "all.service", OWN)?;
    throughout("it stays nowhere", WATCHED, || {
        let shown = lab.host(1)?.api()?.unit("all.service")?;
        ensure!(shown.get("machineID").is_none(), "{shown}");
        unchanged()
    })?;
    api.destroy("all.service")?;
    is_gone(lab, "all.service")?;
    unchanged()?;
    // What is free again is taken again.
    api.put("all.service", units::SLEEPER, "launched")?;
    let two = lab.host(2)?;
    for command in [
        &["systemctl", "stop", "all.service"][..],
        &["rm", "/etc/systemd/system/all.service"],
        &["systemctl", "daemon-reload"],
    ] {
        two.run(command)?;
    }
    runs_on(lab, "all.service", two)?;
    api.destroy("all.service")?;
    is_gone(lab, "all.service")
}

fn names_of_the_system_are_nobodys(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    for unit in ["dbus.service", "systemd-journald.service", "multi-user.target"] {
        let before =
            lab.hosts().iter().map(|host| host.show(unit, "ActiveEnterTimestampMonotonic"));
        let before = before.collect::<Result<Vec<_>>>()?;
        api.put(unit, units::SLEEPER, "launched")?;
        waits(lab, unit, OWN)?;
        api.destroy(unit)?;
        is_gone(lab, unit)?;
        let after = lab.hosts().iter().map(|host| host.show(unit, "ActiveEnterTimestampMonotonic"));
        ensure!(after.collect::<Result<Vec<_>>>()? == before, "{unit} was touched");
    }
    let alias = format!("{}[Install]\nAlias=dbus.service\n", units::SLEEPER);
    api.put("alias.service", &alias, "launched")?;
    let why = "this machine has a unit of its own called dbus.service, an alias of this one";
    waits(lab, "alias.service", why)?;
    api.destroy("alias.service")?;
    is_gone(lab, "alias.service")
}

fn masked_unit_leaves_and_the_mask_stays(lab: &Lab) -> Result<()> {
    let (one, two) = (lab.host(1)?, lab.host(2)?);
    let mut api = one.api()?;
    let text = format!("{}[Install]\nWantedBy=multi-user.target\n", units::SLEEPER);
    api.put("mask.service", &text, "launched")?;
    let machine = eventually("mask.service runs", SOON, || one.api()?.active_on("mask.service"))?;
    let (here, there) = if machine == one.machine_id() { (one, two) } else { (two, one) };
    here.run(&["systemctl", "--runtime", "--force", "mask", "mask.service"])?;
    runs_on(lab, "mask.service", there)?;
    eventually("it has stopped", SOON, || here.not_active("mask.service"))?;
    api.destroy("mask.service")?;
    eventually("it has stopped", SOON, || there.not_active("mask.service"))?;
    lab.wait_for_states("it is gone", SOON, |states| {
        !states.iter().any(|state| state.unit == "mask.service")
    })?;
    let links = here.run(&["find", "/run/systemd/system", "-name", "mask.service"])?;
    ensure!(links.trim() == "/run/systemd/system/mask.service", "{links}");
    let mask = here.run(&["readlink", "/run/systemd/system/mask.service"])?;
    ensure!(mask.trim() == "/dev/null", "{mask}");
    here.run(&["systemctl", "--runtime", "unmask", "mask.service"]).map(drop)
}

fn fleets_own_names_are_refused(lab: &Lab) -> Result<()> {
    let host = lab.host(1)?;
    let fleetd = host.fleetd()?.id();
    let text = format!("{}[X-Fleet]\nGlobal=true\n", units::SLEEPER);
    host.write("/root/fleet.service", &text)?;
    let start = host.output(&["fleetctl", "start", "/root/fleet.service"])?;
    let said = start.stderr;
    ensure!(start.code == Some(1), "{said}");
    ensure!(said.contains("the name fleet.service is that of a unit of fleet's own"), "{said}");
    ensure!(host.fleetd()?.id() == fleetd, "fleetd runs on");
    Ok(())
}
