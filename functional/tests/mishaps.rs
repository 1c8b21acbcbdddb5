//! Too many units, a full disk, a machine id taken twice, and every host dead at once. A lab of
//! three hosts, whole again after each story.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, State, eventually, throughout, units};

const SOON: Duration = Duration::from_secs(20);
/// `agent_ttl` below, what etcd may add, and a boot on a busy machine.
const LOST: Duration = Duration::from_secs(40);

#[test]
fn what_goes_wrong_costs_no_more_than_it_must() -> Result<()> {
    Lab::with_hosts(3).config("agent_ttl=5s").story(|lab| {
        seventy_units_run_on_one_host(lab).context("70 units")?;
        a_full_disk_costs_only_what_it_has_no_room_for(lab).context("full disk")?;
        a_machine_id_is_used_by_the_one_who_had_it(lab).context("machine id")?;
        units_come_back_when_all_hosts_lost_power(lab).context("power")
    })
}

fn on(host: &Host) -> String {
    format!("{}[X-Fleet]\nMachineMetadata=hostname={}\n", units::SLEEPER, host.name())
}

fn running(states: &[State]) -> BTreeSet<&str> {
    let running = states.iter().filter(|state| state.active == "active");
    running.map(|state| state.unit.as_str()).collect()
}

fn clear(lab: &Lab, units: &[String]) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    units.iter().try_for_each(|unit| api.destroy(unit))?;
    lab.wait_for_states("nothing is left", SOON, <[State]>::is_empty).map(drop)
}

fn seventy_units_run_on_one_host(lab: &Lab) -> Result<()> {
    let h1 = lab.host(1)?;
    let names: Vec<String> = (1..=70).map(|i| format!("many@{i}.service")).collect();
    let mut api = lab.host(2)?.api()?;
    names.iter().try_for_each(|unit| api.put(unit, &on(h1), "launched"))?;
    lab.wait_for_states("all run", SOON, |states| running(states).len() == 70)?;
    let count = "systemctl list-units --no-legend --state=running 'many@*' | wc -l";
    assert_eq!(h1.run(&["sh", "-c", count])?.trim(), "70");
    let journal = h1.journal("fleet.service", 10_000);
    let failed = journal.lines().find(|line| line.contains("task failed"));
    assert_eq!(failed, None);
    clear(lab, &names)?;
    assert_eq!(h1.run(&["ls", "/run/fleet/units"])?, "");
    Ok(())
}

fn a_full_disk_costs_only_what_it_has_no_room_for(lab: &Lab) -> Result<()> {
    let h2 = lab.host(2)?;
    // Each file takes a page, however short it is.
    let small = ["mount", "-t", "tmpfs", "-o", "size=8k", "small", "/run/fleet/units"];
    h2.run(&small)?;
    let mut api = lab.host(1)?.api()?;
    for unit in ["a.service", "b.service"] {
        api.put(unit, &on(h2), "launched")?;
    }
    let fits = |states: &[State]| running(states).len() == 2;
    lab.wait_for_states("two fit in", SOON, fits)?;
    api.put("c.service", &on(h2), "launched")?;
    eventually("what is wrong is in the log", SOON, || {
        let journal = h2.journal("fleet.service", 50);
        let wanted = ["type=LoadUnit job=c.service", "/run/fleet/units/c.service", "No space left"];
        let told = |line: &str| wanted.iter().all(|words| line.contains(words));
        ensure!(journal.lines().any(told), "{journal}");
        Ok(())
    })?;
    let runs = (h2.active("a.service")?, h2.active("b.service")?);
    assert_eq!(api.unit("c.service")?["currentState"], "inactive");
    // Whoever goes makes room, and works as ever.
    api.destroy("a.service")?;
    lab.wait_for_states("the next one takes the room", SOON, |states| {
        running(states) == BTreeSet::from(["b.service", "c.service"])
    })?;
    api.put("d.service", &on(h2), "launched")?;
    h2.run(&["mount", "-o", "remount,size=1m", "/run/fleet/units"])?;
    lab.wait_for_states("there is room for all", SOON, |states| running(states).len() == 3)?;
    assert_eq!(h2.active("b.service")?, runs.1, "this one was never touched");
    clear(lab, &["b.service", "c.service", "d.service"].map(str::to_owned))?;
    h2.run(&["umount", "/run/fleet/units"]).map(drop)
}

fn a_machine_id_is_used_by_the_one_who_had_it(lab: &Lab) -> Result<()> {
    let (h1, h3) = (lab.host(1)?, lab.host(3)?);
    let mut api = h1.api()?;
    api.put("mine.service", &on(h1), "launched")?;
    lab.wait_for_states("it runs", SOON, |states| running(states).len() == 1)?;
    let run = h1.active("mine.service")?;

    h3.run(&["systemctl", "stop", "fleet.service"])?;
    h3.write("/etc/machine-id", &format!("{}\n", h1.machine_id()))?;
    h3.run(&["systemctl", "start", "fleet.service"])?;
    eventually("the log names the other one's address", SOON, || {
        let journal = h3.journal("fleet.service", 20);
        let address = h1.address().to_string();
        let told = |line: &str| line.contains(h1.machine_id()) && line.contains(&address);
        ensure!(journal.lines().any(told), "{journal}");
        Ok(())
    })?;
    let reply = h3.api()?.send("GET", "/machines", None)?;
    assert_eq!(reply.status, 503, "{}", reply.body);
    throughout("the first one doesn't notice", Duration::from_secs(7), || {
        ensure!(h1.active("mine.service")? == run, "its unit was touched");
        let machines = lab.host(2)?.api()?.list("machines")?;
        ensure!(machines.len() == 2, "there are {machines:?}");
        let mine = machines.iter().find(|machine| machine["id"] == h1.machine_id());
        let address = mine.map(|machine| machine["primaryIP"].clone());
        ensure!(address == Some(h1.address().to_string().into()), "{address:?}");
        h3.not_active("mine.service")
    })?;

    h3.run(&["systemctl", "stop", "fleet.service"])?;
    h3.write("/etc/machine-id", &format!("{}\n", h3.machine_id()))?;
    h3.run(&["systemctl", "start", "fleet.service"])?;
    lab.wait_for_machines()?;
    assert_eq!(h1.active("mine.service")?, run);
    clear(lab, &["mine.service".to_owned()])
}

fn units_come_back_when_all_hosts_lost_power(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    for i in 1..=5 {
        api.put(&format!("back@{i}.service"), units::SLEEPER, "launched")?;
    }
    api.put("back-all.service", units::EVERYWHERE, "launched")?;
    let all = |states: &[State]| states.len() == 8 && running(states).len() == 6;
    let before = lab.wait_for_states("all run", SOON, all)?;

    lab.hosts().iter().try_for_each(Host::power_cut)?;
    lab.hosts().iter().try_for_each(Host::boot)?;
    lab.hosts().iter().try_for_each(Host::wait_ready)?;
    lab.wait_for_machines()?;
    // What is reported may still be from before; what the hosts say isn't.
    eventually("all run again, where they ran", LOST, || {
        let states = lab.host(1)?.api()?.states()?;
        ensure!(states == before, "it was {before:#?}, now {states:#?}");
        for state in &before {
            lab.host_with_id(&state.machine)?.active(&state.unit)?;
        }
        Ok(())
    })
}
