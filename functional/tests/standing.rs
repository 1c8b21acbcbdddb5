//! Machines that leave, that are back before anybody missed them, and whose systemd hangs
//! (`docs/decisions/0016`).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fleet_functional::{Host, Lab, eventually, throughout, units};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(10);
/// A lease of 8 s, and a beat every 2.7 s.
const CONFIG: &str = "agent_ttl=9s";
const TTL: Duration = Duration::from_secs(9);
/// Some more of it than a machine needs to say something, on a machine that is busy.
const SOMETIME: Duration = Duration::from_secs(40);

#[test]
fn machines_say_how_they_stand_and_are_given_what_they_can_take() -> Result<()> {
    Lab::with_hosts(2).config(CONFIG).story(|lab| {
        a_host_that_is_back_at_once_takes_over_from_before_its_boot(lab)?;
        a_host_whose_systemd_hangs_is_given_nothing_new(lab)?;
        a_restarted_socket_is_served_again(lab)?;
        a_host_that_leaves_stays_present_though_etcd_freezes(lab)?;
        a_host_that_goes_down_stops_its_units_before_the_bus(lab)
    })
}

/// A unit that only this host may have.
fn only_on(host: &Host) -> String {
    format!("{}[X-Fleet]\nMachineID={}\n", units::SLEEPER, host.machine_id())
}

fn start_on(lab: &Lab, host: &Host, unit: &str, text: &str) -> Result<()> {
    lab.host(1)?.api()?.put(unit, text, "launched")?;
    eventually(&format!("{unit} runs"), SOON, || host.active(unit)).map(drop)
}

fn destroy(lab: &Lab, unit: &str) -> Result<()> {
    lab.host(1)?.fleetctl(&["destroy", unit]).map(drop)
}

/// Waits until the first host's API says this of the machines.
fn says(lab: &Lab, what: &str, text: &str, limit: Duration) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    eventually(&format!("{what} says {text}"), limit, || {
        let reply = api.send("GET", what, None)?;
        ensure!(reply.body.contains(text), "{}", reply.body);
        Ok(())
    })
}

fn a_host_that_is_back_at_once_takes_over_from_before_its_boot(lab: &Lab) -> Result<()> {
    let h2 = lab.host(2)?;
    start_on(lab, h2, "back.service", &only_on(h2))?;
    h2.power_cut()?;
    h2.boot()?;
    h2.wait_ready()?;
    eventually("its unit runs again", SOON, || h2.active("back.service"))?;
    let log = h2.journal("fleet.service", 200);
    ensure!(log.contains("taken over from before the boot"), "{log}");
    ensure!(!log.contains("another machine has this machine's id"), "{log}");
    destroy(lab, "back.service")
}

fn a_host_whose_systemd_hangs_is_given_nothing_new(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    start_on(lab, h2, "stays.service", &only_on(h2))?;
    let before = h2.active("stays.service")?;
    h2.init()?.signal(Signal::SIGSTOP)?;
    says(lab, "/machines", r#""standing":"silent""#, SOMETIME)?;
    let mut api = h1.api()?;
    api.put("waits.service", &only_on(h2), "launched")?;
    says(lab, "/units/waits.service", "its systemd does not answer", SOON)?;
    for unit in ["a.service", "b.service", "c.service"] {
        api.put(unit, units::SLEEPER, "launched")?;
        eventually("it runs where it can", SOON, || h1.active(unit))?;
    }
    h2.init()?.signal(Signal::SIGCONT)?;
    eventually("what waited runs", SOMETIME, || h2.active("waits.service"))?;
    ensure!(h2.active("stays.service")? == before, "it was touched");
    let reply = api.send("GET", "/machines", None)?;
    ensure!(!reply.body.contains("standing"), "{}", reply.body);
    for unit in ["a.service", "b.service", "c.service", "stays.service", "waits.service"] {
        destroy(lab, unit)?;
    }
    Ok(())
}

fn a_restarted_socket_is_served_again(lab: &Lab) -> Result<()> {
    let h2 = lab.host(2)?;
    h2.run(&["systemctl", "restart", "fleet.socket"])?;
    for unit in ["fleet.socket", "fleet.service"] {
        eventually("it is active", SOON, || h2.run(&["systemctl", "is-active", unit]))?;
    }
    eventually("it answers", SOON, || h2.fleetctl(&["list-machines"])).map(drop)
}

fn a_host_that_leaves_stays_present_though_etcd_freezes(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    let slow = format!("{}ExecStop=/usr/bin/sleep 45\n", units::SLEEPER);
    // The other host takes it too.
    h1.run(&["systemctl", "is-active", "fleet.service"])?;
    h1.api()?.put("fills.service", &only_on(h1), "launched")?;
    eventually("the first host has more to do", SOON, || h1.active("fills.service"))?;
    start_on(lab, h2, "slow.service", &slow)?;
    h2.run(&["systemctl", "stop", "--no-block", "fleet.socket"])?;
    says(lab, "/machines", r#""standing":"leaving""#, SOON)?;
    h1.api()?.put("new.service", &only_on(h2), "launched")?;
    says(lab, "/units/new.service", "machine is leaving", SOON)?;
    lab.etcd().freeze()?;
    let stopping = || {
        let state = h2.show("slow.service", "ActiveState")?;
        ensure!(state["ActiveState"] == "deactivating", "{state:?}");
        h1.not_active("slow.service")
    };
    throughout("it runs nowhere else while it stops", Duration::from_secs(7), stopping)?;
    lab.etcd().thaw()?;
    throughout("nor afterwards", 2 * TTL, stopping)?;
    eventually("it runs elsewhere when it has stopped", SOMETIME, || h1.active("slow.service"))?;
    h2.not_active("slow.service")?;
    h2.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
    eventually("what waited runs there", SOMETIME, || h2.active("new.service"))?;
    for unit in ["slow.service", "new.service", "fills.service"] {
        destroy(lab, unit)?;
    }
    Ok(())
}

fn a_host_that_goes_down_stops_its_units_before_the_bus(lab: &Lab) -> Result<()> {
    let h2 = lab.host(2)?;
    let slow = only_on(h2).replace("[X-Fleet]", "ExecStop=/usr/bin/sleep 2\n[X-Fleet]");
    start_on(lab, h2, "down.service", &slow)?;
    h2.run(&["systemctl", "poweroff", "--no-block"])?;
    eventually("it is off", SOMETIME, || {
        ensure!(!h2.is_running(), "it is still up");
        Ok(())
    })?;
    let log = h2.journal("fleet.service", 200);
    let (_, leaving) = log.rsplit_once("Gracefully shutting down").context(log.clone())?;
    ensure!(leaving.contains("all units are gone"), "{leaving}");
    ensure!(!leaving.contains("connection to systemd is lost"), "{leaving}");
    Ok(())
}
