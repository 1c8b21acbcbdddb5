//! The daemon itself: reloads, a machine id that two have, an etcd that comes late or wants to
//! know who asks (fleetd.md 3, 8 and 9).

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, Stopwatch, eventually, throughout, units};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);
/// The longest the API may be unavailable because of a reload (fleetd.md 8.2).
const GAP: Duration = Duration::from_secs(1);
const CONF: &str = "/etc/fleet/fleet.conf";
const UNAVAILABLE: &str = "fleet server unable to communicate with etcd";

/// What fleetd has logged since the unit's last start on this boot.
fn log(host: &Host) -> String {
    host.journal("fleet.service", 10_000)
}

/// Sets options in a host's `fleet.conf`, in place of earlier settings of the same ones.
fn configure(host: &Host, options: &[(&str, &str)]) -> Result<()> {
    let mut text = String::new();
    for line in host.run(&["cat", CONF])?.lines() {
        let key = line.split('=').next().unwrap_or_default();
        if !options.iter().any(|(option, _)| *option == key) {
            writeln!(text, "{line}")?;
        }
    }
    for (option, value) in options {
        writeln!(text, "{option}={value}")?;
    }
    host.write(CONF, &text)
}

fn hup(host: &Host) -> Result<()> {
    host.run(&["systemctl", "kill", "--kill-whom=main", "--signal=HUP", "fleet.service"]).map(drop)
}

/// Waits until the log has `text` `count` times, and returns the log.
fn logged(host: &Host, text: &str, count: usize) -> Result<String> {
    eventually(&format!("{} logs {text:?} {count} times", host.name()), SOON, || {
        let log = log(host);
        let found = log.matches(text).count();
        ensure!(found >= count, "it is there {found} times in\n{log}");
        Ok(log)
    })
}

/// Waits until the host's API answers 200.
fn serves(host: &Host) -> Result<()> {
    eventually(&format!("{} serves", host.name()), SOON * 3, || {
        let reply = host.api()?.send("GET", "/machines", None)?;
        ensure!(reply.status == 200, "it answers {} {}", reply.status, reply.body);
        Ok(())
    })
}

/// Restarts fleetd and waits until it serves.
fn restart(host: &Host) -> Result<()> {
    host.run(&["systemctl", "restart", "fleet.service"])?;
    serves(host)
}

