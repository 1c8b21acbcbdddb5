//! Errors put into words, for whoever shows them.

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

#[cfg(test)]
mod tests {
    use super::*;

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
