//! Measures the planner at 100,000 units on 5,000 machines in time of the CPU: from scratch, and after
//! one change with all that follows from it.
//!
//! `cargo run --release -p fleet-engine --example scale [UNITS MACHINES]`

#[path = "../benches/world/mod.rs"]
mod world;

use std::io::{self, Write};

use rustix::time::{ClockId, clock_gettime};
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
        let place = spent(|| drop(world.plan()));
        let mut world = World::settled(kind, units, machines);
        let look = spent(|| drop(world.plan()));
        let unit = median(|change| {
            let time = spent(|| {
                world.add(units + change);
                world.settle();
            });
            world.remove(units + change);
            time
        });
        let metadata = median(|change| {
            let value = (change % 2 == 0).then_some("other");
            spent(|| {
                world.metadata(change / 2 * 7 % machines, "host", value);
                world.settle();
            })
        });
        let lost = median(|change| {
            let time = spent(|| {
                world.go(change * 11 % machines);
                world.settle();
            });
            world.come(change * 11 % machines);
            time
        });
        let name = format!("{kind:?}");
        writeln!(
            out,
            "{name:>10} {place:>9.2} {look:>9.2} {unit:>9.3} {metadata:>9.3} {lost:>9.3}"
        )?;
    }
    Ok(())
}

/// The median of what all changes of a kind cost.
fn median(change: impl FnMut(usize) -> f64) -> f64 {
    let mut all: Vec<f64> = (0..CHANGES).map(change).collect();
    all.sort_by(f64::total_cmp);
    all[CHANGES / 2]
}

/// The milliseconds that this thread spends on some work.
fn spent(work: impl FnOnce()) -> f64 {
    let before = run_time();
    work();
    (run_time() - before) * 1e3
}

/// The seconds that this thread has run: a clock that goes on within a tick of the scheduler.
fn run_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
