//! etcd goes away for longer than any lease lasts, and not one unit notices (cluster.md 7).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Lab, Process, Run, State, eventually, throughout, units};

const TTL: Duration = Duration::from_secs(10);
const OUTAGE: Duration = Duration::from_secs(40);

/// Every unit's run and every host's fleetd.
type Picture = (BTreeMap<(String, String), Run>, Vec<Process>);

fn picture(lab: &Lab, states: &[State]) -> Result<Picture> {
    let mut runs = BTreeMap::new();
    for state in states {
        let host = lab.host_with_id(&state.machine)?;
        runs.insert((state.unit.clone(), state.machine.clone()), host.active(&state.unit)?);
    }
    let fleetds = lab.hosts().iter().map(|host| host.fleetd()).collect::<Result<_>>()?;
    Ok((runs, fleetds))
}

/// Six units and a global one run on three hosts; `go` takes etcd away and `come` brings it
/// back. All through it and after it nothing is stopped, restarted or moved.
fn outage(go: fn(&Lab) -> Result<()>, come: fn(&Lab) -> Result<()>) -> Result<()> {
    Lab::with_hosts(3).config(&format!("agent_ttl={}s", TTL.as_secs())).story(|lab| {
        let mut api = lab.host(1)?.api()?;
        for i in 1..=6 {
            api.put(&format!("sleep@{i}.service"), units::SLEEPER, "launched")?;
        }
        api.put("everywhere.service", units::EVERYWHERE, "launched")?;
        let all_run = |states: &[State]| {
            states.len() == 9 && states.iter().all(|state| state.active == "active")
        };
        let states = lab.wait_for_states("nine run", TTL, all_run)?;
        let (runs, _) = picture(lab, &states)?;

        go(lab)?;
        let (_, fleetds) = picture(lab, &states)?;
        let before = (runs, fleetds);
        let unchanged = || -> Result<()> {
            let now = picture(lab, &states)?;
            ensure!(now == before, "it was {before:#?}, now {now:#?}");
            Ok(())
        };
        throughout("nothing is touched while etcd is away", OUTAGE, unchanged)?;
        for path in ["/units", "/state", "/machines"] {
            let reply = api.send("GET", path, None)?;
            assert_eq!(reply.status, 503, "GET {path}: {}", reply.body);
            let text = "fleet server unable to communicate with etcd";
            assert!(reply.body.contains(text), "GET {path}: {}", reply.body);
        }
        let refused = api.put("late.service", units::SLEEPER, "launched");
        assert!(refused.is_err(), "a write can't have worked");

        come(lab)?;
        let watched = throughout("nothing is touched when it is back", TTL * 2, unchanged);
        watched.context("after the outage")?;
        lab.wait_for_machines()?;
        let after = lab.wait_for_states("the same nine are reported", TTL, all_run)?;
        assert_eq!(after, states);
        for host in lab.hosts() {
            let journal = host.journal("*.service", 10_000);
            let stopped = journal.lines().find(|line| {
                line.contains("Stopping sleep@") || line.contains("Stopping everywhere")
            });
            assert_eq!(stopped, None);
        }

        // And fleet works again.
        let mut api = lab.host(2)?.api()?;
        api.destroy("sleep@1.service")?;
        api.put("new.service", units::SLEEPER, "launched")?;
        lab.wait_for_states("one went, one came", TTL, |states| {
            all_run(states)
                && states.iter().any(|state| state.unit == "new.service")
                && !states.iter().any(|state| state.unit == "sleep@1.service")
        })?;
        Ok(())
    })
}

#[test]
fn etcd_stops_for_forty_seconds_and_a_fleetd_is_killed_meanwhile() -> Result<()> {
    let go = |lab: &Lab| {
        lab.etcd().stop()?;
        let host = lab.host(3)?;
        let killed = host.fleetd()?;
        host.run(&["systemctl", "kill", "--signal=KILL", "fleet.service"])?;
        killed.wait_gone(TTL)?;
        eventually("it has a successor", TTL, || {
            ensure!(host.fleetd()? != killed, "the old one is still there");
            Ok(())
        })
    };
    outage(go, |lab| lab.etcd().start())
}

#[test]
fn etcd_hangs_for_forty_seconds() -> Result<()> {
    outage(|lab| lab.etcd().freeze(), |lab| lab.etcd().thaw())
}
