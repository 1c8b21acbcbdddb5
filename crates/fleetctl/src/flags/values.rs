//! Reading values of flags and of environment variables (`fleetctl.md` 1.1).

use std::time::Duration;

use fleet_core::literal;

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
    literal::boolean(text).ok_or(BadValue::Boolean)
}

/// Reads an integer: decimal, or with a prefix that says otherwise.
pub(crate) fn integer(text: &str) -> Result<i64, BadValue> {
    literal::integer(text).ok_or(BadValue::Integer)
}

/// Reads a number of seconds; 0 is no limit.
pub(crate) fn seconds(text: &str) -> Result<Option<Duration>, BadValue> {
    let seconds: f64 = text.parse().map_err(|_| BadValue::Seconds)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| BadValue::Seconds)?;
    Ok((!time.is_zero()).then_some(time))
}

/// Reads a number of seconds that is more than nothing, cut to whole milliseconds.
pub(crate) fn limit(text: &str) -> Result<Duration, BadValue> {
    literal::seconds(text).ok_or(BadValue::Limit)
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
    fn seconds_may_have_a_fraction_and_zero_is_no_limit() {
        assert_eq!(seconds("3"), Ok(Some(Duration::from_secs(3))));
        assert_eq!(seconds("0.25"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(seconds("0"), Ok(None));
        for text in ["", "10s", "-1", "nan", "inf", "1e300", "abc"] {
            assert_eq!(seconds(text), Err(BadValue::Seconds), "{text}");
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
