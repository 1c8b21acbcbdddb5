//! What planning costs in a large cluster: everything from scratch, and after one change with all that
//! follows from it.
//!
//! `cargo bench -p fleet-engine`; `examples/scale.rs` measures the same in time of the CPU.

mod world;

use divan::Bencher;
use world::{Kind, World};

const UNITS: usize = 100_000;
const MACHINES: usize = 5_000;

/// The clusters that are measured.
const KINDS: [Kind; 6] =
    [Kind::Plain, Kind::Metadata, Kind::Conflicts, Kind::Peers, Kind::Mixed, Kind::Absent];

fn main() {
    divan::main();
}

#[divan::bench(args = KINDS, sample_count = 5)]
fn place_all(bencher: Bencher<'_, '_>, kind: Kind) {
    let world = World::new(kind, UNITS, MACHINES);
    bencher.bench_local(|| world.plan());
}

#[divan::bench(args = KINDS, sample_count = 20)]
fn look_at_all(bencher: Bencher<'_, '_>, kind: Kind) {
    let world = World::settled(kind, UNITS, MACHINES);
    bencher.bench_local(|| world.plan());
}

#[divan::bench(args = KINDS)]
fn unit_comes_and_goes(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut world = World::settled(kind, UNITS, MACHINES);
    bencher.bench_local(|| {
        world.add(UNITS);
        world.settle();
        world.remove(UNITS);
        world.settle();
    });
}

#[divan::bench(args = KINDS)]
fn metadata_comes_and_goes(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut world = World::settled(kind, UNITS, MACHINES);
    bencher.bench_local(|| {
        for value in [Some("other"), None] {
            world.metadata(7, "host", value);
            world.settle();
        }
    });
}

#[divan::bench(args = KINDS)]
fn machine_is_lost(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut world = World::settled(kind, UNITS, MACHINES);
    let mut machine = 0;
    bencher.bench_local(|| {
        world.go(machine % MACHINES);
        world.settle();
        world.come(machine % MACHINES);
        world.settle();
        machine += 11;
    });
}
