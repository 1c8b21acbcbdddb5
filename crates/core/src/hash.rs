//! Unit hashes (`units.md` 3).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::quote::QuotedChar;

/// The number of bytes of a SHA-1.
const SIZE: usize = 20;

/// The SHA-1 of a unit's serialised text; 40 lower-case hex digits when displayed.
///
/// The unit's name isn't part of it: units of the same content share a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitHash([u8; SIZE]);

/// Why a text is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// A character that is no hex digit.
    #[error("invalid hex digit {} in unit hash", QuotedChar(*.0))]
    BadDigit(char),
    /// Not 40 digits.
    #[error("unit hash has {0} hex digits, not 40")]
    BadLength(usize),
}

impl UnitHash {
    /// The hash of a serialised unit.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(Sha1::digest(text).into())
    }

    /// The first 7 hex digits.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(7);
        text
    }
}

impl FromStr for UnitHash {
    type Err = InvalidHash;
    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let nibbles: Vec<u8> = text.chars().map(nibble).collect::<Result<_, _>>()?;
        if nibbles.len() != 2 * SIZE {
            return Err(InvalidHash::BadLength(nibbles.len()));
        }
        let mut bytes = [0; SIZE];
        for (byte, pair) in bytes.iter_mut().zip(nibbles.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

/// The value of a hex digit of either case.
fn nibble(c: char) -> Result<u8, InvalidHash> {
    c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(InvalidHash::BadDigit(c))
}

impl TryFrom<String> for UnitHash {
    type Error = InvalidHash;
    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<UnitHash> for String {
    fn from(hash: UnitHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for UnitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UnitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "1c6fb6f3684bafb0c173d8b8b957ceff031180c1";

    #[test]
    fn hash_is_shown_as_forty_or_seven_digits() {
        let hash = UnitHash::of(b"[Service]\nExecStart=/bin/sleep 100\n");
        assert_eq!(hash.to_string(), HELLO);
        assert_eq!(format!("{hash:?}"), HELLO);
        assert_eq!(hash.short(), "1c6fb6f");
    }

    #[test]
    fn hash_is_parsed_in_either_case() {
        let hash: UnitHash = HELLO.to_uppercase().parse().expect("a hash");
        assert_eq!(hash.to_string(), HELLO);
        assert_eq!(serde_json::to_string(&hash).expect("a string"), format!("\"{HELLO}\""));
        assert_eq!(serde_json::from_str::<UnitHash>(&format!("\"{HELLO}\"")).expect("hash"), hash);
    }

    #[test]
    fn texts_that_are_no_hashes_say_why() {
        for (text, reason) in [
            ("1c6z", "invalid hex digit 'z' in unit hash"),
            ("1c6", "unit hash has 3 hex digits, not 40"),
            ("", "unit hash has 0 hex digits, not 40"),
            ("1c6fb6f3684bafb0c173d8b8b957ceff031180c100", "unit hash has 42 hex digits, not 40"),
            ("1c6fb6f3684bafb0c173d8b8b957ceff031180\u{e9}", "invalid hex digit 'é' in unit hash"),
        ] {
            assert_eq!(text.parse::<UnitHash>().expect_err(text).to_string(), reason);
        }
        assert!(serde_json::from_str::<UnitHash>("\"1c6f\"").is_err());
    }
}
