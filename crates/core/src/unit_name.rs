//! Unit names (`units.md` 4).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The unit types that validation accepts (`units.md` 4.1, "valid").
pub const UNIT_TYPES: [&str; 12] = [
    "automount", "busname", "device", "mount", "path", "scope", "service", "slice", "snapshot",
    "socket", "swap", "target",
];

/// The name of a unit, such as `web@1.service`. Checked once, here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(std::sync::Arc<str>);

/// Why a text is not a unit name (`units.md` 4.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct InvalidUnitName;

impl UnitName {
    /// The full name (`%n`).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The name without the type suffix (`%N`).
    #[must_use]
    pub fn stem(&self) -> &str {
        todo!()
    }
    /// The type: what follows the last dot.
    #[must_use]
    pub fn unit_type(&self) -> &str {
        todo!()
    }
    /// The stem up to the first `@` (`%p`).
    #[must_use]
    pub fn prefix(&self) -> &str {
        todo!()
    }
    /// The instance (`%i`), when there is a non-empty one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        todo!()
    }
    /// The template an instance or template belongs to: `foo@.service` for `foo@1.service`.
    #[must_use]
    pub fn template(&self) -> Option<Self> {
        todo!()
    }
    /// Whether this names a template, such as `foo@.service`.
    #[must_use]
    pub fn is_template(&self) -> bool {
        todo!()
    }
}

impl FromStr for UnitName {
    type Err = InvalidUnitName;
    fn from_str(_name: &str) -> Result<Self, InvalidUnitName> {
        todo!()
    }
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

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
