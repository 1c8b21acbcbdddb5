//! Units of every type that systemd 252 takes from files do through fleet what they do by hand
//! (`units.md` 4.1, 7.3): a lab of two hosts, on which nothing here is in another's way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Api, Host, Lab, eventually, units};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn units_of_every_type_work() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        sockets_start_their_service_when_somebody_connects(lab).context("socket")?;
        timers_start_their_service_in_time(lab).context("timer")?;
        paths_start_their_service_when_touched(lab).context("path")?;
        mounts_come_and_go(lab).context("mount")?;
        slices_and_targets_work_through_the_api(lab).context("slice, target")?;
        instances_of_every_type_with_templates_run(lab).context("templates")?;
        wanted_by_is_followed_and_undone(lab).context("[Install]")?;
        units_of_one_pass_may_need_each_other(lab).context("After=")?;
        types_that_cannot_be_started_here_go_again(lab).context("other types")
    })
}

/// Waits until the cluster reports `unit` as `wanted` (active and sub state) and returns its host.
fn reported<'a>(lab: &'a Lab, unit: &str, wanted: &str) -> Result<&'a Host> {
    let what = format!("{unit} is {wanted}");
    let states = lab.wait_for_states(&what, SOON, |states| {
        states
            .iter()
            .any(|state| state.unit == unit && format!("{}/{}", state.active, state.sub) == wanted)
    })?;
    let state = states.iter().find(|state| state.unit == unit).context("it went")?;
    lab.host_with_id(&state.machine)
}

/// Destroys units, and waits until nothing of them is left.
fn clear(lab: &Lab, names: &[&str]) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    names.iter().try_for_each(|unit| api.destroy(unit))?;
    lab.wait_for_states("nothing is left", SOON, |states| {
        !states.iter().any(|state| names.contains(&state.unit.as_str()))
    })?;
    for host in lab.hosts() {
        for unit in names {
            let left =
                host.run(&["find", "/run/systemd/system", "/run/fleet/units", "-name", unit])?;
            ensure!(left.is_empty(), "{} still has {left}", host.name());
        }
    }
    Ok(())
}

/// Loads `service`, then starts what is to trigger it on the same machine.
fn pair(api: &mut Api, service: (&str, &str), trigger: (&str, &str)) -> Result<()> {
    api.put(service.0, service.1, "loaded")?;
    let text = format!("{}[X-Fleet]\nMachineOf={}\n", trigger.1, service.0);
    api.put(trigger.0, &text, "launched")
}

fn sockets_start_their_service_when_somebody_connects(lab: &Lab) -> Result<()> {
    let proxy = "[Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:22\n";
    let listen = "[Socket]\nListenStream=7070\n";
    let mut api = lab.host(1)?.api()?;
    pair(&mut api, ("front.service", proxy), ("front.socket", listen))?;
    let host = reported(lab, "front.socket", "active/listening")?;
    host.not_active("front.service")?;

    let greeting = lab
        .command("bash")
        .args(["-c", &format!("exec 3<>/dev/tcp/{}/7070; head -n1 <&3", host.address())])
        .output()?;
    let greeting = String::from_utf8_lossy(&greeting.stdout).into_owned();
    assert!(greeting.starts_with("SSH-2.0-"), "{greeting:?}");
    reported(lab, "front.service", "active/running")?;
    reported(lab, "front.socket", "active/running")?;
    // It was started by systemd: for fleet it is loaded, and stays as it is.
    assert_eq!(api.unit("front.service")?["currentState"], "loaded");
    clear(lab, &["front.socket", "front.service"])
}

fn timers_start_their_service_in_time(lab: &Lab) -> Result<()> {
    let service = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/ticked\n";
    let timer = "[Timer]\nOnActiveSec=200ms\nAccuracySec=1ms\n";
    let mut api = lab.host(1)?.api()?;
    pair(&mut api, ("tick.service", service), ("tick.timer", timer))?;
    let host = reported(lab, "tick.timer", "active/elapsed")?;
    eventually("it fires", SOON, || host.run(&["stat", "/run/ticked"]))?;
    clear(lab, &["tick.timer", "tick.service"])
}

fn paths_start_their_service_when_touched(lab: &Lab) -> Result<()> {
    let service = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/saw\n";
    let path = "[Path]\nPathModified=/run/seen\n";
    let mut api = lab.host(1)?.api()?;
    pair(&mut api, ("see.service", service), ("see.path", path))?;
    let host = reported(lab, "see.path", "active/waiting")?;
    host.run(&["touch", "/run/seen"])?;
    eventually("it is seen", SOON, || host.run(&["stat", "/run/saw"]))?;
    clear(lab, &["see.path", "see.service"])
}

