//! What manual pages have beyond what clap knows of a command.

use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

/// A page as clap makes it.
pub(crate) fn start(man: Man) -> Vec<u8> {
    let man = man.source(format!("fleet {}", fleet_core::VERSION)).manual("fleet");
    let mut text = Vec::new();
    man.render(&mut text).expect("writing to memory can't fail");
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
