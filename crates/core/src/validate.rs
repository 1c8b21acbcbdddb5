//! The checks a unit must pass before it is stored (`units.md` 5.9, `api.md` 4.6).
//!
//! What is checked is what will be stored: the options are serialised and lexed again, and that
//! must give them back (`spec/README.md` 17). So nothing can be smuggled in behind a newline, and
//! what is stored keeps its hash however often it is read and written.

use std::collections::BTreeSet;

use crate::lexer::{is_comment, is_continued};
use crate::requirements::Excess;
use crate::unit_file::grouped;
use crate::{
    InvalidUnitName, LexError, Misread, OwnName, Pattern, Quoted, Requirements, UnitFile, UnitName,
    UnitOption, check_own_names,
};

/// Why a unit is refused. The texts are the specification's, where it gives one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnit {
    /// systemd takes no unit of such a name.
    #[error(transparent)]
    Name(#[from] InvalidUnitName),
    /// The serialised options don't lex.
    #[error(transparent)]
    Lex(#[from] LexError),
    /// An option can't be stored as it is.
    #[error("option {} in section {}: {fault}", Quoted(.name), Quoted(.section))]
    Option {
        /// The section.
        section: String,
        /// The option.
        name: String,
        /// What is wrong with it.
        fault: OptionFault,
    },
    /// systemd would read something else than was submitted.
    #[error(transparent)]
    Misread(#[from] Misread),
    /// It has, or asks for, a name of fleet's own units.
    #[error(transparent)]
    OwnName(#[from] OwnName),
    /// A peer is also one that must not be there.
    #[error(
        "unresolvable requirements: peer {} matches conflict {}",
        Quoted(.peer),
        Quoted(.pattern)
    )]
    PeerConflicts {
        /// The peer.
        peer: String,
        /// The pattern of `Conflicts`.
        pattern: String,
    },
    /// A peer is also one to push off.
    #[error("unresolvable requirements: peer {} matches replace {}", Quoted(.peer), Quoted(.pattern))]
    PeerReplaced {
        /// The peer.
        peer: String,
        /// The pattern of `Replaces`.
        pattern: String,
    },
    /// There are more patterns than an option may have.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// Comparing each peer with each pattern would take too long.
    #[error(
        "too many requirements: {peers} bytes of peers are to be compared with {patterns} bytes of patterns, and the product may be {MAX_COMPARED} at most"
    )]
    TooManyRequirements {
        /// The length of all peers together.
        peers: usize,
        /// The length of all patterns together, those that are plain names left out.
        patterns: usize,
    },
    /// Two kinds of requirements exclude each other.
    #[error("{0} cannot be used with {1}")]
    Exclusive(&'static str, &'static str),
}

/// The most that the length of all peers times that of all patterns may be: matching one with the
/// other takes as many steps as the product of their lengths, so this bounds the whole check, to a
/// few milliseconds. It is enough for 2 KiB of each.
const MAX_COMPARED: usize = 4 * 1024 * 1024;

/// What is wrong with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionFault {
    /// It has no section.
    #[error("the section is empty")]
    EmptySection,
    /// Its section spans lines.
    #[error("the section contains a newline")]
    NewlineInSection,
    /// It has no name, or only a byte order mark, of which systemd drops one.
    #[error("the name is empty")]
    EmptyName,
    /// Its name spans lines.
    #[error("the name contains a newline")]
    NewlineInName,
    /// Its value goes on in a new line, but no backslash precedes it.
    #[error("the value contains a newline without a backslash before it")]
    NewlineInValue,
    /// Its value ends in a backslash, which would take in the line that follows.
    #[error("the value ends in a backslash")]
    BackslashAtEnd,
    /// It isn't the same when it is read back, such as one whose name begins with `#`.
    #[error("it would not be the same when read back from a unit file")]
    NotReadBack,
}

/// Checks submitted options as they will be stored and returns the file as it re-lexes.
///
/// No options at all are accepted: whether they may be absent is the caller's to know.
///
/// # Errors
/// The first rule broken; see `spec/README.md` 17 for what must survive re-lexing.
pub fn validate(name: &UnitName, options: Vec<UnitOption>) -> Result<UnitFile, InvalidUnit> {
    name.check_new()?;
    let submitted = UnitFile::new(options);
    let lexed = UnitFile::parse(submitted.to_text().as_bytes());
    if let Err(error @ LexError::UnclosedSection { .. }) = lexed {
        // Whose section it is tells more.
        submitted.options().iter().try_for_each(check_option)?;
        return Err(error.into());
    }
    let stored = lexed?;
    submitted.options().iter().try_for_each(check_option)?;
    check_read_back(&submitted, &stored)?;
    stored.check_reading()?;
    check_own_names(name, &stored)?;
    check_requirements(name, &stored)?;
    Ok(stored)
}

/// Checks what can be said of an option by itself (`api.md` 4.4, `units.md` 2).
fn check_option(option: &UnitOption) -> Result<(), InvalidUnit> {
    match fault_of(option) {
        Some(fault) => Err(refusal(option, fault)),
        None => Ok(()),
    }
}

fn fault_of(UnitOption { section, name, value }: &UnitOption) -> Option<OptionFault> {
    let spans_lines = |text: &str| text.contains(['\n', '\r']);
    let is_bare = |(newline, _): (usize, &str)| !is_continued(&value.as_bytes()[..newline]);
    if section.is_empty() {
        Some(OptionFault::EmptySection)
    } else if spans_lines(section) {
        Some(OptionFault::NewlineInSection)
    } else if name.trim().trim_start_matches('\u{feff}').is_empty() {
        Some(OptionFault::EmptyName)
    } else if spans_lines(name) {
        Some(OptionFault::NewlineInName)
    } else if value.match_indices('\n').any(is_bare) {
        Some(OptionFault::NewlineInValue)
    } else if is_continued(value_read_back(value).as_bytes()) {
        Some(OptionFault::BackslashAtEnd)
    } else {
        None
    }
}

