//! What a unit asks of the machine it runs on: its `[X-Fleet]` section (`units.md` 5).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod values;
mod warnings;

pub use warnings::Warning;

use crate::{Pattern, Quoted, UnitName};
use values::{elements, expand, words};

const MACHINE: &str = "MachineID";
const MACHINE_LEGACY: &str = "X-ConditionMachineID";
const MACHINE_BOOT_LEGACY: &str = "X-ConditionMachineBootID";
const PEERS: &str = "MachineOf";
const PEERS_LEGACY: &str = "X-ConditionMachineOf";
const METADATA: &str = "MachineMetadata";
const METADATA_LEGACY: &str = "X-ConditionMachineMetadata";
const CONFLICTS: &str = "Conflicts";
const CONFLICTS_LEGACY: &str = "X-Conflicts";
const REPLACES: &str = "Replaces";
const GLOBAL: &str = "Global";

/// The raw `[X-Fleet]` options of a unit, `(name, value)` in file order.
///
/// Records and schedules carry them, so that engine and agent judge without the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FleetOptions(pub Vec<(String, String)>);

impl FleetOptions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Evaluates them for the unit called `name` (specifiers are expanded, `units.md` 5.3).
    #[must_use]
    pub fn requirements(&self, name: &UnitName) -> Requirements {
        self.evaluate(|element| expand(&element, name))
    }

    /// Evaluates them as written, without expanding specifiers: what validation compares
    /// (`units.md` 5.9).
    #[must_use]
    pub fn requirements_as_written(&self) -> Requirements {
        self.evaluate(|element| element)
    }

    /// What a client should mention about them, sorted and each once (`units.md` 5.1, 5.6).
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warnings::of(self)
    }

    fn evaluate(&self, expand: impl Fn(String) -> String) -> Requirements {
        let all = |option| self.elements(option).map(&expand);
        let split = |legacy, option| -> Vec<String> {
            all(legacy).chain(all(option)).flat_map(|element| words(&element)).collect()
        };
        let (conflicts, conflicts_excess) = bounded(CONFLICTS, split(CONFLICTS_LEGACY, CONFLICTS));
        let replaces = all(REPLACES).flat_map(|element| words(&element)).collect();
        let (replaces, replaces_excess) = bounded(REPLACES, replaces);
        let machine = [MACHINE, MACHINE_LEGACY, MACHINE_BOOT_LEGACY].into_iter();
        Requirements {
            machine: machine.flat_map(all).find(|element| !element.is_empty()),
            peers: split(PEERS_LEGACY, PEERS),
            conflicts,
            replaces,
            excess: conflicts_excess.or(replaces_excess),
            metadata: metadata(all(METADATA_LEGACY).chain(all(METADATA))),
            global: all(GLOBAL).last().is_some_and(|element| is_true(&element)),
        }
    }

    /// The elements of all options called `name`, in file order.
    fn elements(&self, name: &str) -> impl Iterator<Item = String> {
        self.0.iter().filter(move |(n, _)| n == name).flat_map(|(_, value)| elements(value))
    }
}

/// The most patterns that `Conflicts` may have, and `Replaces`: every pass compares each with the
/// units of every machine.
pub const MAX_PATTERNS: usize = 256;

/// The most bytes that the patterns of `Conflicts` may have together, and those of `Replaces`.
pub const MAX_PATTERN_BYTES: usize = 8 * 1024;

/// More patterns than an option may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "option {} has {patterns} patterns of {bytes} bytes together, and {MAX_PATTERNS} of {MAX_PATTERN_BYTES} bytes are the most",
    Quoted(.option)
)]
pub struct Excess {
    /// The option.
    pub option: &'static str,
    /// How many patterns it has.
    pub patterns: usize,
    /// Their length together.
    pub bytes: usize,
}

/// Evaluated requirements (`units.md` 5.4). The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// `MachineID`: a full id or its first 8 characters.
    pub machine: Option<String>,
    /// `MachineOf`: units that must be on the same machine.
    pub peers: Vec<String>,
    /// `Conflicts`: units that must not be.
    pub conflicts: Vec<Pattern>,
    /// `Replaces`: units that are pushed off.
    pub replaces: Vec<Pattern>,
    /// `MachineMetadata`: key to accepted values.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// `Global`.
    pub global: bool,
    /// Set where `conflicts` or `replaces` doesn't hold all patterns, as they are too many.
    pub excess: Option<Excess>,
}

/// The patterns of an option, as far as they may go.
fn bounded(option: &'static str, words: Vec<String>) -> (Vec<Pattern>, Option<Excess>) {
    let (patterns, bytes) = (words.len(), words.iter().map(String::len).sum());
    let is_excess = patterns > MAX_PATTERNS || bytes > MAX_PATTERN_BYTES;
    let mut room = MAX_PATTERN_BYTES;
    let fits = |word: &String| match room.checked_sub(word.len()) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    let kept = words.into_iter().take(MAX_PATTERNS).take_while(fits).map(Pattern::new).collect();
    (kept, is_excess.then_some(Excess { option, patterns, bytes }))
}

/// Whether a value of `Global` means yes (`units.md` 5.5).
fn is_true(value: &str) -> bool {
    ["true", "yes", "1", "on", "t"].contains(&value.to_lowercase().as_str())
}

/// Collects `key=value` pairs; what is none is dropped (`units.md` 5.6).
fn metadata(elements: impl Iterator<Item = String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut metadata = BTreeMap::<String, BTreeSet<String>>::new();
    for element in elements {
        if let Some((key, value)) = pair(&element) {
            metadata.entry(key.to_owned()).or_default().insert(value.to_owned());
        }
    }
    metadata
}

/// Splits at the only `=`, unless a side is empty.
fn pair(element: &str) -> Option<(&str, &str)> {
    let (key, value) = element.split_once('=')?;
    (!key.is_empty() && !value.is_empty() && !value.contains('=')).then_some((key, value))
}

#[cfg(test)]
mod tests;
