//! Where units go, why they leave, and what `[X-Fleet]` says about it (`units.md` 5, `cluster.md`
//! 2 and 4): a lab of three hosts that each story leaves as it found it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Api, Host, Lab, State, eventually, throughout, units};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);
/// `agent_ttl` below, what etcd may add, and time to start elsewhere on a busy machine.
const LOST: Duration = Duration::from_secs(20);
/// Longer than the engine takes to notice anything, and to act on it.
const WATCHED: Duration = Duration::from_millis(2500);

#[test]
fn units_go_where_their_options_say() -> Result<()> {
    Lab::with_hosts(3).config("agent_ttl=5s").story(|lab| {
        machine_ids_bind(lab).context("MachineID")?;
        peers_share_a_machine(lab).context("MachineOf")?;
        metadata_moves_units(lab).context("MachineMetadata")?;
        global_units_follow_metadata(lab).context("Global")?;
        what_conflicts_keeps_apart(lab).context("Conflicts")?;
        replaced_content_runs_on_the_same_machine(lab).context("--replace")?;
        moving_units_are_never_on_two_hosts(lab).context("handover")?;
        replaced_units_make_room(lab).context("Replaces")
    })
}

fn with(options: &str) -> String {
    format!("{}[X-Fleet]\n{options}\n", units::SLEEPER)
}

/// Waits until `unit` runs, as the cluster and its host say, and returns that host.
fn running<'a>(lab: &'a Lab, unit: &str) -> Result<&'a Host> {
    eventually(&format!("{unit} runs"), SOON, || {
        let host = lab.host_with_id(&api(lab)?.active_on(unit)?)?;
        host.active(unit)?;
        Ok(host)
    })
}

fn runs_on(lab: &Lab, unit: &str, host: &Host) -> Result<()> {
    eventually(&format!("{unit} runs on {}", host.name()), SOON, || {
        let machine = api(lab)?.active_on(unit)?;
        ensure!(machine == host.machine_id(), "it is on {machine}");
        host.active(unit).map(drop)
    })
}

/// Checks that `unit` is on no machine, for as long as the engine needs to think of something.
fn stays_unscheduled(lab: &Lab, unit: &str) -> Result<()> {
    throughout(&format!("{unit} is nowhere"), WATCHED, || unscheduled(lab, unit))
}

fn unscheduled(lab: &Lab, unit: &str) -> Result<()> {
    let record = api(lab)?.unit(unit)?;
    ensure!(record.get("machineID").is_none(), "it is here: {record}");
    Ok(())
}

/// The API of the first host that is up.
fn api(lab: &Lab) -> Result<Api> {
    lab.hosts().iter().find(|host| host.is_running()).context("no host runs")?.api()
}

fn clear(lab: &Lab, units: &[&str]) -> Result<()> {
    let mut api = api(lab)?;
    units.iter().try_for_each(|unit| api.destroy(unit))?;
    lab.wait_for_states("nothing is left", SOON, <[State]>::is_empty).map(drop)
}

fn set_metadata(lab: &Lab, host: &Host, key: &str, value: Option<&str>) -> Result<()> {
    let path = format!("/{}/metadata/{key}", host.machine_id());
    let change = match value {
        Some(value) => json!([{ "op": "add", "path": path, "value": value }]),
        None => json!([{ "op": "remove", "path": path }]),
    };
    let reply = api(lab)?.send("PATCH", "/machines", Some(&change))?;
    ensure!(reply.status == 204, "PATCH: {} {}", reply.status, reply.body);
    Ok(())
}

fn machine_ids_bind(lab: &Lab) -> Result<()> {
    let mut api = api(lab)?;
    let (h2, h3) = (lab.host(2)?, lab.host(3)?);
    let id = h3.machine_id();
    api.put("full.service", &with(&format!("MachineID={}", h2.machine_id())), "launched")?;
    api.put("short.service", &with(&format!("MachineID={}", &id[..8])), "launched")?;
    // No more and no less than eight characters: anything else is another machine's id.
    api.put("shorter.service", &with(&format!("MachineID={}", &id[..7])), "launched")?;
    runs_on(lab, "full.service", h2)?;
    runs_on(lab, "short.service", h3)?;
    stays_unscheduled(lab, "shorter.service")?;
    clear(lab, &["full.service", "short.service", "shorter.service"])
}

