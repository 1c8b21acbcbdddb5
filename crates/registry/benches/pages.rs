//! What a page of a list costs, without etcd. `cargo bench -p fleet-registry --bench pages`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use divan::Bencher;
use fleet_core::{JobState, MachineId, UnitFile, UnitName, UnitState};
use fleet_registry::{Keys, MachineRecord, PublishedState, Registry, StateFilter};
use fleet_store::MemoryStore;
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

/// Units there are.
const UNITS: usize = 20_000;
/// Items of a page.
const ITEMS: [usize; 2] = [100, 1000];

fn name(n: usize) -> UnitName {
    format!("u{n:06}.service").parse().unwrap()
}

/// A cluster whose units run on one machine.
fn filled(runtime: &Runtime) -> Registry {
    let registry = Registry::new(Arc::new(MemoryStore::new()), Keys::new("/f").unwrap());
    let text = "[Unit]\nDescription=Measures\n\n[Service]\nExecStart=/bin/sleep 1d\n";
    let file = UnitFile::parse(text.as_bytes()).unwrap();
    runtime.block_on(async {
        let id: MachineId = "m1".parse().unwrap();
        let ttl = Duration::from_secs(3600);
        let presence = registry.register(&id, &MachineRecord::default(), ttl).await.unwrap();
        let systemd =
            UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() };
        let state = PublishedState::new(systemd, file.hash(), JobState::Launched);
        let states: BTreeMap<_, _> = (0..UNITS).map(|n| (name(n), Some(state.clone()))).collect();
        registry.publish(&presence, &states).await.unwrap();
        for n in 0..UNITS {
            registry.create_unit(&name(n), &file, JobState::Launched).await.unwrap();
        }
    });
    registry
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[divan::bench(args = ITEMS)]
fn units(bencher: Bencher<'_, '_>, items: usize) {
    let runtime = runtime();
    let registry = filled(&runtime);
    let after = name(UNITS / 2).to_string();
    bencher.bench_local(|| runtime.block_on(registry.units_page(Some(&after), items)).unwrap());
}

#[divan::bench(args = ITEMS)]
fn states(bencher: Bencher<'_, '_>, items: usize) {
    let runtime = runtime();
    let registry = filled(&runtime);
    let (after, all) = (format!("{},m1", name(UNITS / 2)), StateFilter::default());
    let page = || runtime.block_on(registry.states_page(&all, Some(&after), items)).unwrap();
    bencher.bench_local(page);
}
