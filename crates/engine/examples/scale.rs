//! Measures the planner at 100,000 units on 5,000 machines in time of the CPU: from scratch, and after
//! one change with all that follows from it.
//!
//! `cargo run --release -p fleet-engine --example scale [UNITS MACHINES]`

#[path = "../benches/world/mod.rs"]
mod world;

use std::{
    fs,
    io::{self, Write},
};

use world::{Kind, World};

/// Changes of a kind that are measured.
const CHANGES: usize = 51;

fn main() -> io::Result<()> {
    let mut sizes = std::env::args().skip(1).filter_map(|size| size.parse().ok());
    let (units, machines) = (sizes.next().unwrap_or(100_000), sizes.next().unwrap_or(5_000));
    let mut out = io::stdout().lock();
    writeln!(out, "{units} units, {machines} machines; medians in ms of CPU")?;
    writeln!(
        out,
        "{:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "place", "look", "unit", "metadata", "lost"
    )?;
    for kind in
        [Kind::Plain, Kind::Metadata, Kind::Conflicts, Kind::Peers, Kind::Mixed, Kind::Absent]
    {
        let world = World::new(kind, units, machines);
        let place = spent(|| drop(world.plan()))?;
        let mut world = World::settled(kind, units, machines);
        let look = spent(|| drop(world.plan()))?;
        let unit = median(|change| {
            let time = spent(|| {
                world.add(units + change);
                while world.pass() > 0 {}
            });
            world.remove(units + change);
            time
        })?;
        let metadata = median(|change| {
            let value = (change % 2 == 0).then_some("other");
            spent(|| {
                world.metadata(change / 2 * 7 % machines, "host", value);
                while world.pass() > 0 {}
            })
        })?;
        let lost = median(|change| {
            let time = spent(|| {
                world.go(change * 11 % machines);
                while world.pass() > 0 {}
            });
            world.come(change * 11 % machines);
            time
        })?;
        let name = format!("{kind:?}");
        writeln!(
            out,
            "{name:>10} {place:>9.2} {look:>9.2} {unit:>9.3} {metadata:>9.3} {lost:>9.3}"
        )?;
    }
    Ok(())
}

/// The median of what all changes of a kind cost.
fn median(mut change: impl FnMut(usize) -> io::Result<f64>) -> io::Result<f64> {
    let mut all = (0..CHANGES).map(&mut change).collect::<io::Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[CHANGES / 2])
}

/// The milliseconds that this thread spends on some work.
fn spent(work: impl FnOnce()) -> io::Result<f64> {
    let before = run_time()?;
    work();
    Ok((run_time()? - before) / 1e6)
}

fn run_time() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first.parse().map_err(|_| io::Error::other("schedstat begins with a number"))
}
