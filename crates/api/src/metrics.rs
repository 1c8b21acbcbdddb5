//! The page of `GET /metrics` in Prometheus' text format, version 0.0.4 (`api.md` 8).
//!
//! This knows the format and nothing of what is measured: a [`MetricsSource`] says that, whoever
//! starts the server supplies it.

use std::fmt::{self, Write as _};

/// Where the metrics come from. Asked once for every page.
pub trait MetricsSource: fmt::Debug + Send + Sync {
    /// Everything there is to show, in the order in which to show it.
    fn families(&self) -> Vec<Family>;
}

/// Metrics of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name: letters, digits, `_` and `:`.
    pub name: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// What is measured, and how it stands. Without any the name isn't shown at all.
    pub samples: Samples,
}

/// The kinds of metrics. Each has a label with a value, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Only ever rises.
    Counters(Vec<(Option<Label>, f64)>),
    /// Rises and falls.
    Gauges(Vec<(Option<Label>, f64)>),
    /// Durations and the like.
    Histograms(Vec<(Option<Label>, Buckets)>),
}

/// What tells metrics of the same name apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its value; any text.
    pub value: String,
}

/// A histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Upper bounds in ascending order, each with how many values fell into its bucket and in
    /// none before.
    pub bounded: Vec<(f64, u64)>,
    /// How many were beyond the last bound.
    pub beyond: u64,
    /// The sum of all values.
    pub sum: f64,
}

/// Writes the page.
pub(crate) fn page(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        // Writing to a string doesn't fail.
        let _ = write_family(&mut page, family);
    }
    page
}

fn write_family(page: &mut String, family: &Family) -> fmt::Result {
    let Family { name, help, samples } = family;
    let (kind, count) = match samples {
        Samples::Counters(samples) => ("counter", samples.len()),
        Samples::Gauges(samples) => ("gauge", samples.len()),
        Samples::Histograms(samples) => ("histogram", samples.len()),
    };
    if count == 0 {
        return Ok(());
    }
    writeln!(page, "# HELP {name} {}", Escaped { text: help, quotes: false })?;
    writeln!(page, "# TYPE {name} {kind}")?;
    match samples {
        Samples::Counters(samples) | Samples::Gauges(samples) => {
            for (label, value) in samples {
                write_sample(page, name, "", label.as_ref(), None, *value)?;
            }
        }
        Samples::Histograms(samples) => {
            for (label, buckets) in samples {
                write_buckets(page, name, label.as_ref(), buckets)?;
            }
        }
    }
    Ok(())
}

fn write_buckets(
    page: &mut String,
    name: &str,
    label: Option<&Label>,
    buckets: &Buckets,
) -> fmt::Result {
    let last = [(f64::INFINITY, buckets.beyond)];
    let mut count = 0;
    for (bound, fell) in buckets.bounded.iter().chain(&last) {
        count += fell;
        write_sample(page, name, "_bucket", label, Some(*bound), of_count(count))?;
    }
    write_sample(page, name, "_sum", label, None, buckets.sum)?;
    write_sample(page, name, "_count", label, None, of_count(count))
}

fn write_sample(
    page: &mut String,
    name: &str,
    suffix: &str,
    label: Option<&Label>,
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    write!(page, "{name}{suffix}")?;
    let mut sign = '{';
    if let Some(Label { name, value }) = label {
        write!(page, "{sign}{name}=\"{}\"", Escaped { text: value, quotes: true })?;
        sign = ',';
    }
    if let Some(bound) = bound {
        write!(page, "{sign}le=\"{}\"", Number(bound))?;
        sign = ',';
    }
    if sign == ',' {
        page.push('}');
    }
    writeln!(page, " {}", Number(value))
}

/// A count as Prometheus has it: its numbers are all of this kind.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn of_count(count: u64) -> f64 {
    count as f64
}

/// A number as Prometheus reads it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

/// A text on its line: in help, or between quotes.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.text.chars() {
            match character {
                '\\' => f.write_str(r"\\")?,
                '\n' => f.write_str(r"\n")?,
                '"' if self.quotes => f.write_str(r#"\""#)?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(value: &str) -> Option<Label> {
        Some(Label { name: "type", value: value.to_owned() })
    }

    #[test]
    fn each_kind_is_written_in_its_way() {
        let buckets =
            Buckets { bounded: vec![(0.005, 2), (0.5, 0), (1.0, 3)], beyond: 1, sum: 12.25 };
        let page = page(&[
            Family {
                name: "a_total",
                help: "Counts.",
                samples: Samples::Counters(vec![(label("x"), 1.0), (label("y"), 2.5)]),
            },
            Family { name: "b", help: "Is.", samples: Samples::Gauges(vec![(None, -3.0)]) },
            Family { name: "none", help: "Isn't.", samples: Samples::Counters(vec![]) },
            Family {
                name: "c_second",
                help: "Takes.",
                samples: Samples::Histograms(vec![(None, buckets.clone()), (label("z"), buckets)]),
            },
        ]);
        let expected = "\
# HELP a_total Counts.
# TYPE a_total counter
a_total{type=\"x\"} 1
a_total{type=\"y\"} 2.5
# HELP b Is.
# TYPE b gauge
b -3
# HELP c_second Takes.
# TYPE c_second histogram
c_second_bucket{le=\"0.005\"} 2
c_second_bucket{le=\"0.5\"} 2
c_second_bucket{le=\"1\"} 5
c_second_bucket{le=\"+Inf\"} 6
c_second_sum 12.25
c_second_count 6
c_second_bucket{type=\"z\",le=\"0.005\"} 2
c_second_bucket{type=\"z\",le=\"0.5\"} 2
c_second_bucket{type=\"z\",le=\"1\"} 5
c_second_bucket{type=\"z\",le=\"+Inf\"} 6
c_second_sum{type=\"z\"} 12.25
c_second_count{type=\"z\"} 6
";
        assert_eq!(page, expected);
    }

    #[test]
    fn texts_are_escaped_where_they_stand() {
        let samples = Samples::Gauges(vec![(label("a\\b\"c\nd é"), 0.0)]);
        let page = page(&[Family { name: "x", help: "a\\b\"c\nd", samples }]);
        let expected = "# HELP x a\\\\b\"c\\nd\n# TYPE x gauge\nx{type=\"a\\\\b\\\"c\\nd é\"} 0\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn numbers_are_as_prometheus_reads_them() {
        for (number, expected) in [
            (0.0, "0"),
            (1_795_361_000.0, "1795361000"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1000000000000000000000"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Number(number).to_string(), expected);
        }
    }
}
