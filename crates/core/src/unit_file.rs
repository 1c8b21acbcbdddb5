//! Unit files: ordered options, their serialised text and hash (`units.md` 2, 3).

use serde::{Deserialize, Serialize};

use crate::{FleetOptions, LexError, UnitHash};

/// One option of a unit file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitOption {
    /// The section, without brackets.
    pub section: String,
    /// The name.
    pub name: String,
    /// The value as lexed.
    pub value: String,
}

/// The options of a unit file in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnitFile {
    options: Vec<UnitOption>,
}

impl UnitFile {
    /// A unit file of these options as they are, without any check.
    #[must_use]
    pub fn new(options: Vec<UnitOption>) -> Self {
        Self { options }
    }
    /// Lexes a text that arrives from outside: UTF-8 only, and no line of 2048 bytes or more.
    ///
    /// # Errors
    /// The first thing that doesn't lex.
    pub fn parse(_text: &[u8]) -> Result<Self, LexError> {
        todo!()
    }
    /// Lexes a text that was accepted before (from the registry or the units directory):
    /// as [`parse`](Self::parse), but without the limit on lines.
    ///
    /// # Errors
    /// The first thing that doesn't lex.
    pub fn parse_stored(_text: &[u8]) -> Result<Self, LexError> {
        todo!()
    }
    /// The options in order.
    #[must_use]
    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }
    /// The canonical text: what is stored, written to disk, printed and hashed.
    #[must_use]
    pub fn to_text(&self) -> String {
        todo!()
    }
    /// The hash of the canonical text.
    #[must_use]
    pub fn hash(&self) -> UnitHash {
        UnitHash::of(self.to_text().as_bytes())
    }
    /// The first `[Unit] Description`.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        todo!()
    }
    /// Whether there is at least one option in `[Install]`.
    #[must_use]
    pub fn has_install(&self) -> bool {
        todo!()
    }
    /// The `[X-Fleet]` options, in order.
    #[must_use]
    pub fn fleet_options(&self) -> FleetOptions {
        todo!()
    }
}
