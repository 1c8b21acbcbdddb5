//! Carries out what goes wrong.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::plan::{Desired, Fault, Harm, Operation, Step, Which};
use super::units::Kind;
use super::users;
use super::world::World;
use crate::etcd::Member;
use crate::host::Host;
use crate::wait::eventually;

/// Longest time that mending something may take, and a fleetd to stop all units.
const MEND_LIMIT: Duration = Duration::from_secs(90);
/// Pause between two reloads in a row.
const RELOAD_PAUSE: Duration = Duration::from_secs(2);
const KILL: [&str; 4] = ["systemctl", "kill", "--signal=KILL", "fleet.service"];
/// Users who start hundreds of units in a second.
const USERS: usize = 4;
/// Where the processes of a fleetd are stopped, as its host sees it.
const FREEZER: &str = "/sys/fs/cgroup/system.slice/fleet.service/cgroup.freeze";
/// The unit files' folder has a file system of its own, which can be made small.
const MOUNT: &str = "[Unit]
DefaultDependencies=no
Before=fleet.service
[Mount]
What=tmpfs
Where=/run/fleet/units
Type=tmpfs
Options=size=8m,mode=755
";
const MOUNT_UNIT: &str = "run-fleet-units.mount";

/// Gives the host's unit files a file system of their own, now and after each boot.
pub(crate) fn prepare(host: &Host) -> Result<()> {
    host.write(&format!("/etc/systemd/system/{MOUNT_UNIT}"), MOUNT)?;
    host.run(&["systemctl", "add-wants", "multi-user.target", MOUNT_UNIT])?;
    host.run(&["systemctl", "start", MOUNT_UNIT]).map(drop)
}

/// Carries out a fault at its time, and mends it.
pub(crate) fn carry_out(world: &World<'_>, begun: Duration, step: &Step<Fault>) {
    world.sleep((begun + Duration::from_millis(step.at)).saturating_sub(world.now()));
    if world.is_over() {
        return;
    }
    let fault = &step.what;
    let host = fault.host().and_then(|i| world.lab.host(i).ok());
    if let Some(host) = host {
        // On a busy machine the one before may take longer than the plan thinks.
        while !world.take(host.name()) && !world.is_over() {
            world.sleep(Duration::from_millis(100));
        }
    }
    world.note(format!("FAULT {fault:?}"));
    let touched: Vec<&Host> =
        host.map_or_else(|| world.lab.hosts().iter().collect(), |host| vec![host]);
    touched.iter().for_each(|host| world.change(host, |health| health.troubles += 1));
    let broken = break_it(world, fault);
    let now = world.now();
    for host in touched {
        world.change(host, |health| {
            health.troubles -= 1;
            health.troubled_at = now;
        });
    }
    if let Some(host) = host {
        world.give_back(host.name());
    }
    match broken {
        Ok(()) => {
            let name = format!("{fault:?}");
            let name = name.split('(').next().unwrap_or(&name);
            world.count(&format!("faults: {name}"));
            world.note(format!("over: {fault:?}"));
        }
        Err(error) => {
            world.count("faults that couldn't be");
            world.note(format!("over: {fault:?}, not as it should: {error:#}"));
        }
    }
}

fn break_it(world: &World<'_>, fault: &Fault) -> Result<()> {
    let host = |i: &usize| world.lab.host(*i);
    match fault {
        Fault::Power(i, time) => power(world, host(i)?, *time),
        Fault::CutOff(i, time) => {
            let host = host(i)?;
            during(world, *time, || host.partition(), || host.heal())
        }
        Fault::Etcd(which, harm, time) => etcd(world, *which, *harm, *time),
        Fault::Kill(i) => host(i)?.run(&KILL).map(drop),
        Fault::KillLeading => {
            let leader = world.history().leader.clone().context("none leads")?;
            let host = world.lab.host_with_id(&leader)?;
            world.note(format!("{} leads", host.name()));
            host.run(&KILL).map(drop)
        }
        Fault::Stop(i, time) => stop(world, host(i)?, *time),
        Fault::Restart(i) => restart(world, host(i)?),
        Fault::Freeze(i, time) => {
            let host = host(i)?;
            let write =
                |word: &str| host.run(&["sh", "-c", &format!("echo {word} > {FREEZER}")]).map(drop);
            during(world, *time, || write("1"), || write("0"))
        }
        Fault::Reload(i, times) => {
            for _ in 0..*times {
                host(i)?.run(&["systemctl", "--no-block", "reload", "fleet.service"])?;
                world.sleep(RELOAD_PAUSE);
            }
            Ok(())
        }
        Fault::DaemonReload(i) => host(i)?.run(&["systemctl", "daemon-reload"]).map(drop),
        Fault::Reexec(i) => host(i)?.run(&["systemctl", "daemon-reexec"]).map(drop),
        Fault::Bus(i) => host(i)?.run(&["systemctl", "restart", "dbus.service"]).map(drop),
        Fault::FullDisk(i, time) => full_disk(world, host(i)?, *time),
        Fault::Compact => {
            let revision = world.history().seen.to_string();
            let body = json!({ "revision": revision }).to_string();
            world.lab.etcd().send("POST", "/v3/kv/compaction", Some(&body)).map(drop)
        }
        Fault::Defragment(i) => {
            let member = world.lab.etcd().member(*i)?;
            member.send("POST", "/v3/maintenance/defragment", Some("{}")).map(drop)
        }
        Fault::NoSpace(time) => no_space(world, *time),
        Fault::Burst(i, count, time) => burst(world, host(i)?, *count, *time),
    }
}