fn mounts_come_and_go(lab: &Lab) -> Result<()> {
    let (unit, text) = ("run-box.mount", "[Mount]\nWhat=box\nWhere=/run/box\nType=tmpfs\n");
    let h1 = lab.host(1)?;
    let file = units::hand_over(h1, unit, text)?;
    h1.fleetctl(&["start", &file])?;
    let host = reported(lab, unit, "active/mounted")?;
    let kind = host.run(&["findmnt", "--noheadings", "--output=FSTYPE", "/run/box"])?;
    assert_eq!(kind.trim(), "tmpfs");
    h1.fleetctl(&["stop", unit])?;
    reported(lab, unit, "inactive/dead")?;
    assert_ne!(host.output(&["findmnt", "/run/box"])?.code, Some(0));
    clear(lab, &[unit])
}

fn slices_and_targets_work_through_the_api(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    api.put("box.slice", "[Slice]\nTasksMax=50\n", "launched")?;
    let inside = "[Service]\nSlice=box.slice\nExecStart=/usr/bin/sleep infinity\n\
                  [X-Fleet]\nMachineOf=box.slice\n";
    api.put("inside.service", inside, "launched")?;
    api.put("goal.target", "[Unit]\nDescription=a goal\n", "launched")?;
    let host = reported(lab, "box.slice", "active/active")?;
    reported(lab, "inside.service", "active/running")?;
    reported(lab, "goal.target", "active/active")?;
    let group = host.show("inside.service", "ControlGroup")?;
    assert_eq!(group["ControlGroup"], "/box.slice/inside.service");
    assert_eq!(host.show("box.slice", "TasksMax")?["TasksMax"], "50");
    for unit in ["inside.service", "box.slice", "goal.target"] {
        assert_eq!(api.unit(unit)?["currentState"], "launched", "{unit}");
        api.desire(unit, "loaded")?;
        reported(lab, unit, "inactive/dead")?;
    }
    clear(lab, &["inside.service", "box.slice", "goal.target"])
}

fn instances_of_every_type_with_templates_run(lab: &Lab) -> Result<()> {
    let h1 = lab.host(1)?;
    let together = "[X-Fleet]\nMachineOf=%p@%i.service\n";
    let templates = [
        ("many@.service", "[Service]\nExecStart=/usr/bin/sleep %i\n".to_owned()),
        ("many@.socket", format!("[Socket]\nListenStream=/run/%i.sock\n{together}")),
        ("many@.timer", format!("[Timer]\nOnActiveSec=%ih\n{together}")),
        ("many@.path", format!("[Path]\nPathExists=/none/%i\n{together}")),
        ("many@.target", format!("[Unit]\nDescription=number %i\n{together}")),
    ];
    let mut api = h1.api()?;
    for (name, text) in &templates {
        api.put(name, text, "inactive")?;
    }
    h1.fleetctl(&["load", "many@7.service"])?;
    h1.fleetctl(&["start", "many@7.socket", "many@7.timer", "many@7.path", "many@7.target"])?;
    for (unit, state) in [
        ("many@7.service", "inactive/dead"),
        ("many@7.socket", "active/listening"),
        ("many@7.timer", "active/waiting"),
        ("many@7.path", "active/waiting"),
        ("many@7.target", "active/active"),
    ] {
        reported(lab, unit, state)?;
    }
    let host = reported(lab, "many@7.socket", "active/listening")?;
    host.run(&["test", "-S", "/run/7.sock"])?;
    assert_eq!(host.show("many@7.target", "Description")?["Description"], "number 7");
    let mine = ["socket", "timer", "path", "target", "service"];
    let mine: Vec<String> = mine.iter().map(|kind| format!("many@7.{kind}")).collect();
    clear(lab, &mine.iter().map(String::as_str).collect::<Vec<_>>())?;
    templates.iter().try_for_each(|(name, _)| api.destroy(name))
}

