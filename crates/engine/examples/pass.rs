//! Measures a pass over 1,000 units and 100 machines, and some that are harder.
//!
//! `cargo run --release -p fleet-engine --example pass`

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use fleet_core::{FleetOptions, JobState, MachineId, UnitHash, UnitName};
use fleet_engine::{Absent, Action, Cluster, plan};
use fleet_registry::{Capabilities, Event, MachineRecord, Model, UnitRecord, Versioned};
use fleet_store::Revision;
use tokio::time::Instant;

/// Passes that a figure is the median of.
const PASSES: usize = 51;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let conflicting = |unit: usize| vec![("Conflicts", format!("web{}@*.service", unit % 10))];
    let peers = |unit: usize| match unit % 2 {
        0 => vec![],
        _ => vec![("MachineOf", format!("web{}@{:04}.service", (unit - 1) % 10, unit - 1))],
    };
    report(&mut out, "plain units", 1000, 100, |_| vec![])?;
    report(&mut out, "plain units", 200, 3, |_| vec![])?;
    report(&mut out, "plain units", 10_000, 1000, |_| vec![])?;
    report(&mut out, "each conflicting with a tenth of the others", 1000, 100, conflicting)?;
    report(&mut out, "conflicting with all, most have no machine", 1000, 100, |_| {
        vec![("Conflicts", "web*".to_owned())]
    })?;
    report(&mut out, "each replacing all others", 1000, 100, |_| {
        vec![("Replaces", "web*".to_owned())]
    })?;
    report(&mut out, "each replacing the next", 1000, 100, |unit| {
        vec![("Replaces", format!("web{}@{:04}.service", (unit + 1) % 10, (unit + 1) % 1000))]
    })?;
    report(&mut out, "every second with a peer", 1000, 100, peers)?;
    Ok(())
}

/// Measures the pass that places all units, and one that finds them placed.
fn report(
    out: &mut impl Write,
    what: &str,
    units: usize,
    machines: usize,
    options: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> io::Result<()> {
    let mut cluster = build(units, machines, options);
    let placing = median(&cluster);
    let placed = carry_out(&mut cluster);
    let idle = median(&cluster);
    writeln!(
        out,
        "{units:>6} units, {machines:>4} machines: placing {placed:>5} takes {placing:>8} µs, \
         an idle pass {idle:>8} µs ({what})"
    )
}

fn build(
    units: usize,
    machines: usize,
    options: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> Cluster {
    let mut cluster = Cluster::default();
    for machine in 0..machines {
        let id: MachineId = format!("{machine:032x}").parse().expect("digits make an id");
        let record = MachineRecord {
            public_ip: String::new(),
            metadata: [("region".to_owned(), "eu".to_owned())].into(),
            capabilities: Capabilities::default(),
            version: String::new(),
            nonce: String::new(),
            ..MachineRecord::default()
        };
        cluster.apply(Event::Machine(id, Some(Ok(versioned(1, record)))));
    }
    for unit in 0..units {
        let name: UnitName =
            format!("web{}@{unit:04}.service", unit % 10).parse().expect("it is a unit name");
        let x_fleet = options(unit).into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let record = UnitRecord {
            hash: UnitHash::of(b""),
            size: 0,
            desired_state: JobState::Launched,
            machine: None,
            leaving: false,
            return_to: None,
            global: false,
            template: false,
            x_fleet: FleetOptions(x_fleet),
        };
        cluster.apply(Event::Unit(name, Some(Ok(versioned(1, record)))));
    }
    cluster
}

fn versioned<T>(revision: i64, value: T) -> Versioned<T> {
    Versioned { value, revision: Revision(revision), created: Revision(1) }
}

/// Takes in what a pass decides; the number of units that have a machine then.
fn carry_out(cluster: &mut Cluster) -> usize {
    let tasks = plan(cluster, Absent::Dead, &BTreeSet::new()).tasks;
    for task in tasks.iter().filter(|task| task.action == Action::Schedule) {
        let Some(unit) = cluster.unit(&task.unit) else { continue };
        let record =
            UnitRecord { machine: Some(task.machine.clone()), ..unit.record.value.clone() };
        cluster.apply(Event::Unit(task.unit.clone(), Some(Ok(versioned(2, record)))));
    }
    tasks.len()
}

/// The median duration of a pass in microseconds.
fn median(cluster: &Cluster) -> u128 {
    let mut durations: Vec<u128> = (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            let cluster = std::hint::black_box(cluster);
            std::hint::black_box(plan(cluster, Absent::Dead, &BTreeSet::new()));
            start.elapsed().as_micros()
        })
        .collect();
    durations.sort_unstable();
    durations[PASSES / 2]
}
