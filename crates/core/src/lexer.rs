//! The unit-file lexer (`units.md` 1): bytes in, `(section, name, value)` out.
//!
//! It follows the original, but where that refused or misread what systemd takes (decision 15). What
//! the original stored is read by the original's own rules.
//!
//! ```text
//!            '[' '#' ';' anywhere                              rest of line is blank
//!  Outside ───────────────────────▶ section name up to ']' ───────────────────────▶ Inside
//!     ▲ other bytes are dropped                                                      │ ▲
//!     └─ comment                    '[' starts the next section ◀────────────────────┤ │
//!                                   '#' ';' a comment ───────────────────────────────┼─┤
//!                                   otherwise name up to '=', then value ────────────┘ │
//!                                   (a value goes on after a line ending in '\') ──────┘
//! ```

use std::borrow::Cow;

use crate::quote::{Quoted, QuotedChar};

/// The length in bytes from which on a physical line is too long: systemd's own (`LONG_LINE_MAX`).
const LINE_LIMIT: usize = 1024 * 1024;

/// Why a text does not lex (`units.md` 1.5).
///
/// The texts begin as the original's, which people grep for, and say where. Lines count from 1; a
/// section is the one the line is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// There is a `[` without `]`.
    #[error("unable to find end of section (line {line})")]
    UnclosedSection {
        /// The line of the `[`.
        line: usize,
    },
    /// Something follows the `]` on its line.
    #[error("found garbage after section name {}: {garbage:?} (line {line})", Quoted(.section))]
    GarbageAfterSection {
        /// The section just named.
        section: String,
        /// What follows it, trimmed; shown as a list of decimal bytes.
        garbage: ByteList,
        /// The line of the `]`.
        line: usize,
    },
    /// A line has no `=`.
    #[error(
        "unexpected newline encountered while parsing option name (line {line}, section {})",
        Quoted(.section)
    )]
    NewlineInName {
        /// The section.
        section: String,
        /// The line that has no `=`.
        line: usize,
    },
    /// The last line has no `=` and no end.
    #[error(
        "unexpected EOF encountered while parsing option name (line {line}, section {})",
        Quoted(.section)
    )]
    EndInName {
        /// The section.
        section: String,
        /// The line that has no `=`.
        line: usize,
    },
    /// A physical line is longer than systemd reads.
    #[error("line too long (max {LINE_LIMIT} bytes) (line {line})")]
    LineTooLong {
        /// The line.
        line: usize,
    },
    /// A character within a line, which ends it for systemd, so that it would read one more.
    #[error(
        "character {} ends a line for systemd, here it is inside of one (line {line}, section {})",
        QuotedChar(*.character),
        Quoted(.section)
    )]
    LineEndInside {
        /// The section.
        section: String,
        /// The character.
        character: char,
        /// The line.
        line: usize,
    },
    /// Blanks follow a backslash at the end of a line, and no option follows that it could be
    /// joined with.
    #[error(
        "backslash at the end of a line is followed by blanks (line {line}, section {})",
        Quoted(.section)
    )]
    BlankAfterBackslash {
        /// The section.
        section: String,
        /// The line of the backslash.
        line: usize,
    },
    /// The text is not UTF-8, so that it could not be sent to the API unchanged.
    #[error("unit file is not valid UTF-8 (line {line})")]
    NotUtf8 {
        /// The line of the first offending byte.
        line: usize,
    },
}

impl LexError {
    /// The line that is to blame, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::UnclosedSection { line }
            | Self::GarbageAfterSection { line, .. }
            | Self::NewlineInName { line, .. }
            | Self::EndInName { line, .. }
            | Self::LineTooLong { line }
            | Self::LineEndInside { line, .. }
            | Self::BlankAfterBackslash { line, .. }
            | Self::NotUtf8 { line } => *line,
        }
    }
}

/// Bytes that are shown as the original showed them: `[102 111 111]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ByteList(pub Vec<u8>);

impl std::fmt::Debug for ByteList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: Vec<String> = self.0.iter().map(u8::to_string).collect();
        write!(f, "[{}]", shown.join(" "))
    }
}

/// Whose rules a text is lexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Those of what arrives from outside, which say what systemd will read.
    Ours,
    /// The original's, for what it accepted: without the limit on lines (`units.md` 1.4), comments
    /// may go on in the next line, and within a value they are part of it, as is a line after two
    /// backslashes.
    Original,
}

/// How a line of a value ends.
enum Ending<'a> {
    /// With it the value ends.
    Complete,
    /// The value goes on in the next line.
    Continued,
    /// A backslash and blanks, here without those. systemd would end the value, but reads it as
    /// continued once the original has trimmed and stored it.
    ContinuedAfterBlanks(&'a [u8]),
}