fn peers_share_a_machine(lab: &Lab) -> Result<()> {
    let mut api = api(lab)?;
    api.put("side.service", &with("MachineOf=main.service"), "launched")?;
    stays_unscheduled(lab, "side.service")?;
    // Its peer goes where it wants, and it follows there: also away again.
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    for host in [h1, h2] {
        let text = with(&format!("MachineMetadata=hostname={}", host.name()));
        api.put("main.service", &text, "launched")?;
        runs_on(lab, "main.service", host)?;
        runs_on(lab, "side.service", host)?;
        api.destroy("main.service")?;
        eventually("its peer gone, it leaves", SOON, || unscheduled(lab, "side.service"))?;
    }
    clear(lab, &["side.service"])
}

fn metadata_moves_units(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    let mut api = api(lab)?;
    // Twice the key: either value. Another key: both.
    let text = with("MachineMetadata=\"disk=ssd\" \"disk=nvme\"\nMachineMetadata=zone=a");
    api.put("picky.service", &text, "launched")?;
    set_metadata(lab, h1, "disk", Some("ssd"))?;
    stays_unscheduled(lab, "picky.service")?;
    set_metadata(lab, h1, "zone", Some("a"))?;
    runs_on(lab, "picky.service", h1)?;

    set_metadata(lab, h2, "disk", Some("nvme"))?;
    set_metadata(lab, h2, "zone", Some("a"))?;
    let run = h1.active("picky.service")?;
    throughout("it stays: another machine as good is no reason", WATCHED, || {
        ensure!(h1.active("picky.service")? == run, "it was restarted");
        Ok(())
    })?;
    set_metadata(lab, h1, "zone", None)?;
    runs_on(lab, "picky.service", h2)?;
    h1.not_active("picky.service")?;
    set_metadata(lab, h2, "disk", Some("tape"))?;
    eventually("nowhere is left", SOON, || {
        unscheduled(lab, "picky.service")?;
        h2.not_active("picky.service")
    })?;
    for (host, key) in [(h1, "disk"), (h2, "disk"), (h2, "zone")] {
        set_metadata(lab, host, key, None)?;
    }
    clear(lab, &["picky.service"])
}

fn global_units_follow_metadata(lab: &Lab) -> Result<()> {
    let hosts = [lab.host(1)?, lab.host(2)?, lab.host(3)?];
    let on = |wanted: &[&Host]| -> Result<()> {
        let wanted: BTreeSet<_> = wanted.iter().map(|host| host.machine_id().to_owned()).collect();
        let what = format!("it runs on {} hosts", wanted.len());
        lab.wait_for_states(&what, SOON, |states| {
            states.iter().all(|state| state.active == "active")
                && states.iter().map(|state| state.machine.clone()).collect::<BTreeSet<_>>()
                    == wanted
        })?;
        for host in hosts {
            let here = wanted.contains(host.machine_id());
            if here {
                host.active("all.service").map(drop)
            } else {
                host.not_active("all.service")
            }?;
        }
        Ok(())
    };
    set_metadata(lab, hosts[0], "role", Some("web"))?;
    let text = with("Global=true\nMachineMetadata=role=web");
    api(lab)?.put("all.service", &text, "launched")?;
    on(&[hosts[0]])?;
    let run = hosts[0].active("all.service")?;
    set_metadata(lab, hosts[2], "role", Some("web"))?;
    on(&[hosts[0], hosts[2]])?;
    set_metadata(lab, hosts[2], "role", Some("db"))?;
    on(&[hosts[0]])?;
    assert_eq!(hosts[0].active("all.service")?, run, "what changed elsewhere is nothing to it");
    set_metadata(lab, hosts[0], "role", None)?;
    on(&[])?;
    set_metadata(lab, hosts[2], "role", None)?;
    clear(lab, &["all.service"])
}

