//! The types of option values (`fleetd.md` 2.4) beside the literals of `fleet_core`.

use std::{collections::BTreeMap, time::Duration};

/// Why a text is no duration. The texts are Go's, people grep for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
}

/// Reads a duration such as `1m30s` or `1.5h`; negative ones are invalid here.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let seconds = match unit {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => {
                return Err(DurationError::UnknownUnit {
                    unit: unit.to_owned(),
                    text: text.to_owned(),
                });
            }
        };
        total += number * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).map_err(|_| invalid())
}

/// Reads a list: split at commas, each item stripped of the decoration it may carry.
pub(crate) fn parse_list(text: &str) -> Vec<String> {
    text.split(',')
        .map(|item| item.trim_start_matches([' ', '\t', '[', '"']))
        .map(|item| item.trim_end_matches([' ', '\t', '"', ']']).to_owned())
        .collect()
}

/// Reads machine metadata (`fleetd.md` 2.5): `k=v` pairs, and the pieces dropped for an empty key.
pub(crate) fn parse_metadata(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut dropped = Vec::new();
    let mut metadata = BTreeMap::new();
    for piece in text.split(',') {
        let Some((key, value)) = piece.split_once('=') else { continue };
        if key.trim().is_empty() {
            dropped.push(piece.to_owned());
        } else {
            metadata.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    (metadata, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_gos() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("0", 0),
            ("+2s", 2000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, error) in [
            ("30", "time: missing unit in duration \"30\""),
            ("abc", "time: invalid duration \"abc\""),
            ("", "time: invalid duration \"\""),
            ("-5s", "time: invalid duration \"-5s\""),
            (".", "time: invalid duration \".\""),
            ("30x", "time: unknown unit \"x\" in duration \"30x\""),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn lists_come_with_or_without_decoration() {
        for text in ["[\"http://a:1\", \"http://b:2\"]", "http://a:1,http://b:2"] {
            assert_eq!(parse_list(text), ["http://a:1", "http://b:2"], "{text}");
        }
        assert_eq!(parse_list(""), [""]);
    }

    #[test]
    fn metadata_keeps_what_has_a_key() {
        let (metadata, dropped) = parse_metadata("a=1, b = 2 ,c,e=,a=b=c,=v");
        let pairs: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "b=c"), ("b", "2"), ("e", "")]);
        assert_eq!(dropped, ["=v"]);
    }
}