impl Rules {
    fn ending(self, line: &[u8]) -> Ending<'_> {
        let bare = trim_end(line);
        match self {
            Self::Original if line.ends_with(b"\\") => Ending::Continued,
            Self::Ours if !is_continued(bare) => Ending::Complete,
            Self::Ours if bare.len() == line.len() => Ending::Continued,
            Self::Ours => Ending::ContinuedAfterBlanks(bare),
            Self::Original => Ending::Complete,
        }
    }
}

/// Whether a line goes on in the next one: of two backslashes the first one makes the second plain.
pub(crate) fn is_continued(line: &[u8]) -> bool {
    line.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// An option as lexed: values and section names are raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawOption {
    /// The line that it begins in.
    pub(crate) line: usize,
    pub(crate) section: Vec<u8>,
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
}

/// Lexes `text`. CRLF counts as LF.
///
/// # Errors
/// The first thing that doesn't lex.
pub(crate) fn lex(text: &[u8], rules: Rules) -> Result<Vec<RawOption>, LexError> {
    let text = with_plain_newlines(text);
    let lexed = Lexer { text: &text, at: 0, rules }.run();
    let too_long = match rules {
        Rules::Ours => first_long_line(&text),
        Rules::Original => None,
    };
    match (lexed, too_long) {
        (Err(error), Some(line)) if error.line() < line => Err(error),
        (_, Some(line)) => Err(LexError::LineTooLong { line }),
        (lexed, None) => lexed,
    }
}

/// Turns CRLF into LF.
fn with_plain_newlines(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.windows(2).any(|pair| pair == b"\r\n") {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        if byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            plain.push(byte);
        }
    }
    Cow::Owned(plain)
}

/// The number of the first line that is too long; a CR ends a physical line as well.
fn first_long_line(text: &[u8]) -> Option<usize> {
    let too_long = |line: &[u8]| line.split(|&b| b == b'\r').any(|part| part.len() >= LINE_LIMIT);
    text.split(|&b| b == b'\n').position(too_long).map(|index| index + 1)
}

/// The number of the line that the byte at `at` is in.
pub(crate) fn line_number(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|&&b| b == b'\n').count()
}

/// A text and how far it has been read.
struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    rules: Rules,
}

