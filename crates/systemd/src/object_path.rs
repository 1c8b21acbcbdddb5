//! The object path systemd gives a unit (`units.md` 7.4).

use std::fmt::Write as _;

/// Where systemd keeps its unit objects.
pub(crate) const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// The object path of the unit of this name.
pub(crate) fn of_unit(name: &str) -> String {
    format!("{UNITS}/{}", escape(name))
}

/// Writes every byte outside `[A-Za-z0-9]`, and a leading digit, as `_` and two hex digits.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned(); // as systemd does; a path has no empty elements
    }
    let mut escaped = String::with_capacity(name.len() + 16);
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "_{byte:02x}"); // a String takes everything
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_are_escaped_as_systemd_does() {
        for (name, escaped) in [
            (r"1-@\x.service", "_31_2d_40_5cx_2eservice"),
            ("foo.service", "foo_2eservice"),
            ("foo@1.service", "foo_401_2eservice"),
            ("a_b.socket", "a_5fb_2esocket"),
            ("ä.service", "_c3_a4_2eservice"),
            ("", "_"),
        ] {
            assert_eq!(of_unit(name), format!("/org/freedesktop/systemd1/unit/{escaped}"));
        }
    }
}