fn refusal(option: &UnitOption, fault: OptionFault) -> InvalidUnit {
    InvalidUnit::Option { section: option.section.clone(), name: option.name.clone(), fault }
}

/// Checks that the options come back, in the order that serialising gives them, with nothing but
/// the blanks at their edges lost.
fn check_read_back(submitted: &UnitFile, stored: &UnitFile) -> Result<(), InvalidUnit> {
    let groups = grouped(submitted.options(), |option| option.section.as_str());
    let mut read_back = stored.options().iter();
    let mut last = None;
    for option in groups.iter().flat_map(|(_, options)| options.iter().copied()) {
        if !read_back.next().is_some_and(|found| is_read_back(option, found)) {
            return Err(refusal(option, OptionFault::NotReadBack));
        }
        last = Some(option);
    }
    match (read_back.next(), last) {
        (Some(extra), last) => Err(refusal(last.unwrap_or(extra), OptionFault::NotReadBack)),
        (None, _) => Ok(()),
    }
}

/// Whether `found` is what `option` should come back as.
fn is_read_back(option: &UnitOption, found: &UnitOption) -> bool {
    found.section == option.section
        && found.name == option.name.trim()
        && found.value == value_read_back(&option.value)
}

/// A value as the lexer takes it: blanks at the edges go, but one newline at the end stays
/// (`units.md` 1.2); comments within go, which the original left in the values that it sends.
fn value_read_back(value: &str) -> String {
    let mut lines = value.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let others = lines.filter(|line| !is_comment(line.as_bytes()));
    let value: String = std::iter::once(first).chain(others).collect();
    let newline = if value.ends_with('\n') { "\n" } else { "" };
    format!("{}{newline}", value.trim())
}

/// Checks that the requirements don't contradict each other (`units.md` 5.9, rows 2 to 10).
///
/// Names and patterns are compared as written, specifiers and all. Only whether the unit is global
/// is asked for the unit's name, as everywhere (`units.md` 5.3).
fn check_requirements(name: &UnitName, file: &UnitFile) -> Result<(), InvalidUnit> {
    let options = file.fleet_options();
    let Requirements { global, excess, .. } = options.requirements(name);
    let asked = options.requirements_as_written();
    if let Some(excess) = asked.excess.clone().or(excess) {
        return Err(excess.into());
    }
    check_peers(&asked)?;
    let machine = ("MachineID", asked.machine.is_some());
    let peers = ("Peers", !asked.peers.is_empty());
    let conflicts = ("Conflicts", !asked.conflicts.is_empty());
    let global = ("Global", global);
    let replaces = ("Replaces", !asked.replaces.is_empty());
    let pairs = [
        (machine, peers),
        (machine, conflicts),
        (machine, global),
        (machine, replaces),
        (global, peers),
        (global, replaces),
        (conflicts, replaces),
    ];
    match pairs.into_iter().find(|(one, other)| one.1 && other.1) {
        Some((one, other)) => Err(InvalidUnit::Exclusive(one.0, other.0)),
        None => Ok(()),
    }
}

/// Checks that no peer is one to stay away from or to push off; sorted, so that the same one is
/// named each time.
fn check_peers(asked: &Requirements) -> Result<(), InvalidUnit> {
    let peers: BTreeSet<&str> = asked.peers.iter().map(String::as_str).collect();
    let conflicts = Patterns::new(&asked.conflicts);
    let replaces = Patterns::new(&asked.replaces);
    let length = peers.iter().map(|peer| peer.len()).sum::<usize>();
    let patterns = conflicts.length() + replaces.length();
    if length.saturating_mul(patterns) > MAX_COMPARED {
        return Err(InvalidUnit::TooManyRequirements { peers: length, patterns });
    }
    for peer in peers {
        if let Some(pattern) = conflicts.first_match(peer) {
            return Err(InvalidUnit::PeerConflicts { peer: peer.to_owned(), pattern });
        }
        if let Some(pattern) = replaces.first_match(peer) {
            return Err(InvalidUnit::PeerReplaced { peer: peer.to_owned(), pattern });
        }
    }
    Ok(())
}

/// Patterns to find the match of a name in, each once.
struct Patterns<'a> {
    /// Those that are plain names: looked up, not tried.
    names: BTreeSet<&'a str>,
    /// The others, sorted.
    wild: BTreeSet<&'a Pattern>,
}

impl<'a> Patterns<'a> {
    fn new(patterns: &'a [Pattern]) -> Self {
        let names = patterns.iter().filter_map(Pattern::as_name).collect();
        let is_wild = |pattern: &&Pattern| pattern.as_name().is_none() && !pattern.is_malformed();
        Self { names, wild: patterns.iter().filter(is_wild).collect() }
    }

    /// How much there is to try.
    fn length(&self) -> usize {
        self.wild.iter().map(|pattern| pattern.as_str().len()).sum()
    }

    /// The first that matches, in the order of their texts.
    fn first_match(&self, name: &str) -> Option<String> {
        let exact = self.names.get(name).copied();
        let tried = self.wild.iter().find(|pattern| pattern.matches(name));
        exact.into_iter().chain(tried.map(|pattern| pattern.as_str())).min().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
