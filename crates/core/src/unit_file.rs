//! Unit files: ordered options, their serialised text and hash (`units.md` 2, 3).

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::lexer::{RawOption, Rules, lex, line_number};
use crate::{FleetOptions, LexError, UnitHash, UnitName};

/// The section that is fleet's.
pub(crate) const FLEET_SECTION: &str = "X-Fleet";

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

impl UnitOption {
    /// An option, unchecked.
    #[must_use]
    pub fn new(
        section: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self { section: section.into(), name: name.into(), value: value.into() }
    }
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

    /// Lexes a text that arrives from outside: UTF-8 only, and what systemd would read of it.
    ///
    /// # Errors
    /// The first thing that doesn't lex.
    pub fn parse(text: &[u8]) -> Result<Self, LexError> {
        Self::parse_with(text, Rules::Ours)
    }

    /// As [`parse`](Self::parse), with the line that each option begins in, counted from 1.
    ///
    /// # Errors
    /// The first thing that doesn't lex.
    pub fn parse_with_lines(text: &[u8]) -> Result<(Self, Vec<usize>), LexError> {
        let file = Self::parse(text)?;
        let lines = lex(text, Rules::Ours)?.iter().map(|option| option.line).collect();
        Ok((file, lines))
    }

    /// Lexes a text that was accepted before (from the registry or the units directory). What isn't
    /// as [`parse`](Self::parse) and [`to_text`](Self::to_text) would have it is read as the original
    /// did that stored it, so that its text and hash stay what they were.
    ///
    /// # Errors
    /// The first thing that doesn't lex.
    pub fn parse_stored(text: &[u8]) -> Result<Self, LexError> {
        match Self::parse(text) {
            Ok(file) if file.to_text().as_bytes() == text => Ok(file),
            ours => Self::parse_with(text, Rules::Original).or_else(|error| ours.or(Err(error))),
        }
    }

    fn parse_with(text: &[u8], rules: Rules) -> Result<Self, LexError> {
        if let Err(error) = std::str::from_utf8(text) {
            return Err(LexError::NotUtf8 { line: line_number(text, error.valid_up_to()) });
        }
        let options = lex(text, rules)?.into_iter().map(UnitOption::from_utf8).collect();
        Ok(Self { options })
    }

    /// The options in order.
    #[must_use]
    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }

    /// The options in order, by value.
    #[must_use]
    pub fn into_options(self) -> Vec<UnitOption> {
        self.options
    }

    /// The canonical text: what is stored, written to disk, printed and hashed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (section, options) in grouped(&self.options, |option| option.section.as_str()) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.extend(["[", section, "]\n"]);
            for option in options {
                text.extend([option.name.as_str(), "=", option.value.as_str(), "\n"]);
            }
        }
        text
    }

    /// The hash of the canonical text.
    #[must_use]
    pub fn hash(&self) -> UnitHash {
        UnitHash::of(self.to_text().as_bytes())
    }

    /// The first `[Unit] Description`.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        let found = self.section("Unit").find(|option| option.name == "Description");
        found.map(|option| option.value.as_str())
    }

    /// Whether there is at least one option in `[Install]`.
    #[must_use]
    pub fn has_install(&self) -> bool {
        self.section("Install").next().is_some()
    }

    /// The other names that `[Install]` gives it where it is called `name`. Names with specifiers
    /// that only its machine can tell (`%H`, say) are left out.
    #[must_use]
    pub fn aliases(&self, name: &UnitName) -> BTreeSet<String> {
        let mut aliases = BTreeSet::new();
        for option in self.section("Install").filter(|option| option.name == "Alias") {
            // No unit's name has what quotes words and joins lines.
            let value = option.value.replace("\\\n", " ").replace(['"', '\''], " ");
            if value.trim().is_empty() {
                aliases.clear(); // an empty one takes back those before it
            }
            let words = value.split_whitespace().map(|word| with_specifiers(word, name));
            aliases.extend(words.filter(|alias| !alias.contains('%') && alias != name.as_str()));
        }
        aliases
    }

    /// The `[X-Fleet]` options, in order.
    #[must_use]
    pub fn fleet_options(&self) -> FleetOptions {
        let options = self.section(FLEET_SECTION);
        FleetOptions(options.map(|option| (option.name.clone(), option.value.clone())).collect())
    }

    fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a UnitOption> {
        self.options.iter().filter(move |option| option.section == section)
    }
}

impl UnitOption {
    /// Takes over an option lexed from UTF-8. Its parts were cut at ASCII bytes and blanks, so they
    /// are UTF-8 too, and nothing is replaced here.
    fn from_utf8(raw: RawOption) -> Self {
        Self {
            section: String::from_utf8_lossy(&raw.section).into_owned(),
            name: raw.name,
            value: String::from_utf8_lossy(&raw.value).into_owned(),
        }
    }
}

/// A name in `[Install]` with the specifiers that the unit's own name answers.
fn with_specifiers(word: &str, name: &UnitName) -> String {
    let (stem, prefix) = (name.stem(), name.prefix());
    let instance = stem.split_once('@').map_or("", |(_, instance)| instance);
    let last = prefix.rsplit_once('-').map_or(prefix, |(_, last)| last);
    let known =
        [("%n", name.as_str()), ("%N", stem), ("%p", prefix), ("%i", instance), ("%j", last)];
    known.iter().fold(word.to_owned(), |word, (specifier, value)| word.replace(specifier, value))
}

/// Groups options by section, sections in order of first appearance (`units.md` 2).
pub(crate) fn grouped<'a, T, S: std::hash::Hash + Eq + Copy>(
    options: &'a [T],
    section: impl Fn(&'a T) -> S,
) -> Vec<(S, Vec<&'a T>)> {
    let mut groups: Vec<(S, Vec<&T>)> = Vec::new();
    let mut index = HashMap::new();
    for option in options {
        let section = section(option);
        let at = *index.entry(section).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, group)) => group.push(option),
            None => groups.push((section, vec![option])),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
