//! What must never be: watches each host's systemd and judges what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::look::{self, Seen};
use super::units::Kind;
use super::world::World;
use crate::host::Host;

/// Pause between two looks at all hosts.
const PAUSE: Duration = Duration::from_millis(600);

/// For how long a host must have been well, and present, before it answers for what runs twice.
const LEARNS: Duration = Duration::from_secs(10);

/// A run of a unit, as it was when it was seen first.
#[derive(Clone, Debug)]
struct Run {
    seen: Seen,
    /// A revision at which it hadn't begun yet.
    since: u64,
}

/// A run that has ended.
#[derive(Debug)]
struct Ended {
    unit: String,
    run: Run,
    /// When that was seen, and what.
    at: Duration,
    now: String,
}

/// What is known of a host.
#[derive(Debug, Default)]
struct Watched {
    runs: BTreeMap<String, Run>,
    /// What was up at the last look.
    up: BTreeMap<String, Seen>,
    ended: Vec<Ended>,
    cuts: u32,
    /// When it was looked at last, and the newest revision that was known then.
    looked: Duration,
    revision: u64,
}

/// Watches all hosts until all is over.
pub(crate) fn watch(world: &World<'_>) {
    let mut watched: Vec<Watched> = world.lab.hosts().iter().map(|_| Watched::default()).collect();
    let mut doubles = BTreeSet::new();
    while !world.is_over() {
        for (host, watched) in world.lab.hosts().iter().zip(&mut watched) {
            watched.look(world, host);
            watched.judge(world, host);
        }
        doubles = are_single(world, &watched, &doubles);
        world.sleep(PAUSE);
    }
}

impl Watched {
    fn look(&mut self, world: &World<'_>, host: &Host) {
        let (before, at, revision) = (world.health(host), world.now(), world.history().seen);
        if before.is_down || before.cuts != self.cuts {
            // Whatever ran has ended with the power.
            (self.runs, self.up, self.cuts) = (BTreeMap::new(), BTreeMap::new(), before.cuts);
        }
        if before.is_down {
            (self.looked, self.revision) = (at, revision);
            return;
        }
        let Ok(units) = look::units(host) else { return };
        let after = world.health(host);
        if after.is_down || after.cuts != before.cuts {
            return;
        }
        let is_excused =
            after.is_purging || after.purged_at.is_some_and(|purged| purged >= self.looked);
        for (unit, now) in told_apart(&mut self.runs, &units) {
            world.note(format!("{} {unit}: its run is over ({now})", host.name()));
            world.count("runs that ended");
            let Some(run) = self.runs.remove(&unit) else { continue };
            if !is_excused && Kind::of_name(&unit).is_some_and(Kind::lasts) {
                self.ended.push(Ended { unit, run, at, now });
            }
        }
        for (unit, seen) in units.iter().filter(|(_, seen)| seen.runs()) {
            if !self.runs.contains_key(unit) {
                let pid = &seen.pid;
                world.note(format!("{} {unit}: runs ({}, {pid})", host.name(), seen.active));
                world.count("runs that began");
                let run = Run { seen: seen.clone(), since: self.revision };
                self.runs.insert(unit.clone(), run);
            }
        }
        self.up = units.into_iter().filter(|(_, seen)| seen.is_up()).collect();
        (self.looked, self.revision) = (at, revision);
    }

    /// Judges what has ended, once all is known that had been said by then.
    fn judge(&mut self, world: &World<'_>, host: &Host) {
        let (pulse, history) = (world.pulse(), world.history());
        if history.seen < pulse.revision {
            return;
        }
        let mut found = Vec::new();
        self.ended.retain(|ended| {
            if ended.at >= pulse.at {
                return true;
            }
            let Ended { unit, run, at, now } = ended;
            let since = run.since;
            match history.reason_to_stop(host.machine_id(), unit, since) {
                Some(reason) => found.push((format!("{} {unit}: {reason}", host.name()), false)),
                None => found.push((
                    format!(
                        "{} {unit}: was stopped or restarted without a reason, seen at {:.1} s: it \
                         ran since revision {since} with process {}, now {now}",
                        host.name(),
                        at.as_secs_f64(),
                        run.seen.pid
                    ),
                    true,
                )),
            }
            false
        });
        drop(history);
        for (what, is_broken) in found {
            world.count("ends that were judged");
            if is_broken { world.is_broken(what) } else { world.note(what) }
        }
    }
}

