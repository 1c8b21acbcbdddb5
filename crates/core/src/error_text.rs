//! Errors put into words, and words of others cleaned, for whoever shows them.

use std::{error::Error, io};

/// The text of an operating system's error without its number, in lower case:
/// `no such file or directory`.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let full = error.to_string();
    let bare = full.rsplit_once(" (os error ").map_or(&*full, |(text, _)| text);
    let mut chars = bare.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The texts of an error and its causes. One that the text before it holds already is left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether a terminal would take a character for something else than a letter: it controls, or turns
/// or hides what stands beside it (the bidirectional controls of Unicode's UAX #9, line and paragraph
/// separators, and letters without width).
#[must_use]
pub fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}')
}

/// Whether one endpoint, or a list of them, carries a user or a password, so that it can't be shown.
/// No place of a server has an `@` otherwise, and what precedes one may be a password with anything
/// in it.
#[must_use]
pub fn carries_login(text: &str) -> bool {
    text.contains('@')
}

/// What somebody else said, fit for a terminal and for one line: it may be anything.
#[must_use]
pub fn tame(text: &str) -> String {
    text.replace(is_harmful, " ")
}

/// What a stranger said, cut short as well. What is harmful is left out.
#[must_use]
pub fn tame_stranger(text: &str) -> String {
    /// More letters than any honest one says.
    const MOST: usize = 1000;
    text.chars().filter(|letter| !is_harmful(*letter)).take(MOST).collect()
}

/// What is fit for a terminal of a text of several lines.
#[must_use]
pub fn tame_lines(text: &str) -> String {
    text.replace(|letter| is_harmful(letter) && !matches!(letter, '\n' | '\t'), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_letters_reaches_a_terminal() {
        for (text, line, lines) in [
            ("plain é 漢 ✓", "plain é 漢 ✓", "plain é 漢 ✓"),
            ("a\nb\tc", "a b c", "a\nb\tc"),
            ("a\rb\x1b[31mc\x07\x7f", "a b [31mc  ", "a b [31mc  "),
            ("a\u{9b}2Jb", "a 2Jb", "a 2Jb"),
            ("a\u{202e}b\u{2066}c\u{200f}d\u{61c}", "a b c d ", "a b c d "),
            ("a\u{2028}b\u{2029}c\u{feff}d\u{200b}", "a b c d ", "a b c d "),
        ] {
            assert_eq!((&*tame(text), &*tame_lines(text)), (line, lines), "{text:?}");
        }
        let long = "\u{202e}é\n".repeat(2000);
        assert_eq!(tame_stranger(&long), "é".repeat(1000));
    }

    #[test]
    fn the_number_is_cut_off() {
        for (number, expected) in [(2, "no such file or directory"), (21, "is a directory")] {
            assert_eq!(plain(&io::Error::from_raw_os_error(number)), expected);
        }
        for (text, expected) in [("Odd", "odd"), ("", ""), ("É (x)", "é (x)")] {
            assert_eq!(plain(&io::Error::other(text)), expected);
        }
    }

    #[test]
    fn causes_follow_unless_they_are_told_already() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Failed(&'static str, #[source] Option<Box<Self>>);
        let failed = |text, cause: Option<Failed>| Failed(text, cause.map(Box::new));
        let deep = failed("not sent", Some(failed("cut: reset", Some(failed("reset", None)))));
        assert_eq!(chain(&deep), "not sent: cut: reset");
        assert_eq!(chain(&failed("alone", None)), "alone");
    }
}
