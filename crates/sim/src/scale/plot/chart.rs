//! How a plot looks.

use std::path::Path;

use plotters::prelude::*;

use super::{Result, series::Series};

/// Pixels.
const SIZE: (u32, u32) = (720, 420);

/// Room beside the last point, and above the highest, where the names of the lines are.
const BESIDE: f64 = 1.05;
const ABOVE: f64 = 1.35;

const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 119, 180), RGBColor(214, 84, 39), RGBColor(44, 140, 74)];

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) series: Vec<Series>,
}

/// Writes it to a file.
pub(super) fn draw(file: &Path, chart: &Chart) -> Result {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let (x, y) = (most(|it| it.0).max(1e-3) * BESIDE, most(|it| it.1).max(1e-3) * ABOVE);
    let mut context = ChartBuilder::on(&root)
        .caption(chart.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..x, 0.0..y)?;
    context
        .configure_mesh()
        .x_desc(chart.x)
        .y_desc(chart.y)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    for (series, colour) in chart.series.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
        let mark =
            move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        context.draw_series(line)?.label(series.name.as_str()).legend(mark);
        if series.points.len() <= DOTS {
            let dots = series.points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
            context.draw_series(dots)?;
        }
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

/// With more points than this the line alone shows them.
const DOTS: usize = 12;

fn short(value: f64) -> String {
    if value.abs() >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