/// Returns the units whose run isn't there any more, with what is there instead.
fn told_apart(
    runs: &mut BTreeMap<String, Run>,
    units: &BTreeMap<String, Seen>,
) -> Vec<(String, String)> {
    let mut ended = Vec::new();
    for (unit, run) in runs {
        let Some(now) = units.get(unit) else {
            ended.push((unit.clone(), "systemd doesn't know it".to_owned()));
            continue;
        };
        let other = |was: &str, is: &str| !was.is_empty() && was != "0" && is != "0" && was != is;
        let is_same = run.seen.invocation == now.invocation && !other(&run.seen.pid, &now.pid);
        if !now.runs() {
            ended.push((unit.clone(), format!("{}/{}", now.active, now.sub)));
        } else if !is_same {
            ended.push((unit.clone(), format!("another run, process {}", now.pid)));
        } else {
            run.seen = now.clone();
        }
    }
    ended
}

/// A unit doesn't run on a host that was there to be asked when another got it; and one that was cut
/// off stops it soon.
/// Returns what runs twice now; it counts when it did so at the last look too.
fn are_single(
    world: &World<'_>,
    watched: &[Watched],
    before: &BTreeSet<(String, String, String)>,
) -> BTreeSet<(String, String, String)> {
    let mut by_unit: BTreeMap<&String, Vec<(&Host, &Seen)>> = BTreeMap::new();
    for (host, watched) in world.lab.hosts().iter().zip(watched) {
        for (unit, seen) in &watched.up {
            by_unit.entry(unit).or_default().push((host, seen));
        }
    }
    let mut doubles = BTreeSet::new();
    let (pulse, history) = (world.pulse(), world.history());
    let mut found = Vec::new();
    for (unit, places) in by_unit.into_iter().filter(|(_, places)| places.len() > 1) {
        let Some(record) = history.unit(unit).filter(|record| !record.global) else { continue };
        for (host, seen) in &places {
            let double = (unit.clone(), host.name().to_owned(), seen.invocation.clone());
            let is_lasting = before.contains(&double) && history.seen >= pulse.revision;
            let is_its = record.machine.as_deref() == Some(host.machine_id());
            doubles.insert(double);
            if !is_lasting || is_its || record.machine.is_none() {
                continue;
            }
            let names: Vec<&str> = places.iter().map(|(host, _)| host.name()).collect();
            let (id, name) = (host.machine_id(), host.name());
            if history.was_asked(id, unit) {
                found.push(format!("{unit} runs on {names:?}; {name} was there to be asked"));
            }
            let now = world.now();
            let knows = history.known_since(id, unit).is_some_and(|since| now - since > LEARNS);
            if seen.runs() && knows && world.health(host).calm_for(now) > LEARNS {
                found.push(format!("{unit} runs on {names:?}; {name} knows, and goes on"));
            }
        }
    }
    drop(history);
    found.into_iter().for_each(|what| world.is_broken(what));
    doubles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(active: &str, invocation: &str, pid: &str) -> Seen {
        let (active, invocation, pid) = (active.into(), invocation.into(), pid.into());
        Seen { active, invocation, pid, ..Seen::default() }
    }

    #[test]
    fn a_run_is_over_when_it_is_another_or_none() {
        let run = |seen| Run { seen, since: 0 };
        let names = ["same", "started", "again", "gone", "stopping", "killed"];
        let mut runs: BTreeMap<String, Run> =
            names.map(|name| (name.to_owned(), run(seen("active", "1", "5")))).into();
        runs.insert("started".to_owned(), run(seen("activating", "1", "0")));
        let now = BTreeMap::from([
            ("same".to_owned(), seen("active", "1", "5")),
            ("started".to_owned(), seen("active", "1", "6")),
            ("again".to_owned(), seen("active", "2", "5")),
            ("stopping".to_owned(), seen("deactivating", "1", "5")),
            ("killed".to_owned(), seen("active", "1", "7")),
        ]);
        let ended: Vec<String> = told_apart(&mut runs, &now).into_iter().map(|it| it.0).collect();
        assert_eq!(ended, ["again", "gone", "killed", "stopping"]);
    }
}