impl<'a> Lexer<'a> {
    fn run(mut self) -> Result<Vec<RawOption>, LexError> {
        let mut options = Vec::new();
        let mut section = None;
        let (mut line, mut counted) = (1, 0);
        while let Some(&byte) = self.text.get(self.at) {
            match (byte, section) {
                (b'[', _) => section = Some(self.section()?),
                (b'#' | b';', _) => self.skip_comment(),
                (_, None) => self.at += 1,
                (_, Some(section)) => {
                    if let Some(len) = leading_blank(self.rest()) {
                        self.at += len;
                        continue;
                    }
                    line += line_number(&self.text[counted..self.at], usize::MAX) - 1;
                    counted = self.at;
                    let name = self.name(section)?;
                    let value = self.value(section)?;
                    options.push(RawOption { line, section: section.to_vec(), name, value });
                }
            }
        }
        Ok(options)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn line(&self) -> usize {
        line_number(self.text, self.at)
    }

    /// Whether `byte` ends a line, or would for systemd; the original's headers may span lines.
    fn ends_header(&self, byte: u8) -> bool {
        self.rules == Rules::Ours && matches!(byte, b'\n' | b'\r' | 0)
    }

    /// Takes the rest of the line; says whether an LF ended it.
    fn take_line(&mut self) -> (&'a [u8], bool) {
        let rest = self.rest();
        match rest.iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.at += end + 1;
                (&rest[..end], true)
            }
            None => {
                self.at = self.text.len();
                (rest, false)
            }
        }
    }

    /// Reads a header from its `[` on and returns the section's name, verbatim.
    fn section(&mut self) -> Result<&'a [u8], LexError> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == b']' || self.ends_header(b));
        let Some(len) = end.filter(|&len| rest[len] == b']') else {
            return Err(LexError::UnclosedSection { line: self.line() });
        };
        let section = &rest[..len];
        self.at += len + 2;
        let end = self.at;
        let garbage = trim(self.take_line().0);
        if garbage.is_empty() {
            return Ok(section);
        }
        Err(LexError::GarbageAfterSection {
            section: lossy(section),
            garbage: ByteList(garbage.to_vec()),
            line: line_number(self.text, end),
        })
    }

    /// Skips a comment. In the original a trailing `\`, even one before a single blank, takes the
    /// next line along.
    fn skip_comment(&mut self) {
        loop {
            let (line, _) = self.take_line();
            let line = line.strip_suffix(b" ").unwrap_or(line);
            if self.rules == Rules::Ours || !line.ends_with(b"\\") {
                return;
            }
        }
    }

    /// Skips the comments between the lines of a value, as systemd does.
    fn skip_comments_in_value(&mut self) {
        while is_comment(self.rest()) {
            self.take_line();
        }
    }

    /// Reads the name of an option up to and including its `=`.
    fn name(&mut self, section: &[u8]) -> Result<String, LexError> {
        let rest = self.rest();
        match rest.iter().position(|b| matches!(b, b'=' | b'\r' | b'\n')) {
            Some(len) if rest[len] == b'=' => {
                self.check_line(section, self.at, &rest[..len])?;
                self.at += len + 1;
                Ok(with_replacements(&rest[..len]).trim().to_owned())
            }
            Some(_) => Err(LexError::NewlineInName { section: lossy(section), line: self.line() }),
            None => Err(LexError::EndInName { section: lossy(section), line: self.line() }),
        }
    }

    /// Reads a value with its continuation lines, whose `\` and LF are kept (`units.md` 1.2).
    fn value(&mut self, section: &[u8]) -> Result<Vec<u8>, LexError> {
        let mut value = Vec::new();
        loop {
            let at = self.at;
            let (line, had_newline) = self.take_line();
            if trim(line).is_empty() {
                break;
            }
            let seen = if value.is_empty() { trim(line) } else { trim_end(line) };
            self.check_line(section, at, seen)?;
            match self.rules.ending(line) {
                Ending::ContinuedAfterBlanks(line) if had_newline => {
                    value.extend_from_slice(line);
                    value.push(b'\n');
                    value.extend_from_slice(self.joined_name(section, at)?);
                    value.push(b'=');
                }
                Ending::Continued => {
                    value.extend_from_slice(line);
                    value.extend(had_newline.then_some(b'\n'));
                    if self.rules == Rules::Ours {
                        self.skip_comments_in_value();
                    }
                }
                Ending::Complete | Ending::ContinuedAfterBlanks(_) => {
                    value.extend_from_slice(line);
                    break;
                }
            }
        }
        let mut trimmed = trim(&value).to_vec();
        if value.ends_with(b"\n") {
            trimmed.push(b'\n');
        }
        Ok(trimmed)
    }

    /// Reads on behind a backslash and blanks, at `backslash`. The original took what follows for an
    /// option of its own and trimmed it, whereby it became part of the value for systemd: this returns
    /// what stands before the `=`. What the original could not take for an option is refused.
    fn joined_name(&mut self, section: &[u8], backslash: usize) -> Result<&'a [u8], LexError> {
        self.skip_comments_in_value();
        let rest = self.rest();
        let end = rest.iter().position(|b| matches!(b, b'=' | b'\r' | b'\n'));
        let is_option = |&len: &usize| rest[len] == b'=' && !trim(&rest[..len]).starts_with(b"[");
        let Some(len) = end.filter(is_option) else {
            let line = line_number(self.text, backslash);
            return Err(LexError::BlankAfterBackslash { section: lossy(section), line });
        };
        self.check_line(section, self.at, &rest[..len])?;
        self.at += len + 1;
        while !self.rest().starts_with(b"\n")
            && let Some(blank) = leading_blank(self.rest())
        {
            self.at += blank;
        }
        Ok(trim(&rest[..len]))
    }

    /// Refuses what would end a line for systemd within `part` of the line at `at`.
    fn check_line(&self, section: &[u8], at: usize, part: &[u8]) -> Result<(), LexError> {
        let hidden = part.iter().find(|&&byte| matches!(byte, b'\r' | 0));
        match hidden {
            Some(&byte) if self.rules == Rules::Ours => Err(LexError::LineEndInside {
                section: lossy(section),
                character: char::from(byte),
                line: line_number(self.text, at),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a line within a value is a comment, which systemd skips.
pub(crate) fn is_comment(line: &[u8]) -> bool {
    let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    matches!(first, Some(b'#' | b';'))
}

/// The number of bytes of the blank (Unicode white space) that `bytes` begins with.
fn leading_blank(bytes: &[u8]) -> Option<usize> {
    let first = bytes.get(..char::MAX_LEN_UTF8).unwrap_or(bytes);
    let c = first.utf8_chunks().next()?.valid().chars().next()?;
    c.is_whitespace().then(|| c.len_utf8())
}

/// Trims blanks; bytes that aren't UTF-8 are none.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let Some(len) = leading_blank(bytes) {
        bytes = &bytes[len..];
    }
    trim_end(bytes)
}

/// Trims blanks at the end.
fn trim_end(bytes: &[u8]) -> &[u8] {
    let trailing = bytes.utf8_chunks().last().map_or(0, |chunk| match chunk.invalid() {
        [] => chunk.valid().len() - chunk.valid().trim_end().len(),
        _ => 0,
    });
    &bytes[..bytes.len() - trailing]
}

/// Decodes a name: each byte that isn't UTF-8 becomes U+FFFD.
fn with_replacements(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// A section name for an error text.
fn lossy(section: &[u8]) -> String {
    String::from_utf8_lossy(section).into_owned()
}

#[cfg(test)]
mod tests;
