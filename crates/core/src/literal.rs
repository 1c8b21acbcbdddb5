//! Go's literals, in which options and flags are written (`fleetctl.md` 1.1, `fleetd.md` 2.4): none
//! of them is ever guessed.

use std::time::Duration;

/// Reads a boolean: exactly one of the listed words.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Reads an integer: decimal, or of the base that its prefix says. `_` may stand between two of its
/// digits, and behind the prefix.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1) {
        Some((sign @ ("+" | "-"), digits)) => (sign, digits),
        _ => ("", text),
    };
    let (radix, digits) = match digits.split_at_checked(2) {
        Some(("0x" | "0X", digits)) => (16, digits.strip_prefix('_').unwrap_or(digits)),
        Some(("0o" | "0O", digits)) => (8, digits.strip_prefix('_').unwrap_or(digits)),
        Some(("0b" | "0B", digits)) => (2, digits.strip_prefix('_').unwrap_or(digits)),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    if !digits.split('_').all(|run| !run.is_empty() && run.chars().all(|c| c.is_digit(radix))) {
        return None;
    }
    // The sign goes with the digits, as the smallest number has no opposite.
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

/// Reads a number of seconds that is more than nothing, cut to whole milliseconds.
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    let millis = u64::try_from(time.as_millis()).ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_exactly_the_listed_words() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["", "yes", "no", "on", "off", "tRUE", " true", "2"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    #[test]
    fn integers_may_have_a_base_and_separators() {
        for (text, value) in [
            ("10", 10),
            ("0x0a", 10),
            ("0X0A", 10),
            ("012", 10),
            ("0o12", 10),
            ("0O12", 10),
            ("0b1010", 10),
            ("0B11", 3),
            ("1_000", 1000),
            ("0x_ff_ff", 65535),
            ("0_12", 10),
            ("-3", -3),
            ("+3", 3),
            ("-0x10", -16),
            ("0", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-0x8000000000000000", i64::MIN),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "x",
            "abc",
            "1s",
            "1.5",
            "09",
            "0x",
            "0x_",
            "--3",
            "-+3",
            "0x-3",
            "0x+3",
            "9223372036854775808",
            "-9223372036854775809",
            "1 ",
            "_1",
            "1_",
            "1__0",
            "0__1",
            "0x__1",
            "é",
            "-é",
            "0é",
            "١",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_are_more_than_nothing() {
        for (text, milliseconds) in
            [("10", 10_000), ("0.25", 250), ("1.2345", 1234), ("0.001", 1), ("1e1", 10_000)]
        {
            assert_eq!(seconds(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["0", "0.0", "-1", "0.0009", "", "1s", "nan", "NaN", "inf", "1e300", "1e17", "-0"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
