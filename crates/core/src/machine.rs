//! Machines of the cluster.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::Quoted;

/// The id of a machine: what its `/etc/machine-id` says.
///
/// Held to what is safe in a key, so that ids of the original's clusters and of tests pass:
/// not empty, at most 256 bytes, no `/`, no blanks or control characters, neither `.` nor `..`.
/// fleetd itself is stricter about its own (`fleetd.md` 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(Arc<str>);

/// A text that is no machine id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid machine id {}", Quoted(.0))]
pub struct InvalidMachineId(pub String);

/// The most bytes an id may have: as a unit's name.
const MAX_LENGTH: usize = 256;

/// The number of characters of a short machine id.
const SHORT: usize = 8;

impl MachineId {
    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 characters, or all when there are fewer.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.char_indices().nth(SHORT).map_or(&*self.0, |(end, _)| &self.0[..end])
    }

    /// Whether `wanted` is the whole id or its short form (`units.md` 5.8).
    #[must_use]
    pub fn is_called(&self, wanted: &str) -> bool {
        wanted == self.as_str() || wanted == self.short()
    }
}

impl FromStr for MachineId {
    type Err = InvalidMachineId;
    fn from_str(id: &str) -> Result<Self, InvalidMachineId> {
        let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        let no_length = id.is_empty() || id.len() > MAX_LENGTH;
        if no_length || id == "." || id == ".." || id.contains(bad) {
            return Err(InvalidMachineId(id.to_owned()));
        }
        Ok(Self(id.into()))
    }
}

impl TryFrom<String> for MachineId {
    type Error = InvalidMachineId;
    fn try_from(id: String) -> Result<Self, InvalidMachineId> {
        id.parse()
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A machine as the scheduler sees it: its id and effective metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Configured metadata overlaid with dynamic metadata.
    pub metadata: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_safe_in_a_key_are_accepted() {
        for (text, short) in [
            ("ad210dc0ffee4b0d3255bfef95601890", "ad210dc0"),
            ("m1", "m1"),
            ("12345678", "12345678"),
            ("ééééééééé", "éééééééé"),
            ("...", "..."),
        ] {
            let id: MachineId = text.parse().expect(text);
            assert_eq!((id.as_str(), id.short(), id.to_string()), (text, short, text.to_owned()));
            let json = serde_json::to_string(&id).expect("a string");
            assert_eq!(serde_json::from_str::<MachineId>(&json).expect("an id"), id);
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for (text, quoted) in [
            ("", r#""""#),
            (".", r#"".""#),
            ("..", r#""..""#),
            ("a/b", r#""a/b""#),
            ("a b", r#""a b""#),
            ("a\n", r#""a\n""#),
            ("a\u{a0}", r#""a\u00a0""#),
            ("\0", r#""\x00""#),
        ] {
            let error = text.parse::<MachineId>().expect_err(text);
            assert_eq!(error.to_string(), format!("invalid machine id {quoted}"));
            assert!(serde_json::from_value::<MachineId>(text.into()).is_err());
        }
        assert!("m".repeat(256).parse::<MachineId>().is_ok());
        assert!("m".repeat(257).parse::<MachineId>().is_err());
    }

    #[test]
    fn machine_is_called_by_its_full_or_short_id_only() {
        let id: MachineId = "ad210dc0ffee".parse().expect("an id");
        for (wanted, expected) in [
            ("ad210dc0ffee", true),
            ("ad210dc0", true),
            ("ad210dc", false),
            ("ad210dc0f", false),
            ("", false),
        ] {
            assert_eq!(id.is_called(wanted), expected, "{wanted}");
        }
    }
}
