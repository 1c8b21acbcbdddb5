//! The names of fleet's own units: no unit of the cluster may have one. A `fleet.service` that is
//! started, or stopped, by the fleetd that runs as `fleet.service` ends that fleetd.

use crate::{JobState, UnitFile, UnitName};

/// The units that fleet comes with.
pub const OWN_UNITS: [&str; 2] = ["fleet.service", "fleet.socket"];

/// A unit has a name of fleet's own, or asks for one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnName {
    /// It is called so.
    #[error("the name {0} is that of a unit of fleet's own")]
    Name(String),
    /// It wants to be called so as well (`Alias=`).
    #[error("the alias {0} is the name of a unit of fleet's own")]
    Alias(String),
}

/// Checks that neither the name nor an alias is fleet's own.
///
/// # Errors
/// The first that is.
pub fn check_own_names(name: &UnitName, file: &UnitFile) -> Result<(), OwnName> {
    if is_own(name.as_str()) {
        return Err(OwnName::Name(name.as_str().to_owned()));
    }
    match file.aliases(name).into_iter().find(|alias| is_own(alias)) {
        Some(alias) => Err(OwnName::Alias(alias)),
        None => Ok(()),
    }
}

/// The same where a stored unit is to be in this state. `inactive` it may always be: that is how one
/// gets rid of it.
///
/// # Errors
/// As [`check_own_names`].
pub fn check_own_names_for(
    state: JobState,
    name: &UnitName,
    file: &UnitFile,
) -> Result<(), OwnName> {
    if state == JobState::Inactive { Ok(()) } else { check_own_names(name, file) }
}

fn is_own(name: &str) -> bool {
    OWN_UNITS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_units_that_fleet_comes_with_are_named() {
        let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/../fleetd/dist");
        let names = std::fs::read_dir(dist).unwrap().map(|file| file.unwrap().file_name());
        let units = names.filter_map(|name| name.to_str()?.parse::<UnitName>().ok());
        let mut units: Vec<String> = units.map(String::from).collect();
        units.sort();
        assert_eq!(units, OWN_UNITS);
    }

    #[test]
    fn names_and_aliases_of_fleets_own_units_are_found() {
        for (name, install, expected) in [
            ("fleet.service", "", Some("the name fleet.service is that of a unit of fleet's own")),
            ("fleet.socket", "", Some("the name fleet.socket is that of a unit of fleet's own")),
            ("fleet.timer", "", None),
            ("fleet@1.service", "", None),
            ("my-fleet.service", "Alias=a.service\nWantedBy=fleet.service", None),
            (
                "a.service",
                "Alias=b.service fleet.service",
                Some("the alias fleet.service is the name of a unit of fleet's own"),
            ),
            (
                "fleet@service.service",
                "Alias=%p.%i",
                Some("the alias fleet.service is the name of a unit of fleet's own"),
            ),
            ("a.service", "Alias=fleet.service\nAlias=", None),
        ] {
            let text = format!("[Service]\nExecStart=/bin/true\n[Install]\n{install}\n");
            let file = UnitFile::parse(text.as_bytes()).unwrap();
            let name: UnitName = name.parse().unwrap();
            let found = check_own_names(&name, &file).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), expected, "{name} {install}");
            let launched = check_own_names_for(JobState::Launched, &name, &file);
            assert_eq!(launched.err().map(|error| error.to_string()).as_deref(), expected);
            assert_eq!(check_own_names_for(JobState::Inactive, &name, &file), Ok(()));
        }
    }
}