fn wanted_by_is_followed_and_undone(lab: &Lab) -> Result<()> {
    let mut api = lab.host(1)?.api()?;
    let text = format!("{}[Install]\nWantedBy=multi-user.target\n", units::SLEEPER);
    api.put("installed.service", &text, "loaded")?;
    let host = reported(lab, "installed.service", "inactive/dead")?;
    let wants = || -> Result<bool> {
        let shown = host.show("multi-user.target", "Wants")?;
        Ok(shown["Wants"].split(' ').any(|unit| unit == "installed.service"))
    };
    let link = "/run/systemd/system/multi-user.target.wants/installed.service";
    host.run(&["test", "-L", link])?;
    // The target has been started already: it learns of it when somebody has systemd read all again.
    host.run(&["systemctl", "daemon-reload"])?;
    ensure!(wants()?, "the target doesn't want it");
    clear(lab, &["installed.service"])?;
    assert_ne!(host.output(&["test", "-L", link])?.code, Some(0));
    eventually("the target no longer wants it", SOON, || {
        ensure!(!wants()?, "it still does");
        Ok(())
    })
}

fn units_of_one_pass_may_need_each_other(lab: &Lab) -> Result<()> {
    // By name the one that needs comes before the one that is needed.
    let needs = "[Unit]\nRequires=b-base.service\nAfter=b-base.service\n\
                 [Service]\nExecStart=/bin/sh -c 'test -e /run/based && exec sleep infinity'\n\
                 [X-Fleet]\nMachineOf=b-base.service\n";
    let base = "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                ExecStart=/bin/sh -c 'sleep 0.5; touch /run/based'\n";
    let h1 = lab.host(1)?;
    let needs_file = units::hand_over(h1, "a-needs.service", needs)?;
    let base_file = units::hand_over(h1, "b-base.service", base)?;
    h1.fleetctl(&["start", &needs_file, &base_file])?;
    reported(lab, "b-base.service", "active/exited")?;
    let host = reported(lab, "a-needs.service", "active/running")?;

    // Content that drops the dependency is what counts from then on.
    let alone = "[Service]\nExecStart=/usr/bin/sleep infinity\n\
                 [X-Fleet]\nMachineOf=b-base.service\n";
    let alone_file = units::hand_over(h1, "a-needs.service", alone)?;
    h1.fleetctl(&["start", "--replace", &alone_file])?;
    eventually("it needs nothing any more", SOON, || {
        host.active("a-needs.service")?;
        let shown = host.show("a-needs.service", "Requires,After,NeedDaemonReload")?;
        ensure!(!shown["Requires"].contains("b-base"), "{shown:?}");
        ensure!(!shown["After"].contains("b-base"), "{shown:?}");
        ensure!(shown["NeedDaemonReload"] == "no", "{shown:?}");
        Ok(())
    })?;
    let run = host.active("a-needs.service")?;
    h1.fleetctl(&["stop", "b-base.service"])?;
    reported(lab, "b-base.service", "inactive/dead")?;
    assert_eq!(host.active("a-needs.service")?, run, "the other's end is nothing to it");
    clear(lab, &["a-needs.service", "b-base.service"])
}

/// In a container systemd has no swaps, no automounts (no /dev/autofs) and no devices (no udev).
/// Scopes are never made from files; `busname` and `snapshot` went with systemd 231 and 228. They
/// are accepted, reported as what they are, in nobody's way, and leave no trace.
fn types_that_cannot_be_started_here_go_again(lab: &Lab) -> Result<()> {
    let h1 = lab.host(1)?;
    let mut api = h1.api()?;
    let odd = [
        ("run-auto.automount", "[Automount]\nWhere=/run/auto\n"),
        ("var-file.swap", "[Swap]\nWhat=/var/file\n"),
        ("dev-null.device", "[Unit]\nDescription=nothing\n"),
        ("odd.scope", "[Scope]\nTasksMax=5\n"),
        ("odd.busname", "[BusName]\nName=a.b\n"),
        ("odd.snapshot", "[Unit]\nDescription=a\n"),
    ];
    for (name, text) in odd {
        api.put(name, text, "launched")?;
    }
    for name in ["run-auto.automount", "var-file.swap", "dev-null.device", "odd.scope"] {
        reported(lab, name, "inactive/dead")?;
    }
    api.put("plain.service", units::SLEEPER, "launched")?;
    reported(lab, "plain.service", "active/running")?;
    api.destroy("plain.service")?;
    clear(lab, &odd.map(|(name, _)| name))?;
    eventually("also those that systemd never took are gone", SOON, || {
        for host in lab.hosts() {
            let left = host.run(&["ls", "/run/fleet/units"])?;
            ensure!(left.is_empty(), "{} has {left}", host.name());
        }
        Ok(())
    })
}
