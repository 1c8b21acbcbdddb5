//! Unit hashes (`units.md` 3).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The SHA-1 of a unit's serialised text; 40 lower-case hex digits when displayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitHash([u8; 20]);

/// Why a text is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct InvalidHash;

impl UnitHash {
    /// The hash of a serialised unit.
    #[must_use]
    pub fn of(_text: &[u8]) -> Self {
        todo!()
    }
    /// The first 7 hex digits.
    #[must_use]
    pub fn short(&self) -> String {
        todo!()
    }
}
impl FromStr for UnitHash {
    type Err = InvalidHash;
    fn from_str(_text: &str) -> Result<Self, InvalidHash> {
        todo!()
    }
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
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl fmt::Debug for UnitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