/// Begins something that lasts for a time, and ends it whatever happened.
fn during(
    world: &World<'_>,
    time: u64,
    begin: impl FnOnce() -> Result<()>,
    end: impl Fn() -> Result<()>,
) -> Result<()> {
    let begun = begin();
    if begun.is_ok() {
        world.sleep(Duration::from_millis(time));
    }
    let ended = eventually("it is mended", Duration::from_secs(10), end);
    begun.and(ended)
}

fn power(world: &World<'_>, host: &Host, time: u64) -> Result<()> {
    world.change(host, |health| {
        health.is_down = true;
        health.cuts += 1;
    });
    let cut = host.power_cut();
    world.sleep(Duration::from_millis(time));
    let back = eventually("it boots", MEND_LIMIT, || {
        if !host.is_running() {
            host.boot()?;
        }
        host.wait_ready()
    });
    world.change(host, |health| health.is_down = false);
    cut.and(back)
}

/// The fleetd of a host is gone with all its units, for a time.
fn stop(world: &World<'_>, host: &Host, time: u64) -> Result<()> {
    purging(world, host, || {
        host.run(&["systemctl", "--no-block", "stop", "fleet.service"])?;
        let gone = eventually("it stops", MEND_LIMIT, || host.not_active("fleet.service"));
        world.sleep(Duration::from_millis(time));
        host.run(&["systemctl", "--no-block", "start", "fleet.service"])?;
        gone
    })
}

fn restart(world: &World<'_>, host: &Host) -> Result<()> {
    purging(world, host, || {
        let before = host.active("fleet.service");
        host.run(&["systemctl", "--no-block", "restart", "fleet.service"])?;
        eventually("another runs", MEND_LIMIT, || {
            let now = host.active("fleet.service")?;
            ensure!(before.as_ref().ok() != Some(&now), "it is the same one");
            Ok(())
        })
    })
}

fn purging(world: &World<'_>, host: &Host, how: impl FnOnce() -> Result<()>) -> Result<()> {
    world.change(host, |health| health.is_purging = true);
    let done = how();
    let now = world.now();
    world.change(host, |health| {
        health.is_purging = false;
        health.purged_at = Some(now);
    });
    done
}

fn full_disk(world: &World<'_>, host: &Host, time: u64) -> Result<()> {
    let fill = "used=$(df -k --output=used /run/fleet/units | tail -1)
        mount -o remount,size=$((used > 0 ? used : 4))k /run/fleet/units";
    let empty = ["mount", "-o", "remount,size=8m", "/run/fleet/units"];
    let begin = || host.run(&["sh", "-c", fill]).map(drop);
    during(world, time, begin, || host.run(&empty).map(drop))
}

fn etcd(world: &World<'_>, which: Which, harm: Harm, time: u64) -> Result<()> {
    let etcd = world.lab.etcd();
    let members: Vec<&Member> = match which {
        Which::Member(i) => vec![etcd.member(i)?],
        Which::Leader => vec![etcd.leader()?],
        // Which may have no fleetd just now, or none that is connected.
        Which::UsedBy(i) => vec![used_by(world, world.lab.host(i)?).or_else(|_| etcd.leader())?],
        Which::All => etcd.members().iter().collect(),
    };
    let taken: Vec<&Member> =
        members.into_iter().filter(|member| world.take(member.name())).collect();
    ensure!(!taken.is_empty(), "it is being harmed already");
    let names: Vec<&str> = taken.iter().map(|member| member.name()).collect();
    world.note(format!("{names:?}: {harm:?}"));
    world.count(&format!("faults: etcd: {harm:?}"));
    let begin = || taken.iter().try_for_each(|member| do_harm(member, harm));
    let end = || taken.iter().try_for_each(|member| undo_harm(member, harm));
    let done = during(world, time, begin, end);
    names.into_iter().for_each(|name| world.give_back(name));
    done
}

