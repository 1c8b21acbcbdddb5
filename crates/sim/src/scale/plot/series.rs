//! What is plotted, and how it grows.

use crate::scale::report::Point;

/// A line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    /// A number in the course of time.
    pub(super) fn of(name: &str, points: &[Point], value: impl Fn(&Point) -> usize) -> Self {
        let point = |point: &Point| (super::seconds(point), value(point) as f64);
        Self { name: name.to_owned(), points: points.iter().map(point).collect() }
    }
}

/// Sizes of which a fit says something.
const SIZES: usize = 3;

/// The power of x that y grows with, by least squares of the logarithms; 1 is linear.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .filter(|(x, y)| *x > 0.0 && *y > 0.0)
        .map(|(x, y)| (x.ln(), y.ln()))
        .collect();
    if logs.len() < SIZES {
        return None;
    }
    let number = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / number;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let along: f64 = logs.iter().map(|it| (it.0 - x).powi(2)).sum();
    let across: f64 = logs.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    (along > 1e-9).then(|| across / along)
}
