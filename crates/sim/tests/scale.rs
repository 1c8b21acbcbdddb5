//! A small cluster with a real etcd in real time: every part works, and every unit is as it should be.

use std::path::Path;

use clap::Parser;
use fleet_sim::scale::{Options, Part, run};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// What there is enough of for every kind of requirement, in a few seconds.
const SMALL: [&str; 17] = [
    "scale",
    "--machines=50",
    "--units=500",
    "--ttl=5",
    "--churn=50",
    "--roll=50",
    "--idle=1",
    "--outage=3",
    "--patience=60",
    "--in-flight=16",
    "--only=place",
    "--only=one",
    "--only=churn",
    "--only=roll",
    "--only=lose",
    "--only=leader",
    "--only=outage",
];

#[test]
fn a_small_cluster_is_as_it_should_be_after_all_that_happens() {
    let options = Line::parse_from(SMALL).options;
    let report = run(&options, Path::new(env!("CARGO_BIN_EXE_simulate"))).unwrap();
    assert!(report.is_sound(), "{report}");
    let measured: Vec<Part> = report.parts.iter().map(|part| part.part).collect();
    assert_eq!(measured, options.parts(), "{report}");
    // The leader's part and the one about etcd add one unit or two.
    assert!(report.verified >= 500, "{report}");
    assert!(report.parts.iter().all(|part| part.costs.etcd.peak > 0.0), "{report}");
}
