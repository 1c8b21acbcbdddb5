//! Plots of runs, as SVG: what is measured against the size, and how a part went on in the largest run.

mod chart;
mod series;

use std::{error::Error, fs, path::Path};

use super::{
    options::Part,
    report::{PartReport, Point, Report},
};
use chart::{Chart, draw};
use series::{Series, exponent};

type Result = std::result::Result<(), Box<dyn Error>>;

/// Writes all plots that these runs have figures for.
pub(super) fn plot(folder: &Path, reports: &[Report]) -> Result {
    fs::create_dir_all(folder)?;
    let mut runs: Vec<&Report> = reports.iter().filter(|report| report.is_sound()).collect();
    runs.sort_by_key(|run| (run.settings.units, run.settings.machines));
    for (name, chart) in charts(&runs) {
        if chart.series.iter().any(|series| !series.points.is_empty()) {
            draw(&folder.join(format!("{name}.svg")), &chart)?;
        }
    }
    Ok(())
}

fn charts(runs: &[&Report]) -> Vec<(&'static str, Chart)> {
    let units = |run: &Report| run.settings.units as f64;
    let machines = |run: &Report| run.settings.machines as f64;
    let placing = |by: fn(&Report) -> f64| {
        let of = |name: &'static str, figure: &'static str| {
            against(runs, name, by, |run| run.part(Part::Place)?.figure(figure))
        };
        vec![
            of("submitted", "first PUT to all submitted"),
            of("placed", "first PUT to all placed"),
            of("active", "first PUT to all active"),
        ]
    };
    let idle = |name: &'static str, figure: &'static str| {
        against(runs, name, machines, |run| run.part(Part::Idle)?.figure(figure))
    };
    let memory = |name: &'static str, of: fn(&PartReport) -> f64| {
        against(runs, name, units, move |run| run.part(Part::Place).map(of))
    };
    let one = |name: &'static str, figure: &'static str| {
        against(runs, name, units, |run| run.part(Part::One)?.figure(figure))
    };
    let chart = |title, x, y, series| Chart { title, x, y, series };
    vec![
        (
            "place-by-units",
            chart(
                "From the first PUT until all are …",
                "units",
                "seconds",
                placing(|run| run.settings.units as f64),
            ),
        ),
        (
            "place-by-machines",
            chart(
                "From the first PUT until all are …",
                "machines",
                "seconds",
                placing(|run| run.settings.machines as f64),
            ),
        ),
        (
            "one",
            chart(
                "One unit more, one fewer, among many: median",
                "units",
                "milliseconds",
                vec![
                    one("PUT to active", "PUT to active, median"),
                    one("DELETE to no state left", "DELETE to no state left, median"),
                ],
            ),
        ),
        (
            "idle",
            chart(
                "Idle",
                "machines",
                "% of a core",
                vec![
                    idle("engine, API", "engine, API: really ran"),
                    idle("agents", "agents: really ran"),
                    idle("etcd", "etcd: really ran"),
                ],
            ),
        ),
        (
            "memory",
            chart(
                "The most memory while all units are placed",
                "units",
                "MiB",
                vec![
                    memory("engine, API", |part| part.costs.engine.peak),
                    memory("agents", |part| part.costs.agents.peak),
                    memory("etcd", |part| part.costs.etcd.peak),
                ],
            ),
        ),
        (
            "placing",
            chart("All units are placed, largest run", "seconds", "units", line(runs, Part::Place)),
        ),
        ("loss", chart("Machines are lost, largest run", "seconds", "", loss(runs))),
    ]
}

/// A figure of each run against its size.
fn against(
    runs: &[&Report],
    name: &str,
    size: impl Fn(&Report) -> f64,
    figure: impl Fn(&Report) -> Option<f64>,
) -> Series {
    let points: Vec<(f64, f64)> =
        runs.iter().filter_map(|run| Some((size(run), figure(run)?))).collect();
    let name = match exponent(&points) {
        Some(exponent) => format!("{name} (size to the {exponent:.2})"),
        None => name.to_owned(),
    };
    Series { name, points }
}

/// How a part of the largest run went on.
fn line(runs: &[&Report], part: Part) -> Vec<Series> {
    let Some(points) = timeline(runs, part) else { return Vec::new() };
    let of = |name: &str, value: fn(&Point) -> usize| Series::of(name, points, value);
    vec![of("placed", |point| point.placed), of("active", |point| point.active)]
}

/// How many were not there, each as a share of all there are at the most.
fn loss(runs: &[&Report]) -> Vec<Series> {
    let Some(points) = timeline(runs, Part::Lose) else { return Vec::new() };
    let share = |name: &str, value: fn(&Point) -> usize| {
        let most = points.iter().map(value).max().unwrap_or_default().max(1) as f64;
        let missing = |point: &Point| (1.0 - value(point) as f64 / most) * 100.0;
        let points = points.iter().map(|point| (seconds(point), missing(point))).collect();
        Series { name: name.to_owned(), points }
    };
    vec![
        share("machines missing, %", |point| point.present),
        share("units not active, %", |point| point.active),
    ]
}

fn timeline<'a>(runs: &[&'a Report], part: Part) -> Option<&'a [Point]> {
    Some(&runs.last()?.part(part)?.timeline)
}

fn seconds(point: &Point) -> f64 {
    point.at as f64 / 1e3
}

#[cfg(test)]
mod tests;