/// What fleet keeps under a key in etcd, whose JSON gateway wants base64; `host` knows that.
fn in_etcd(lab: &Lab, host: &Host, key: &str) -> Result<String> {
    let key = format!("/_coreos.com/fleet/{key}");
    let key = host.run(&["sh", "-c", "printf %s \"$0\" | base64 --wrap=0", &key])?;
    let found = lab.etcd().send("POST", "/v3/kv/range", Some(&format!(r#"{{"key":"{key}"}}"#)))?;
    let found: Value = serde_json::from_str(&found)?;
    let value = found["kvs"][0]["value"].as_str().context("there is no such key")?;
    host.run(&["sh", "-c", "printf %s \"$0\" | base64 --decode", value])
}

#[test]
fn a_reload_is_noticed_by_nobody() -> Result<()> {
    Lab::with_hosts(2).config("agent_ttl=5s").story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        h1.api()?.put("everywhere.service", units::EVERYWHERE, "launched")?;
        eventually("it runs", SOON, || h1.active("everywhere.service"))?;
        let (unit, fleetd) = (h1.active("everywhere.service")?, h1.fleetd()?);
        let (mut here, mut there) = (h1.api()?, h2.api()?);
        for round in ["1", "2", "3"] {
            configure(h1, &[("metadata", &format!("\"round={round}\"")), ("verbosity", "1")])?;
            h1.run(&["systemctl", "reload", "fleet.service"])?;
            // Everybody asks all the time, on connections that stay open.
            let (watch, mut last_answer) = (Stopwatch::start(), Duration::ZERO);
            let mut gap = Duration::ZERO;
            while watch.elapsed() < GAP * 3 {
                let reply = here.send("GET", "/machines", None).context("the listener is gone")?;
                let now = watch.elapsed();
                gap = gap.max(now - last_answer);
                if reply.status == 200 {
                    last_answer = now;
                }
                ensure!(there.machines()?.len() == 2, "its presence was given up");
            }
            ensure!(gap < GAP, "no answer for {gap:?}");
            let machines = there.list("machines")?;
            let shown = machines.iter().any(|machine| {
                machine["id"] == h1.machine_id() && machine["metadata"]["round"] == round
            });
            ensure!(shown, "the new metadata isn't there: {machines:?}");
        }
        assert_eq!((h1.active("everywhere.service")?, h1.fleetd()?), (unit, fleetd));
        let log = logged(h1, "Restarting server components", 3)?;
        assert_eq!(log.matches(&format!("Reloading configuration from {CONF}")).count(), 3);
        assert_eq!(log.matches(&format!("Using provided config file {CONF}")).count(), 4, "{log}");
        assert_eq!(log.matches("hrt.Register() success").count(), 1, "{log}");
        assert_eq!(log.matches("hrt.Beat() success").count(), 3, "{log}");
        assert!(!log.contains("Failed serving HTTP on listener:"), "{log}");
        assert_eq!(log.matches("Writing systemd unit everywhere.service").count(), 1, "{log}");

        // The state goes to stdout, in one line, by whatever agent runs now.
        h1.run(&["systemctl", "kill", "--kill-whom=main", "--signal=USR1", "fleet.service"])?;
        let dump =
            logged(h1, "\"UnitStateGenerator\":{\"Subscribed\":[\"everywhere.service\"]}", 1)?;
        let targets = r#"{"Agent":{"Cache":{"TargetStates":{"everywhere.service":"launched"}}},"#;
        let line = dump.lines().find(|line| line.contains(targets));
        assert!(line.is_some_and(|line| line.ends_with("}}}")), "{dump}");
        logged(h1, "Finished dumping server state", 1)?;

        // The verbosity goes down again as well, and back to its default.
        assert!(log.contains("DEBUG "), "{log}");
        h1.run(&["sed", "-i", "/^verbosity/d", CONF])?;
        hup(h1)?;
        let log = logged(h1, "Restarting server components", 4)?;
        let quiet_from = log.rfind("Restarting server components").context("just seen")?;
        serves(h1)?;
        let log = self::log(h1);
        assert!(!log[quiet_from..].contains("DEBUG "), "{log}");
        Ok(())
    })
}

#[test]
fn a_changed_agent_ttl_counts_from_the_reload_on() -> Result<()> {
    Lab::with_hosts(2).config("agent_ttl=60s").story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        h1.api()?.put("everywhere.service", units::EVERYWHERE, "launched")?;
        eventually("it runs", SOON, || h1.active("everywhere.service"))?;
        let unit = h1.active("everywhere.service")?;
        configure(h1, &[("agent_ttl", "2s")])?;
        h1.run(&["systemctl", "reload", "fleet.service"])?;
        logged(h1, "Restarting server components", 1)?;
        serves(h1)?;
        let mut there = h2.api()?;
        throughout("it stays present, and tells what it has", Duration::from_secs(5), || {
            ensure!(there.machines()?.len() == 2, "its presence was given up");
            let states = there.states()?;
            ensure!(states.len() == 2, "a state was withdrawn: {states:?}");
            Ok(())
        })?;
        assert_eq!(h1.active("everywhere.service")?, unit);
        // By the lease from before this would take forty seconds at least.
        h1.power_cut()?;
        eventually("its absence is noticed", SOON * 2, || {
            let machines = there.machines()?;
            ensure!(machines == [h2.machine_id()], "present are {machines:?}");
            Ok(())
        })
    })
}

#[test]
fn a_reload_that_makes_no_sense_changes_nothing() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let fleetd = h1.fleetd()?;
        h1.api()?.put("a.service", units::SLEEPER, "launched")?;
        eventually("it runs", SOON, || h1.active("a.service"))?;
        let unit = h1.active("a.service")?;
        let good = h1.run(&["cat", CONF])?;
        let broken = [
            ("agent_ttl=30\n", "time: missing unit in duration \"30\""),
            ("no such line\n", "iniparser: syntax error at ':1'."),
            ("etcd_cafile=/nowhere\n", "open /nowhere: no such file or directory"),
        ];
        for (round, (text, reason)) in (1..).zip(broken) {
            h1.write(CONF, text)?;
            hup(h1)?;
            let failed = "Reloading configuration failed, keeping the old one: ";
            let log = logged(h1, failed, round)?;
            assert!(
                log.lines().any(|line| line.contains(failed) && line.contains(reason)),
                "{log}"
            );
            serves(h1)?;
        }
        h1.run(&["rm", CONF])?;
        hup(h1)?;
        logged(h1, &format!("stat {CONF}: no such file or directory"), 1)?;

        // What can't change while it runs is refused; the rest of that file counts.
        h1.write(CONF, &good)?;
        configure(h1, &[("units_directory", "/run/other"), ("metadata", "\"new=yes\"")])?;
        hup(h1)?;
        logged(h1, "units_directory can't change while fleetd runs", 1)?;
        eventually("the metadata counts", SOON, || {
            let machines = h1.api()?.list("machines")?;
            ensure!(machines[0]["metadata"]["new"] == "yes", "{machines:?}");
            Ok(())
        })?;
        assert_eq!((h1.active("a.service")?, h1.fleetd()?), (unit, fleetd));

        // Many at once, and a TERM on their heels: the last word counts.
        let storm =
            "for i in 1 2 3 4 5 6; do kill -HUP $0; done; sleep 0.05; kill -HUP $0; kill $0";
        let pid = h1.show("fleet.service", "MainPID")?["MainPID"].clone();
        h1.run(&["sh", "-c", storm, &pid])?;
        // fleetd is part of its socket: neither is started again.
        h1.run(&["systemctl", "stop", "--no-block", "fleet.socket"])?;
        logged(h1, "Gracefully shutting down", 1)?;
        eventually("its units are gone", SOON, || h1.not_active("a.service"))
    })
}

