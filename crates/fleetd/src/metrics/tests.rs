//! The names, labels and kinds of `api.md` 8, in the state that each shows in.

use std::{sync::Arc, time::Duration};

use fleet_engine::LongPass;
use fleet_registry::Keys;
use fleet_store::MemoryStore;

use super::*;

/// Name, kind, and the labels of each sample, of what is shown at all.
fn shown(families: &[Family]) -> Vec<(&'static str, &'static str, Vec<String>)> {
    fn labels<T>(samples: &[(Option<Label>, T)]) -> Vec<String> {
        let text = |label: &Option<Label>| match label {
            Some(label) => format!("{}={}", label.name, label.value),
            None => String::new(),
        };
        samples.iter().map(|(label, _)| text(label)).collect()
    }
    families
        .iter()
        .map(|family| match &family.samples {
            Samples::Counters(samples) => (family.name, "counter", labels(samples)),
            Samples::Gauges(samples) => (family.name, "gauge", labels(samples)),
            Samples::Histograms(samples) => (family.name, "histogram", labels(samples)),
        })
        .filter(|(_, _, labels)| !labels.is_empty())
        .collect()
}

fn row(
    name: &'static str,
    kind: &'static str,
    labels: &[&str],
) -> (&'static str, &'static str, Vec<String>) {
    (name, kind, labels.iter().map(|&label| label.to_owned()).collect())
}

#[test]
fn all_are_there_once_everything_has_happened() {
    let both = ByAction { unschedule: 1, schedule: 2 };
    let engine = fleet_engine::Metrics {
        tasks: both,
        task_failures: both,
        machines_away: 1,
        unable_to_run: 2,
        unplaced: 3,
        long_pass: Some(LongPass { unit: "a.service".to_owned(), time: Duration::from_secs(1) }),
        ..fleet_engine::Metrics::default()
    };
    let operation = OperationMetrics { count: 2, failed: 1, ..OperationMetrics::default() };
    let files = FileMetrics { get: operation.clone(), set: operation.clone(), get_all: operation };
    let mut families = engine_families(&engine);
    families.extend(registry_families(&files));
    let tasks = ["type=attemptscheduleunit", "type=unscheduleunit"];
    let operations = ["type=get", "type=get_all", "type=set"];
    let failures = ["type=machine_away", "type=run", "type=schedule"];
    assert_eq!(
        shown(&families),
        [
            row("fleet_engine_brake", "gauge", &[""]),
            row("fleet_engine_brake_count_total", "counter", &[""]),
            row("fleet_engine_leader_start_time", "gauge", &[""]),
            row("fleet_engine_machines_missing", "gauge", &[""]),
            row("fleet_engine_reconcile_count_total", "counter", &[""]),
            row("fleet_engine_reconcile_duration_second", "histogram", &[""]),
            row("fleet_engine_reconcile_failure_count_total", "counter", &failures),
            row("fleet_engine_reconcile_long_seconds", "gauge", &["unit=a.service"]),
            row("fleet_engine_reconcile_unfinished_count_total", "counter", &[""]),
            row("fleet_engine_task_count_total", "counter", &tasks),
            row("fleet_engine_task_failure_count_total", "counter", &tasks),
            row("fleet_registry_operation_count_total", "counter", &operations),
            row(
                "fleet_registry_operation_duration_second",
                "histogram",
                &["ops=get", "ops=get_all", "ops=set"]
            ),
            row("fleet_registry_operation_failed_count_total", "counter", &operations),
        ]
    );
    assert_eq!(
        families[9].samples,
        Samples::Counters(vec![
            (label("type", "attemptscheduleunit"), 2.0),
            (label("type", "unscheduleunit"), 1.0)
        ])
    );
}

#[tokio::test]
async fn what_never_happened_has_no_labels_and_what_did_is_counted() {
    let keys = Keys::new("/fleet").unwrap();
    let registry = Registry::new(Arc::new(MemoryStore::new()), keys);
    let log = Queue::start(std::io::sink(), |_| String::new());
    let standing = StandingHandle::default();
    let engine = SharedMetrics::default();
    let metrics = Metrics { registry: registry.clone(), engine, log, standing };
    let fleet = |families: Vec<Family>| {
        let mut shown = shown(&families);
        shown.retain(|(name, ..)| name.starts_with("fleet_"));
        shown
    };
    let idle = [
        row("fleet_engine_brake", "gauge", &[""]),
        row("fleet_engine_brake_count_total", "counter", &[""]),
        row("fleet_engine_leader_start_time", "gauge", &[""]),
        row("fleet_engine_machines_missing", "gauge", &[""]),
        row("fleet_engine_reconcile_count_total", "counter", &[""]),
        row("fleet_engine_reconcile_duration_second", "histogram", &[""]),
        row("fleet_engine_reconcile_unfinished_count_total", "counter", &[""]),
        row("fleet_log_lines_dropped_total", "counter", &[""]),
        row(
            "fleet_agent_standing",
            "gauge",
            &["standing=in-service", "standing=leaving", "standing=silent"],
        ),
    ];
    assert_eq!(fleet(metrics.families()), idle);
    registry.units_page(None, 10).await.unwrap();
    let names: Vec<&str> = fleet(metrics.families()).iter().skip(7).map(|row| row.0).collect();
    assert_eq!(
        names,
        [
            "fleet_registry_operation_count_total",
            "fleet_registry_operation_duration_second",
            "fleet_log_lines_dropped_total",
            "fleet_agent_standing"
        ]
    );
}

#[test]
fn a_machine_stands_in_one_way_at_a_time() {
    let standing = StandingHandle::default();
    let expected = |values: [f64; 3]| {
        let words = ["in-service", "leaving", "silent"].map(|word| label("standing", word));
        Samples::Gauges(words.into_iter().zip(values).collect())
    };
    assert_eq!(standing_family(standing.now()).samples, expected([1.0, 0.0, 0.0]));
    standing.leave();
    assert_eq!(standing_family(standing.now()).samples, expected([0.0, 1.0, 0.0]));
}

#[test]
fn a_histogram_keeps_its_bounds() {
    let mut histogram = Histogram::default();
    for millis in [3, 3, 700, 20_000] {
        histogram.observe(Duration::from_millis(millis));
    }
    let Buckets { bounded, beyond, sum } = buckets(&histogram);
    assert_eq!(bounded.len(), 11);
    assert_eq!((bounded[0], bounded[7], bounded[10], beyond), ((0.005, 2), (1.0, 1), (10.0, 0), 1));
    assert!((sum - 20.706).abs() < 1e-9);
}