fn what_conflicts_keeps_apart(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    let mut api = api(lab)?;
    let on = |host: &Host, rest: &str| {
        with(&format!("MachineMetadata=hostname={}\n{rest}", host.name()))
    };
    api.put("old.service", &on(h1, ""), "launched")?;
    runs_on(lab, "old.service", h1)?;
    // Both ways: the one that comes names the one that is there, or is named by it.
    api.put("new.service", &on(h1, "Conflicts=ol?.service"), "launched")?;
    stays_unscheduled(lab, "new.service")?;
    api.put("far.service", &on(h2, "Conflicts=old.service"), "launched")?;
    runs_on(lab, "far.service", h2)?;
    // One that isn't to run is in nobody's way.
    api.desire("old.service", "inactive")?;
    runs_on(lab, "new.service", h1)?;
    api.desire("old.service", "launched")?;
    stays_unscheduled(lab, "old.service")?;
    clear(lab, &["old.service", "new.service", "far.service"])
}

fn replaced_content_runs_on_the_same_machine(lab: &Lab) -> Result<()> {
    let h1 = lab.host(1)?;
    let file = units::hand_over(h1, "app.service", units::SLEEPER)?;
    h1.fleetctl(&["start", &file])?;
    let host = running(lab, "app.service")?;
    let fillers = ["fill@1.service", "fill@2.service"];
    for filler in fillers {
        let text = with(&format!("MachineID={}", host.machine_id()));
        api(lab)?.put(filler, &text, "launched")?;
        runs_on(lab, filler, host)?;
    }
    let before = host.active("app.service")?;
    // The same again changes nothing.
    h1.fleetctl(&["start", "--replace", &file])?;
    assert_eq!(host.active("app.service")?, before);
    // Its machine is the one that has most to do, and keeps it all the same.
    let text = "[Service]\nExecStart=/usr/bin/sleep 123456\n";
    let file = units::hand_over(h1, "app.service", text)?;
    let warned = h1.output(&["fleetctl", "start", &file])?;
    assert!(warned.stderr.contains("differs from local unit file"), "{warned:?}");
    assert_eq!(host.active("app.service")?, before, "not without being asked to");
    h1.fleetctl(&["start", "--replace", &file])?;
    eventually("the new content runs", SOON, || {
        let run = host.active("app.service")?;
        let words = host.run(&["cat", &format!("/proc/{}/cmdline", run.pid)])?;
        ensure!(words.contains("123456"), "it runs {words:?}");
        Ok(())
    })?;
    assert_eq!(running(lab, "app.service")?.name(), host.name());
    assert!(h1.fleetctl(&["cat", "app.service"])?.contains("123456"));
    clear(lab, &["app.service", fillers[0], fillers[1]])
}

/// One more story in which a host dies and comes back: it is the last.
/// systemd's own numbers of what it says when a unit has started, and when it has stopped.
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
const STOPPED: &str = "9d1aaa27d60140bd96365438aad20286";

