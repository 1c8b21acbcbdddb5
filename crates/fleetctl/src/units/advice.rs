//! What is odd about a unit file: what systemd will not run, or will ignore, by line. Never a reason
//! to refuse it: the machines may have another systemd, or files that complete the unit.

use std::fmt;

use fleet_core::{Quoted, UnitFile};

mod command;
mod table;
mod whole;
mod words;

/// The section that is fleet's.
const FLEET: &str = "X-Fleet";
/// How many remarks there are about one file at most.
const MOST: usize = 20;
/// How many characters of a word of the file's are shown.
const SHOWN: usize = 60;

/// A remark about a line of a unit file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Advice {
    /// The line, counted from 1.
    pub(crate) line: usize,
    text: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An option as systemd reads it, and where it stands.
struct Item {
    line: usize,
    section: String,
    name: String,
    /// Its lines joined.
    value: String,
}

/// A unit file with all that remarks need.
struct Unit<'a> {
    /// Its type, such as `service`.
    kind: &'a str,
    text: &'a str,
    items: Vec<Item>,
}

/// Remarks about the unit file called `file`, by line. None about what doesn't lex: that is refused.
pub(crate) fn of(file: &str, text: &[u8]) -> Vec<Advice> {
    let kind = file.rsplit_once('.').map_or("service", |(_, kind)| kind);
    let (Ok((options, lines)), Ok(text)) =
        (UnitFile::parse_with_lines(text), std::str::from_utf8(text))
    else {
        return Vec::new();
    };
    let items = options.into_options().into_iter().zip(lines).map(|(option, line)| Item {
        line,
        section: option.section,
        name: option.name,
        value: option.value.replace("\\\n", " ").trim().to_owned(),
    });
    let unit = Unit { kind, text, items: items.collect() };
    if unit.items.is_empty() {
        return Vec::new(); // this is refused as well
    }
    let mut all = unit.outside();
    all.extend(unit.items.iter().filter_map(|item| unit.about(item)));
    all.extend(whole::faults(&unit));
    all.sort();
    let more = all.len().saturating_sub(MOST);
    if more > 0 {
        all.truncate(MOST);
        let line = all.last().map_or(1, |last| last.line);
        all.push(Advice { line, text: format!("and {more} more like these") });
    }
    all
}

impl Unit<'_> {
    /// Lines before the first section, which nobody reads.
    fn outside(&self) -> Vec<Advice> {
        let lines = (1..).zip(self.text.trim_start_matches('\u{feff}').lines());
        let lines = lines.take_while(|(_, text)| !text.contains('['));
        let text = "line stands before the first section, where it is ignored";
        lines
            .filter(|(_, text)| !text.trim().is_empty() && !text.trim().starts_with(['#', ';']))
            .map(|(line, _)| Advice { line, text: text.to_owned() })
            .collect()
    }

    /// The line of a section's header; 1 when there is none.
    fn line_of(&self, section: &str) -> usize {
        let header = format!("[{section}]");
        self.text.lines().position(|line| line.trim() == header).map_or(1, |index| index + 1)
    }

    /// The section that units of this type have for themselves.
    fn own_section(&self) -> String {
        let mut letters = self.kind.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }

    /// What there is to say about an option by itself.
    fn about(&self, item: &Item) -> Option<Advice> {
        let text = self.unheeded(item).or_else(|| command::fault(item))?;
        Some(Advice { line: item.line, text })
    }

    /// Why nobody heeds the option, or not as it is meant.
    fn unheeded(&self, Item { section, name, value, .. }: &Item) -> Option<String> {
        let (shown, own) = (shown(name), self.own_section());
        let sections = ["Unit", "Install", own.as_str(), FLEET];
        if section == FLEET {
            let variable = variable(value)?;
            return Some(format!(
                "option {shown} in section [{FLEET}]: fleet expands no variables, so {variable} \
                 stands for itself"
            ));
        }
        if !sections.contains(&section.as_str()) {
            let meant = words::nearest(section, sections);
            if section.starts_with("X-") && meant.is_none() {
                return None; // for somebody else
            }
            return Some(format!(
                "unknown section {} in a {}, which is ignored, option {shown} with it{}",
                self::shown(section),
                self.kind,
                did_you_mean(meant)
            ));
        }
        let known = |section: &str| options_of(section).any(|option| option == name);
        if known(section) || name.starts_with("X-") {
            return None;
        }
        if let Some(other) = sections.iter().find(|other| known(other)) {
            return Some(format!(
                "option {shown} belongs into section [{other}]; in [{section}] it is ignored"
            ));
        }
        let meant = did_you_mean(words::nearest(name, options_of(section)));
        Some(format!("unknown option {shown} in section [{section}], which is ignored{meant}"))
    }
}

/// The options that systemd knows in a section.
fn options_of(section: &str) -> impl Iterator<Item = &'static str> {
    let has = move |sections: &str| sections.split(' ').any(|name| name == section);
    let groups = table::OPTIONS.iter().filter(move |(sections, _)| has(sections));
    groups.flat_map(|(_, names)| names.split(' '))
}

fn did_you_mean(word: Option<&str>) -> String {
    word.map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

/// A word of the file's, on one line and not too long.
fn shown(word: &str) -> String {
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", Quoted(&word[..end])),
        None => Quoted(word).to_string(),
    }
}

/// The first thing in `value` that a shell would take for a variable.
fn variable(value: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let at = value.match_indices('$').map(|(at, _)| at).find(|at| {
        let rest = &value[at + 1..];
        rest.starts_with('{') || rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })?;
    let rest = &value[at + 1..];
    let end = match rest.strip_prefix('{') {
        Some(inner) => inner.find('}').map_or(rest.len(), |end| end + 2),
        None => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
    };
    Some(shown(&value[at..=at + end]))
}

#[cfg(test)]
mod tests;
