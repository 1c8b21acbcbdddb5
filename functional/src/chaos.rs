//! The lab, broken for real: a sequence of faults drawn from a seed, while users work, and a
//! judge who looks at what each host's systemd, etcd and the files on disk say.
//!
//! Rounds follow each other: a busy time, then quiet, in which all must come to rest as it
//! should be. The same seed gives the same sequence; how long each thing takes differs.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::lab::Lab;
use crate::wait::eventually;

mod asked;
mod faults;
mod follow;
mod history;
mod judge;
mod look;
mod plan;
mod rest;
mod units;
mod users;
mod world;

use plan::{HOSTS, MEMBERS, Round};
use world::World;

/// Longest time that all may need to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(120);
/// For how long it must then stay so.
const STAYS: Duration = Duration::from_secs(3);
/// A lease of 7 s: some faults last longer, others don't.
const TTL: &str = "agent_ttl=8s";
/// Lines of each fleetd's journal that a failing run tells.
const JOURNAL: usize = 400;
/// What a fleetd says when something in it has panicked.
const PANIC: &str = "panicked";

/// What was done and seen.
#[derive(Debug)]
pub struct Report {
    /// How many rounds there were, and how long the longest rest took to come.
    pub rounds: u64,
    /// See `rounds`.
    pub longest_rest: Duration,
    /// How often what was done or seen.
    pub counts: BTreeMap<String, u32>,
}

/// A lab for it.
#[must_use]
pub fn lab() -> crate::Builder {
    let hosts = u8::try_from(HOSTS).unwrap_or(u8::MAX);
    let members = u8::try_from(MEMBERS).unwrap_or(u8::MAX);
    Lab::with_hosts(hosts).etcd(members).config(TTL)
}

/// What is to be done to a lab.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What chance begins with.
    pub seed: u64,
    /// For how long; rounds that have begun are finished.
    pub limit: Duration,
    /// Whether nothing goes wrong: there are only users.
    pub is_calm: bool,
    /// Whether it tells what happens while it does.
    pub is_loud: bool,
}

/// Breaks a lab.
///
/// # Errors
/// When something is broken that must not be: with all that happened until then.
pub fn run(lab: &Lab, options: Options) -> Result<Report> {
    ensure!(lab.hosts().len() == HOSTS, "it takes a lab of {HOSTS} hosts");
    lab.hosts().iter().try_for_each(faults::prepare)?;
    let world = World::new(lab, options.is_loud);
    let date = lab.command("date").args(["+%T.%N"]).output()?;
    world.note(format!("it is {}", String::from_utf8_lossy(&date.stdout).trim()));
    let done = thread::scope(|scope| {
        scope.spawn(|| follow::changes(&world));
        scope.spawn(|| follow::pulse(&world));
        scope.spawn(|| judge::watch(&world));
        let done = rounds(&world, options);
        world.end();
        done
    });
    done.map_err(|error| {
        let journals = lab.hosts().iter().map(|host| {
            format!("--- fleetd on {}\n{}", host.name(), host.journal("fleet.service", JOURNAL))
        });
        let journals: String = journals.collect();
        error.context(format!("what happened:\n{}\n{journals}", world.time_line()))
    })
}

fn rounds(world: &World<'_>, options: Options) -> Result<Report> {
    let Options { seed, limit, is_calm, .. } = options;
    let (mut number, mut longest_rest) = (0, Duration::ZERO);
    while world.now() < limit {
        world.note(format!("--- seed {seed}, round {number}"));
        let round = Round::of(seed, number);
        let begun = world.now();
        thread::scope(|scope| {
            scope.spawn(|| users::carry_out(world, &round.operations));
            for step in round.faults.iter().filter(|_| !is_calm) {
                scope.spawn(move || faults::carry_out(world, begun, step));
            }
        });
        world.note("--- quiet".to_owned());
        let quiet = world.now();
        comes_to_rest(world)?;
        let took = world.now() - quiet;
        world.note(format!("--- at rest after {:.1} s", took.as_secs_f64()));
        longest_rest = longest_rest.max(took);
        number += 1;
    }
    Ok(Report { rounds: number, longest_rest, counts: world.counts() })
}

fn comes_to_rest(world: &World<'_>) -> Result<()> {
    let cleared = faults::clear_bursts(world);
    let mut at_rest_since = None;
    let rest = eventually("all is at rest", REST_LIMIT, || {
        let wrong = rest::what_is_wrong(world);
        if !matches!(&wrong, Ok(wrong) if wrong.is_empty()) {
            at_rest_since = None;
        }
        let wrong = wrong?;
        ensure!(wrong.is_empty(), "{wrong:#?}");
        let now = world.now();
        let since = *at_rest_since.get_or_insert(now);
        ensure!(now - since >= STAYS, "all is, but it hasn't lasted");
        Ok(())
    });
    for host in world.lab.hosts() {
        let journal = host.journal("fleet.service", 5_000);
        if let Some(line) = journal.lines().find(|line| line.contains(PANIC)) {
            world.is_broken(format!("{}: {line}", host.name()));
        }
    }
    if let Err(error) = cleared.and(rest) {
        world.is_broken(format!("{error:#}"));
    }
    let broken = world.broken();
    if !broken.is_empty() {
        bail!("broken:\n{}", broken.into_iter().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}
