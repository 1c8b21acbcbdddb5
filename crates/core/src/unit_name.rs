//! Unit names (`units.md` 4).

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::quote::{Quoted, QuotedChar};

/// The unit types that validation accepts (`units.md` 4.1, "valid").
///
/// Whatever lists unit files on disk uses this set too: a file that can be written must be found again.
pub const UNIT_TYPES: [&str; 13] = [
    "automount",
    "busname",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "snapshot",
    "socket",
    "swap",
    "target",
    "timer",
];

/// The unit types that fleetctl recognises at the end of an argument; anything else gets `.service`
/// appended (`units.md` 4.1, "recognised"). Those of the original, and those that it could only create
/// through the API.
pub const RECOGNISED_UNIT_TYPES: [&str; 10] = [
    "service",
    "socket",
    "timer",
    "path",
    "device",
    "mount",
    "automount",
    "slice",
    "swap",
    "target",
];

/// The unit types whose names may contain `@` (`units.md` 4.1, "valid with `@`").
const TEMPLATE_TYPES: [&str; 5] = ["path", "service", "socket", "target", "timer"];

/// The longest name in bytes that is read. The original accepted it (`units.md` 4.3), so it may be
/// stored.
const MAX_LEN: usize = 256;

/// The longest name in bytes that systemd takes (`UNIT_NAME_MAX`, without the NUL).
const MAX_NEW: usize = 255;

/// The name of a unit, such as `web@1.service`. Checked once, here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(Arc<str>);

/// Why a text is not a unit name (`units.md` 4.3); displayed with the specification's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnitName {
    /// The name, or what precedes its type, is empty; a stem of only dots counts as empty
    /// (`spec/README.md` 17).
    #[error("unit name cannot be empty")]
    Empty,
    /// More bytes than systemd takes.
    #[error("unit name exceeds maximum length ({MAX_NEW})")]
    TooLong,
    /// No dot, hence no type.
    #[error("unit name must contain \".\"")]
    NoDot,
    /// The last character is a dot.
    #[error("unit name cannot end in \".\"")]
    EndsInDot,
    /// What follows the last dot is no unit type.
    #[error("invalid unit type: {}", Quoted(.0))]
    UnknownType(String),
    /// There is an `@`, but units of this type have no templates.
    #[error("invalid unit type for template: {}", Quoted(.0))]
    NoTemplateType(String),
    /// A character that unit names can't have.
    #[error("invalid character {} in unit name", QuotedChar(*.0))]
    InvalidCharacter(char),
    /// The first character is `@`.
    #[error("unit name cannot start in \"@\"")]
    StartsWithAt,
}

impl UnitName {
    /// The full name (`%n`).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without the type suffix (`%N`).
    #[must_use]
    pub fn stem(&self) -> &str {
        self.split().0
    }

    /// The type: what follows the last dot.
    #[must_use]
    pub fn unit_type(&self) -> &str {
        self.split().1
    }

    /// The stem up to the first `@` (`%p`).
    #[must_use]
    pub fn prefix(&self) -> &str {
        let stem = self.stem();
        stem.split_once('@').map_or(stem, |(prefix, _)| prefix)
    }

    /// The instance (`%i`), when there is a non-empty one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance).filter(|text| !text.is_empty())
    }

    /// The template an instance or template belongs to: `foo@.service` for `foo@1.service`.
    #[must_use]
    pub fn template(&self) -> Option<Self> {
        let (prefix, _) = self.stem().split_once('@')?;
        Some(Self(format!("{prefix}@.{}", self.unit_type()).into()))
    }

    /// Whether this names a template, such as `foo@.service`.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.stem().contains('@') && self.instance().is_none()
    }

    /// Checks that a unit may get this name: one that is stored may be too long for systemd.
    ///
    /// # Errors
    /// It is too long.
    pub fn check_new(&self) -> Result<(), InvalidUnitName> {
        if self.0.len() > MAX_NEW { Err(InvalidUnitName::TooLong) } else { Ok(()) }
    }

    /// Splits at the last dot, which every name has.
    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('.').unwrap_or((&self.0, ""))
    }
}

impl FromStr for UnitName {
    type Err = InvalidUnitName;

    /// Checks in the order of `units.md` 4.3; the first failure is reported.
    fn from_str(name: &str) -> Result<Self, InvalidUnitName> {
        if name.is_empty() {
            return Err(InvalidUnitName::Empty);
        }
        if name.len() > MAX_LEN {
            return Err(InvalidUnitName::TooLong);
        }
        let (stem, unit_type) = name.rsplit_once('.').ok_or(InvalidUnitName::NoDot)?;
        if unit_type.is_empty() {
            return Err(InvalidUnitName::EndsInDot);
        }
        if !UNIT_TYPES.contains(&unit_type) {
            return Err(InvalidUnitName::UnknownType(unit_type.to_owned()));
        }
        if stem.contains('@') && !TEMPLATE_TYPES.contains(&unit_type) {
            return Err(InvalidUnitName::NoTemplateType(unit_type.to_owned()));
        }
        if let Some(bad) = stem.chars().find(|&c| !is_allowed(c)) {
            return Err(InvalidUnitName::InvalidCharacter(bad));
        }
        if stem.starts_with('@') {
            return Err(InvalidUnitName::StartsWithAt);
        }
        if stem.bytes().all(|byte| byte == b'.') {
            return Err(InvalidUnitName::Empty);
        }
        Ok(Self(name.into()))
    }
}

/// Whether a stem may contain `c`. `/` isn't among them, so that every name is a safe file name.
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@')
}

impl TryFrom<String> for UnitName {
    type Error = InvalidUnitName;
    fn try_from(name: String) -> Result<Self, InvalidUnitName> {
        name.parse()
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.as_str().to_owned()
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Names are compared and hashed as their text is, so maps of them can be asked with any text.
impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