#[test]
fn a_reload_works_while_etcd_is_away_and_before_it_ever_came() -> Result<()> {
    Lab::with_hosts(1).config("agent_ttl=5s").story(|lab| {
        let h1 = lab.host(1)?;
        h1.api()?.put("a.service", units::SLEEPER, "launched")?;
        eventually("it runs", SOON, || h1.active("a.service"))?;
        let unit = h1.active("a.service")?;
        lab.etcd().stop()?;
        eventually("the outage is noticed", SOON, || {
            let reply = h1.api()?.send("GET", "/machines", None)?;
            ensure!(reply.status == 503 && reply.body.contains(UNAVAILABLE), "{reply:?}");
            Ok(())
        })?;
        configure(h1, &[("metadata", "\"changed=outage\"")])?;
        hup(h1)?;
        logged(h1, "Restarting server components", 1)?;
        lab.etcd().start()?;
        serves(h1)?;
        eventually("the metadata counts", SOON, || {
            let machines = h1.api()?.list("machines")?;
            ensure!(machines[0]["metadata"]["changed"] == "outage", "{machines:?}");
            Ok(())
        })?;
        assert_eq!(h1.active("a.service")?, unit);

        // Another ttl wants a lease that can't be had. The machine was present by another: a
        // stop takes its units along.
        lab.etcd().stop()?;
        configure(h1, &[("agent_ttl", "6s")])?;
        hup(h1)?;
        logged(h1, "Restarting server components", 2)?;
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        h1.not_active("a.service")?;
        lab.etcd().start()?;
        h1.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        serves(h1)?;
        eventually("the unit is back", SOON, || h1.active("a.service"))?;

        // Started without etcd: active, with an API that says so, and up as soon as etcd is.
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        lab.etcd().stop()?;
        h1.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        assert_eq!(h1.show("fleet.service", "ActiveState")?["ActiveState"], "active");
        let unavailable = || -> Result<()> {
            let reply = h1.api()?.send("GET", "/units", None)?;
            ensure!(reply.status == 503 && reply.body.contains(UNAVAILABLE), "{reply:?}");
            Ok(())
        };
        throughout("it says 503", Duration::from_secs(2), unavailable)?;
        hup(h1)?;
        logged(h1, "Restarting server components", 3)?;
        unavailable()?;
        logged(h1, "Server register machine failed: ", 2)?;
        lab.etcd().start()?;
        serves(h1)?;
        eventually("the unit is back", SOON, || h1.active("a.service"))?;

        // Nothing to purge before it ever registered: TERM just ends it.
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        lab.etcd().stop()?;
        h1.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        let shown = h1.show("fleet.service", "Result,ExecMainStatus")?;
        assert_eq!((shown["Result"].as_str(), shown["ExecMainStatus"].as_str()), ("success", "0"));
        Ok(())
    })
}

#[test]
fn one_may_never_lead_and_none_may_watch() -> Result<()> {
    Lab::with_hosts(2).config("agent_ttl=5s\ndisable_watches=true").story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let leads = |host: &Host| -> Result<String> {
            Ok(host.show("fleet.service", "StatusText")?["StatusText"].clone())
        };
        configure(h1, &[("disable_engine", "true")])?;
        restart(h1)?;
        eventually("the other leads", SOON * 2, || {
            let status = leads(h2)?;
            ensure!(status == "leading the cluster", "{status}");
            Ok(())
        })?;
        logged(h1, "Not starting engine; disable-engine is set", 1)?;
        let record = in_etcd(lab, h1, &format!("machine/{}", h1.machine_id()))?;
        assert!(record.contains(r#""DISABLE_ENGINE":true"#), "{record}");

        // By period alone, the engine's and the agent's.
        h1.fleetctl(&["start", &units::hand_over(h1, "a.service", units::SLEEPER)?])?;
        h1.api()?.put("everywhere.service", units::EVERYWHERE, "launched")?;
        for host in [h1, h2] {
            eventually("it runs", SOON * 2, || host.active("everywhere.service"))?;
        }

        // Without the other nobody decides, for as long as it is away.
        h2.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        h1.api()?.put("b.service", units::SLEEPER, "launched")?;
        throughout("it doesn't lead", Duration::from_secs(5), || {
            let status = leads(h1)?;
            ensure!(status == "agent only", "{status}");
            ensure!(h1.api()?.active_on("b.service").is_err(), "it was placed");
            Ok(())
        })?;
        h2.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        eventually("the other decides", SOON * 2, || h1.api()?.active_on("b.service")).map(drop)
    })
}

