//! What is counted of unit files (`api.md` 8).

mod common;

use std::sync::Arc;

use common::*;
use fleet_core::JobState::{Launched, Loaded};
use fleet_registry::{FileCounters, FileMetrics, OperationMetrics};

fn counts(metrics: &FileMetrics) -> [(u64, u64); 3] {
    let of = |operation: &OperationMetrics| (operation.count, operation.failed);
    [of(&metrics.get), of(&metrics.set), of(&metrics.get_all)]
}

#[tokio::test]
async fn reads_and_writes_of_unit_files_are_counted_for_all_clones_together() {
    let world = World::new();
    let registry = world.registry.clone();
    assert_eq!(registry.file_metrics(), FileMetrics::default());
    let name = unit("a.service");
    world.registry.create_unit(&name, &file(SLEEP), Loaded).await.unwrap();
    let again = world.registry.create_unit(&name, &file(SLEEP), Loaded).await;
    assert!(again.is_err(), "it exists");
    assert_eq!(counts(&registry.file_metrics()), [(0, 0), (2, 1), (0, 0)]);

    let seen = world.unit("a.service").await;
    registry.set_desired_state(&seen, Launched).await.unwrap();
    registry.unit_texts([&name]).await.unwrap();
    registry.unit(&unit("none.service")).await.unwrap();
    registry.units_page(None, 10).await.unwrap();
    assert_eq!(counts(&registry.file_metrics()), [(3, 0), (2, 1), (1, 0)]);

    world.store.set_available(false);
    registry.unit(&name).await.unwrap_err();
    registry.units_page(None, 10).await.unwrap_err();
    registry.replace_unit(&seen, &file(GLOBAL), Loaded).await.unwrap_err();
    let metrics = registry.file_metrics();
    assert_eq!(counts(&metrics), [(4, 1), (3, 2), (2, 1)]);
    assert_eq!(metrics.get.durations.counts.iter().sum::<u64>(), 3, "of successful ones only");
}

#[tokio::test]
async fn one_registry_goes_on_with_the_counts_of_another() {
    let counters = Arc::new(FileCounters::default());
    let (one, other) = (World::new(), World::new());
    for world in [&one, &other] {
        let registry = world.registry.clone().counting_in(Arc::clone(&counters));
        registry.create_unit(&unit("a.service"), &file(SLEEP), Loaded).await.unwrap();
        registry.units_page(None, 10).await.unwrap();
    }
    let registry = other.registry.counting_in(counters);
    assert_eq!(counts(&registry.file_metrics()), [(0, 0), (2, 0), (2, 0)]);
}
