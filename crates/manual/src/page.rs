//! What manual pages have beyond what clap knows of a command.

use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

/// When the version that pages are of was made. It is written down, so that pages are the same
/// whoever builds them, and whenever.
const RELEASED: &str = "2026-11-27";

/// A page as clap makes it, with examples as they were written.
pub(crate) fn start(man: Man) -> Vec<u8> {
    let source = format!("fleet {}", fleet_core::VERSION);
    // Without a date the other words of the title would each move one to the left.
    let man = man.date(RELEASED).source(source).manual("fleet");
    let mut text = Vec::new();
    man.render(&mut text).expect("writing to memory can't fail");
    set_examples(&text)
}

/// Sets lines that begin with a TAB apart: roff would fill them into the sentence before.
fn set_examples(page: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut in_example = false;
    for line in page.split_inclusive(|byte| *byte == b'\n') {
        let example = line.strip_prefix(b"\t");
        match (in_example, example.is_some()) {
            (false, true) => text.extend_from_slice(b".RS 4\n.nf\n"),
            (true, false) => text.extend_from_slice(b".fi\n.RE\n"),
            _ => {}
        }
        in_example = example.is_some();
        text.extend_from_slice(example.unwrap_or(line));
    }
    text
}

/// Adds a section of terms, each with its explanation.
pub(crate) fn terms<'a>(
    page: &mut Vec<u8>,
    title: &str,
    intro: &str,
    terms: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut section = Roff::new();
    section.control("SH", [title]);
    if !intro.is_empty() {
        section.text([roman(intro)]);
    }
    for (term, text) in terms {
        section.control("TP", []).text([bold(term)]).text([roman(text)]);
    }
    section.to_writer(page).expect("writing to memory can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_apart() {
        let page = "Do it:\n\tfleetctl a\n\tfleetctl b\n.PP\nDo that:\n\tfleetctl c\n.SH X\n";
        let expected = "Do it:\n.RS 4\n.nf\nfleetctl a\nfleetctl b\n.fi\n.RE\n.PP\nDo that:\n\
                        .RS 4\n.nf\nfleetctl c\n.fi\n.RE\n.SH X\n";
        assert_eq!(String::from_utf8(set_examples(page.as_bytes())).unwrap(), expected);
    }
}