fn do_harm(member: &Member, harm: Harm) -> Result<()> {
    match harm {
        Harm::Stop => member.stop(),
        Harm::Freeze => member.freeze(),
        Harm::Kill => member.kill(),
        Harm::CutOff => member.partition(),
    }
}

fn undo_harm(member: &Member, harm: Harm) -> Result<()> {
    match harm {
        Harm::Stop | Harm::Kill if member.process().is_some() => Ok(()),
        Harm::Stop | Harm::Kill => member.start(),
        Harm::Freeze => member.thaw(),
        Harm::CutOff => member.heal(),
    }
}

/// The member that the host's fleetd has a connection to.
fn used_by<'a>(world: &World<'a>, host: &Host) -> Result<&'a Member> {
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", host.fleetd()?.id()))?;
    let etcd = world.lab.etcd();
    let is_used = |member: &&Member| {
        let place = format!("{:08X}:094B 01", u32::from_le_bytes(member.address().octets()));
        table.contains(&place)
    };
    etcd.members().iter().find(is_used).context("it has no connection")
}

/// Raises the alarm that a member raises by itself when its database is too large.
fn no_space(world: &World<'_>, time: u64) -> Result<()> {
    let etcd = world.lab.etcd();
    let status: Value =
        serde_json::from_str(&etcd.send("POST", "/v3/maintenance/status", Some("{}"))?)?;
    let id = status["header"]["member_id"].clone();
    let tell = |action: &str| -> Result<()> {
        let body = json!({ "action": action, "memberID": id, "alarm": "NOSPACE" }).to_string();
        etcd.send("POST", "/v3/maintenance/alarm", Some(&body)).map(drop)
    };
    let end = || {
        tell("DEACTIVATE")?;
        let left = etcd.send("POST", "/v3/maintenance/alarm", Some(r#"{"action":"GET"}"#))?;
        if left.contains("NOSPACE") { bail!("{left}") } else { Ok(()) }
    };
    let raised = tell("ACTIVATE");
    world.sleep(Duration::from_millis(time));
    let cleared = eventually("the alarm is cleared", MEND_LIMIT, end);
    raised.and(cleared)
}

/// Hundreds of units, there at once and gone at once.
fn burst(world: &World<'_>, host: &Host, count: usize, time: u64) -> Result<()> {
    let names: Vec<String> = (0..count).map(|i| Kind::Burst.name(i)).collect();
    let each = |operation: fn(String) -> Operation| {
        thread::scope(|scope| {
            for some in names.chunks(count.div_ceil(USERS)) {
                scope.spawn(move || {
                    for name in some {
                        let Ok(mut api) = host.api() else { return };
                        users::operate(world, host, &mut api, &operation(name.clone()));
                    }
                });
            }
        });
    };
    let begun = world.now();
    each(|name| Operation::Submit(name, 0, Desired::Launched));
    let took = world.now() - begun;
    world.note(format!("{count} units were asked for in {:.2} s", took.as_secs_f64()));
    world.sleep(Duration::from_millis(time));
    each(Operation::Destroy);
    Ok(())
}

/// Destroys what is left of bursts: while something was wrong not everything could be.
pub(crate) fn clear_bursts(world: &World<'_>) -> Result<()> {
    let burst = |name: &&String| Kind::of_name(name) == Some(Kind::Burst);
    eventually("what is left of bursts is gone", MEND_LIMIT, || {
        let left: Vec<String> = world.asked().names().filter(burst).cloned().collect();
        for name in left {
            let host = world.lab.host(1)?;
            let mut api = host.api()?;
            if api.unit(&name).is_err() {
                // An earlier request has done it, or none has made it.
                ensure!(api.machines().is_ok(), "{} doesn't answer", host.name());
                world.asked().add(&Operation::Destroy(name), super::asked::Outcome::Done);
                continue;
            }
            users::operate(world, host, &mut api, &Operation::Destroy(name));
        }
        ensure!(world.asked().names().find(burst).is_none(), "some may be there");
        Ok(())
    })
}