/// What the hosts' systemds said of a unit's starts and stops, in the order of their one clock.
fn starts_and_stops<'a>(lab: &'a Lab, unit: &str) -> Result<Vec<(u64, &'a str, bool)>> {
    let mut all = Vec::new();
    for host in lab.hosts() {
        for (id, is_start) in [(STARTED, true), (STOPPED, false)] {
            let (unit, id) = (format!("UNIT={unit}"), format!("MESSAGE_ID={id}"));
            let said = host.run(&["journalctl", "-q", "-o", "json", &unit, &id])?;
            for line in said.lines() {
                let entry: serde_json::Value = serde_json::from_str(line)?;
                let time = entry["__REALTIME_TIMESTAMP"].as_str().context("it has a time")?;
                all.push((time.parse()?, host.name(), is_start));
            }
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// Checks that a unit has started so often, and each time where it ran nowhere else.
fn was_never_on_two(lab: &Lab, unit: &str, starts: usize) -> Result<()> {
    eventually("every start is in the journals", SOON, || {
        let all = starts_and_stops(lab, unit)?;
        let mut runs_on = None;
        for (_, host, is_start) in &all {
            let before = runs_on.take();
            if *is_start {
                ensure!(before.is_none(), "it started on {host} while on {before:?}: {all:?}");
                runs_on = Some(host);
            }
        }
        let found = all.iter().filter(|(.., is_start)| *is_start).count();
        ensure!(found == starts, "{found} starts: {all:?}");
        Ok(())
    })
}

fn moving_units_are_never_on_two_hosts(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    let mut api = api(lab)?;
    let unit = "mover.service";
    let text = |place: &str| {
        let service = "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 3\n";
        format!("{service}[X-Fleet]\nMachineMetadata={place}\n")
    };
    // Its machine is the right one no more.
    set_metadata(lab, h1, "color", Some("red"))?;
    api.put(unit, &text("color=red"), "launched")?;
    runs_on(lab, unit, h1)?;
    set_metadata(lab, h2, "color", Some("red"))?;
    set_metadata(lab, h1, "color", None)?;
    eventually("it is said what it waits for", SOON, || {
        let pending = &api.unit(unit)?["pending"];
        ensure!(pending["reason"] == "stopping", "{pending}");
        ensure!(pending["machines"][0]["machineID"] == h1.machine_id(), "{pending}");
        Ok(())
    })?;
    runs_on(lab, unit, h2)?;
    was_never_on_two(lab, unit, 2)?;

    // Destroyed, and created again for another one.
    api.destroy(unit)?;
    api.put(unit, &text("hostname=h1"), "launched")?;
    ensure!(api.unit(unit)?["pending"]["reason"] == "stopping", "{}", api.unit(unit)?);
    runs_on(lab, unit, h1)?;
    was_never_on_two(lab, unit, 3)?;

    // Unloaded, and wanted again while it stops.
    api.desire(unit, "inactive")?;
    eventually("it stops", SOON, || {
        let state = h1.show(unit, "ActiveState")?;
        ensure!(state["ActiveState"] == "deactivating", "{state:?}");
        Ok(())
    })?;
    api.desire(unit, "launched")?;
    was_never_on_two(lab, unit, 4)?;

    // Its fleetd is killed while it stops.
    set_metadata(lab, h1, "color", Some("red"))?;
    api.put(unit, &text("color=red"), "launched")?;
    was_never_on_two(lab, unit, 5)?;
    let host = lab.host_with_id(&api.active_on(unit)?)?;
    let (from, to) = if host.name() == h1.name() { (h1, h2) } else { (h2, h1) };
    set_metadata(lab, from, "color", None)?;
    eventually("it stops", SOON, || {
        let state = from.show(unit, "ActiveState")?;
        ensure!(state["ActiveState"] == "deactivating", "{state:?}");
        Ok(())
    })?;
    from.run(&["systemctl", "kill", "-s", "KILL", "fleet"])?;
    runs_on(lab, unit, to)?;
    was_never_on_two(lab, unit, 6)?;
    set_metadata(lab, to, "color", None)?;
    clear(lab, &[unit])
}

fn replaced_units_make_room(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1)?, lab.host(2)?);
    let mut api = api(lab)?;
    // The old one may be on the first two hosts; the new one wants the first.
    set_metadata(lab, h1, "pool", Some("a"))?;
    api.put("v1.service", &with("MachineMetadata=pool=a"), "launched")?;
    runs_on(lab, "v1.service", h1)?;
    set_metadata(lab, h2, "pool", Some("a"))?;
    let text = with("Replaces=v1.service\nMachineMetadata=hostname=h1");
    api.put("v2.service", &text, "launched")?;
    runs_on(lab, "v2.service", h1)?;
    runs_on(lab, "v1.service", h2)?;
    let run = h1.active("v2.service")?;

    // Nowhere else is left for the one that was replaced: it waits.
    h2.power_cut()?;
    eventually("it is nowhere", LOST, || unscheduled(lab, "v1.service"))?;
    throughout("and stays so, and the new one where it is", WATCHED, || {
        unscheduled(lab, "v1.service")?;
        ensure!(h1.active("v2.service")? == run, "the new one was touched");
        h1.not_active("v1.service")
    })?;
    h2.boot()?;
    h2.wait_ready()?;
    lab.wait_for_machines()?;
    runs_on(lab, "v1.service", h2)?;
    assert_eq!(h1.active("v2.service")?, run);
    clear(lab, &["v1.service", "v2.service"])
}
