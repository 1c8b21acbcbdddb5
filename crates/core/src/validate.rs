//! The checks a unit must pass before it is stored (`units.md` 5.9, `api.md` 4.6).

use crate::{UnitFile, UnitName, UnitOption};

/// Why a unit is refused. The texts are the specification's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct InvalidUnit;

/// Checks submitted options as they will be stored and returns the file as it re-lexes.
///
/// # Errors
/// The first rule broken; see `spec/README.md` 17 for what must survive re-lexing.
pub fn validate(_name: &UnitName, _options: Vec<UnitOption>) -> Result<UnitFile, InvalidUnit> {
    todo!()
}
