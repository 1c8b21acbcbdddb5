//! What systemd reads of a unit file, by its own rules: `config_parse` of systemd 252,
//! systemd.syntax(7). Apart from our lexer, so that one can be held against the other.

use crate::{
    Quoted,
    unit_file::{UnitFile, UnitOption, grouped},
};

/// What systemd strips from lines, names and values.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The mark that some editors put in front of a text; systemd takes it from the first line that has
/// it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// An option as systemd reads it: its lines are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) section: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl UnitFile {
    /// Checks that systemd would read nothing in the canonical text but these options: what the
    /// original stored may hide some, behind a character that ends a line for systemd only.
    ///
    /// # Errors
    /// The first that it would read otherwise, or besides.
    pub fn check_reading(&self) -> Result<(), Misread> {
        match unlike(self) {
            Some(Assignment { section, name, .. }) => Err(Misread { section, name }),
            None => Ok(()),
        }
    }
}

/// What systemd would read in a unit file though it isn't there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "systemd would read something else: option {} in section {} is not as it was submitted",
    Quoted(.name),
    Quoted(.section)
)]
pub struct Misread {
    /// The section, as systemd reads it.
    pub section: String,
    /// The option, as systemd reads it.
    pub name: String,
}

/// The first option that systemd would read in the text of `file` and that isn't one of its options
/// as they are by themselves, in their order.
fn unlike(file: &UnitFile) -> Option<Assignment> {
    let options = grouped(file.options(), |option| option.section.as_str());
    let options = options.iter().flat_map(|(_, options)| options.iter().copied());
    let mut own = options.filter_map(alone);
    read(&file.to_text()).into_iter().find(|found| !own.any(|own| own == *found))
}

/// What systemd reads of an option that stands alone. Nothing when that is more than one.
fn alone(UnitOption { section, name, value }: &UnitOption) -> Option<Assignment> {
    let mut read = read(&format!("[S]\nA={value}\n")).into_iter();
    let (Some(Assignment { value, .. }), None) = (read.next(), read.next()) else { return None };
    let name = name.trim_matches(BLANKS).to_owned();
    Some(Assignment { section: section.clone(), name, value })
}

/// All that systemd reads of `text`, up to what makes it refuse the file as a whole. Sections that
/// it doesn't know are left in.
pub(crate) fn read(text: &str) -> Vec<Assignment> {
    let mut reader = Reader::default();
    for line in Lines(text) {
        if reader.line(line).is_err() {
            return reader.read;
        }
    }
    let rest = std::mem::take(&mut reader.continued);
    if let Some(rest) = rest {
        let _ = reader.logical(&rest); // the text ends either way
    }
    reader.read
}

/// systemd refuses the whole file.
struct Refused;

/// How far the text was read.
#[derive(Default)]
struct Reader {
    read: Vec<Assignment>,
    section: Option<String>,
    /// Lines that go on in the next, joined.
    continued: Option<String>,
    mark_seen: bool,
}

impl Reader {
    /// Takes a physical line.
    fn line(&mut self, line: &str) -> Result<(), Refused> {
        // A blank line isn't a comment and ends what is continued.
        if line.trim_start_matches(BLANKS).starts_with(['#', ';']) {
            return Ok(());
        }
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if !self.mark_seen => {
                self.mark_seen = true;
                rest
            }
            _ => line,
        };
        let mut joined = self.continued.take().unwrap_or_default();
        joined.push_str(line);
        if crate::lexer::is_continued(joined.as_bytes()) {
            joined.pop();
            joined.push(' ');
            self.continued = Some(joined);
            return Ok(());
        }
        self.logical(&joined)
    }

    /// Takes a line with all those it goes on in.
    fn logical(&mut self, line: &str) -> Result<(), Refused> {
        let line = line.trim_matches(BLANKS);
        if line.chars().any(is_no_character) {
            return Err(Refused);
        }
        if let Some(header) = line.strip_prefix('[') {
            let section = header.strip_suffix(']').filter(|name| is_safe(name)).ok_or(Refused)?;
            self.section = Some(section.to_owned());
            return Ok(());
        }
        // Without a section, a name or a value it is ignored.
        let Some(section) = &self.section else { return Ok(()) };
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Ok(());
        };
        self.read.push(Assignment {
            section: section.clone(),
            name: name.trim_matches(BLANKS).to_owned(),
            value: value.trim_matches(BLANKS).to_owned(),
        });
        Ok(())
    }
}

/// What systemd doesn't take for UTF-8, though it is.
fn is_no_character(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether a section may be called that.
fn is_safe(name: &str) -> bool {
    !name.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\'' | '\\'))
}

/// The lines of a text. LF, CR and NUL end one; what follows directly and is another of them
/// belongs to the same end.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let ends = ['\n', '\r', '\0'];
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        let mut seen = Vec::new();
        let end = rest.find(|c| {
            let goes_on = ends.contains(&c) && !seen.contains(&c) && !seen.contains(&'\0');
            seen.push(c);
            !goes_on
        });
        self.0 = &rest[end.unwrap_or(rest.len())..];
        Some(line)
    }
}

#[cfg(test)]
mod tests;
