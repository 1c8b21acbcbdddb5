//! Oddities in `[X-Fleet]` that a client should mention (`units.md` 5.1, 5.6).

use std::{collections::BTreeSet, fmt};

use super::{
    CONFLICTS, CONFLICTS_LEGACY, FleetOptions, GLOBAL, MACHINE, MACHINE_BOOT_LEGACY,
    MACHINE_LEGACY, METADATA, METADATA_LEGACY, PEERS, PEERS_LEGACY, REPLACES, pair,
};
use crate::quote::Quoted;

/// The option names that mean something to fleet.
const KNOWN: [&str; 11] = [
    CONFLICTS,
    CONFLICTS_LEGACY,
    GLOBAL,
    MACHINE,
    MACHINE_BOOT_LEGACY,
    MACHINE_LEGACY,
    METADATA,
    METADATA_LEGACY,
    PEERS,
    PEERS_LEGACY,
    REPLACES,
];

/// Something odd in `[X-Fleet]` that a client should mention; the unit is accepted all the same.
///
/// The text goes behind `Unit NAME: `.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An option name that means nothing to fleet.
    UnknownOption(String),
    /// A `MachineMetadata` element that isn't `key=value`.
    MalformedMetadata(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption(name) => {
                write!(f, "unrecognized requirement in [X-Fleet] section: {}", Quoted(name))
            }
            Self::MalformedMetadata(element) => write!(
                f,
                "ignoring MachineMetadata {} in [X-Fleet] section: not of the form key=value",
                Quoted(element)
            ),
        }
    }
}

/// The warnings about `options`, sorted, each once.
pub(super) fn of(options: &FleetOptions) -> Vec<Warning> {
    let names = options.0.iter().map(|(name, _)| name);
    let unknown = names.filter(|name| !KNOWN.contains(&name.as_str()));
    let metadata = [METADATA_LEGACY, METADATA].into_iter().flat_map(|m| options.elements(m));
    let malformed = metadata.filter(|element| pair(element).is_none());
    let warnings: BTreeSet<Warning> = unknown
        .map(|name| Warning::UnknownOption(name.clone()))
        .chain(malformed.map(Warning::MalformedMetadata))
        .collect();
    warnings.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use crate::{FleetOptions, UnitFile};

    fn warnings(lines: &str) -> Vec<String> {
        let text = format!("[X-Fleet]\n{lines}\n");
        let options: FleetOptions =
            UnitFile::parse(text.as_bytes()).expect("lexes").fleet_options();
        options.warnings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_unknown_option_is_mentioned_once_in_order() {
        let expected = ["Bar", "Foo", "X-Peers", "global"]
            .map(|name| format!("unrecognized requirement in [X-Fleet] section: \"{name}\""));
        assert_eq!(warnings("Foo=1\nBar=2\nglobal=1\nFoo=3\nX-Peers=a"), expected);
    }

    #[test]
    fn known_options_and_legacy_ones_are_not_mentioned() {
        let lines = "MachineID=a\nX-ConditionMachineID=a\nX-ConditionMachineBootID=a\nMachineOf=a\n\
                     X-ConditionMachineOf=a\nMachineMetadata=a=b\nX-ConditionMachineMetadata=a=b\n\
                     Conflicts=a\nX-Conflicts=a\nReplaces=a\nGlobal=what";
        assert_eq!(warnings(lines), [""; 0]);
    }

    #[test]
    fn every_dropped_metadata_pair_is_mentioned() {
        let lines = "MachineMetadata=\"a=b\" \"c\"\nMachineMetadata=a=b c=d\nMachineMetadata=\n\
                     X-ConditionMachineMetadata==x";
        let expected = ["", "=x", "a=b c=d", "c"].map(|element| {
            format!(
                "ignoring MachineMetadata \"{element}\" in [X-Fleet] section: not of the form key=value"
            )
        });
        assert_eq!(warnings(lines), expected);
    }
}
