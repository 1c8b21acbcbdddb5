//! Units as the registry gives them: their file, and whether they are global (`fleetctl.md` 4.5).

use fleet_core::UnitFile;
use fleet_schema::Unit;

/// The file of `unit`.
pub(crate) fn file(unit: &Unit) -> UnitFile {
    UnitFile::new(unit.options.iter().map(Into::into).collect())
}

/// Whether `unit` runs on every machine that may take it.
pub(crate) fn is_global(unit: &Unit) -> bool {
    let options = file(unit).fleet_options();
    // What isn't a valid name has no specifiers to expand.
    match unit.name.parse() {
        Ok(name) => options.requirements(&name).global,
        Err(_) => options.requirements_as_written().global,
    }
}