#[test]
fn a_second_machine_with_the_same_id_is_refused_loudly() -> Result<()> {
    Lab::with_hosts(2).config("agent_ttl=5s").story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        h2.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        // `/etc/machine-id` may be a mount of its own in a container: written in place.
        let set = format!(
            "umount /etc/machine-id 2>/dev/null; echo {} > /etc/machine-id",
            h1.machine_id()
        );
        h2.run(&["sh", "-c", &set])?;
        h2.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        let log = logged(h2, "Server register machine failed: ", 2)?;
        let told =
            log.lines().find(|line| line.contains("ERROR") && line.contains("another machine"));
        let told = told.with_context(|| format!("nothing loud in\n{log}"))?;
        assert!(told.contains(h1.machine_id()), "{told}");
        assert!(told.contains(&h1.address().to_string()), "it names the other: {told}");
        let shown = h2.show("fleet.service", "ActiveState,StatusText")?;
        assert_eq!(shown["ActiveState"], "active");
        let status = &shown["StatusText"];
        assert!(status.starts_with("not registered yet: "), "{status}");
        assert!(status.contains(&h1.address().to_string()), "{status}");
        for _ in 0..5 {
            let reply = h2.api()?.send("GET", "/machines", None)?;
            assert_eq!(reply.status, 503, "{}", reply.body);
            assert!(reply.body.contains(UNAVAILABLE), "{}", reply.body);
        }
        assert_eq!(h1.api()?.machines()?, [h1.machine_id()]);
        // Its reload doesn't get it in either, and the first isn't disturbed.
        hup(h2)?;
        logged(h2, "Restarting server components", 1)?;
        assert_eq!(h2.api()?.send("GET", "/machines", None)?.status, 503);
        assert!(!log.contains("hrt.Beat"), "{log}");
        Ok(())
    })
}

#[test]
fn etcd_may_want_a_password_and_some_of_its_endpoints_may_be_dead() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let alive = lab.etcd().url();
        let dead = alive.replace(":2379", ":1");
        configure(h1, &[("etcd_servers", &format!("[\"{dead}\", \"{alive}\"]"))])?;
        restart(h1)?;

        // Bytes as etcd's JSON gateway wants them are in base64: the prefix, and no end.
        let etcd = |path: &str, body: &str| {
            lab.etcd().send("POST", path, Some(body)).with_context(|| path.to_owned())
        };
        for user in ["root", "fleet"] {
            etcd("/v3/auth/user/add", &format!(r#"{{"name":"{user}","password":"open-{user}"}}"#))?;
            etcd("/v3/auth/role/add", &format!(r#"{{"name":"{user}"}}"#))?;
            etcd("/v3/auth/user/grant", &format!(r#"{{"user":"{user}","role":"{user}"}}"#))?;
        }
        // "/_coreos.com/fleet/" to "/_coreos.com/fleet0".
        let (from, to) = ("L19jb3Jlb3MuY29tL2ZsZWV0Lw==", "L19jb3Jlb3MuY29tL2ZsZWV0MA==");
        let perm = format!(r#"{{"permType":"READWRITE","key":"{from}","range_end":"{to}"}}"#);
        etcd("/v3/auth/role/grant", &format!(r#"{{"name":"fleet","perm":{perm}}}"#))?;
        etcd("/v3/auth/enable", "{}")?;

        // Without a password nothing works; with it all does, from a reload on.
        eventually("etcd refuses it", SOON, || {
            let reply = h1.api()?.send("GET", "/machines", None)?;
            ensure!(reply.status != 200, "{reply:?}");
            Ok(())
        })?;
        configure(h1, &[("etcd_username", "fleet"), ("etcd_password", "open-fleet")])?;
        hup(h1)?;
        serves(h1)?;
        h1.fleetctl(&["start", &units::hand_over(h1, "a.service", units::SLEEPER)?])?;
        h1.active("a.service").map(drop)
    })
}
