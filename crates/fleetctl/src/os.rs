//! The operating system's errors in the words that scripts know.

use std::io;

/// The text of `error` without its number, in lower case: `no such file or directory`.
pub(crate) fn text(error: &io::Error) -> String {
    let full = error.to_string();
    let bare = full.split_once(" (os error").map_or(&*full, |(text, _)| text);
    let mut chars = bare.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_cut_off() {
        for (number, expected) in [(2, "no such file or directory"), (21, "is a directory")] {
            assert_eq!(text(&io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(text(&io::Error::other("Odd")), "odd");
    }
}
