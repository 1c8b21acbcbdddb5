//! Reading values of flags and of environment variables (`fleetctl.md` 1.1).

use std::time::Duration;

/// A value that can't be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    /// Not a boolean.
    #[error("expected one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False")]
    Boolean,
    /// Not an integer.
    #[error("expected a whole number, such as 10, 0x0a or 012 (ten)")]
    Integer,
    /// Not a time.
    #[error("expected a number of seconds, such as 3 or 0.5 (0 for no limit)")]
    Seconds,
    /// Not a time that passes.
    #[error("expected a number of seconds greater than 0, such as 10 or 0.5")]
    Limit,
    /// Not a port.
    #[error("expected a port, 1 to 65535")]
    Port,
}

/// Reads a boolean.
pub(crate) fn boolean(text: &str) -> Result<bool, BadValue> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(BadValue::Boolean),
    }
}

/// Reads an integer: decimal, or with a prefix that says otherwise.
pub(crate) fn integer(text: &str) -> Result<i64, BadValue> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    if digits.starts_with(['+', '-']) {
        return Err(BadValue::Integer);
    }
    let value = i128::from_str_radix(digits, radix).map_err(|_| BadValue::Integer)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| BadValue::Integer)
}

/// Reads a number of seconds; 0 is no limit.
pub(crate) fn seconds(text: &str) -> Result<Option<Duration>, BadValue> {
    let seconds: f64 = text.parse().map_err(|_| BadValue::Seconds)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| BadValue::Seconds)?;
    Ok((!time.is_zero()).then_some(time))
}

/// Reads a number of seconds that is more than nothing, cut to whole milliseconds.
pub(crate) fn limit(text: &str) -> Result<Duration, BadValue> {
    let time = seconds(text).ok().flatten().ok_or(BadValue::Limit)?;
    let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    if whole.is_zero() { Err(BadValue::Limit) } else { Ok(whole) }
}

/// Reads the number of a port.
pub(crate) fn port(text: &str) -> Result<u16, BadValue> {
    let number = integer(text).ok().and_then(|number| u16::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(BadValue::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_exactly_the_listed_words() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["", "yes", "no", "on", "off", "tRUE", " true", "2"] {
            assert_eq!(boolean(text), Err(BadValue::Boolean), "{text}");
        }
    }

    #[test]
    fn integers_may_have_a_base() {
        for (text, value) in [
            ("10", 10),
            ("0x0a", 10),
            ("0X0A", 10),
            ("012", 10),
            ("0o12", 10),
            ("0b1010", 10),
            ("-3", -3),
            ("+3", 3),
            ("0", 0),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
        for text in ["", "-", "x", "1.5", "09", "0x", "--3", "0x-3", "9223372036854775808", "1 "] {
            assert_eq!(integer(text), Err(BadValue::Integer), "{text}");
        }
    }

    #[test]
    fn seconds_may_have_a_fraction_and_zero_is_no_limit() {
        assert_eq!(seconds("3"), Ok(Some(Duration::from_secs(3))));
        assert_eq!(seconds("0.25"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(seconds("0"), Ok(None));
        for text in ["", "10s", "-1", "nan", "inf", "1e300", "abc"] {
            assert_eq!(seconds(text), Err(BadValue::Seconds), "{text}");
        }
    }

    #[test]
    fn limits_are_more_than_nothing() {
        for (text, milliseconds) in [("10", 10_000), ("0.25", 250), ("1.2345", 1234), ("0.001", 1)]
        {
            assert_eq!(limit(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["0", "0.0", "-1", "0.0009", "", "10s", "nan", "inf", "1e300", "-0"] {
            assert_eq!(limit(text), Err(BadValue::Limit), "{text}");
        }
    }

    #[test]
    fn ports_are_numbers_of_ports() {
        for (text, number) in [("22", 22), ("65535", 65535), ("1", 1), ("0x16", 22)] {
            assert_eq!(port(text), Ok(number), "{text}");
        }
        for text in ["0", "65536", "-22", "ssh", "", "22 "] {
            assert_eq!(port(text), Err(BadValue::Port), "{text}");
        }
    }
}
