//! Finding the command among the words (`fleetctl.md` 1.1, 1.2).

use clap::Arg;
use strsim::levenshtein;

use super::usage;
use crate::{commands::Verb, error::CliError, flags::is_boolean};

mod ssh;

/// How far a word may be from the command that is suggested instead.
const NEAR: usize = 2;

/// Splits the words into the command and all others. `None`: there are only flags.
pub(crate) fn split(words: &[String]) -> Result<Option<(Verb, Vec<String>)>, CliError> {
    let Some(place) = place(words) else { return Ok(None) };
    let word = &words[place];
    let Some(verb) = find(word) else {
        return Err(usage::unknown_command(word, &suggestions(word)));
    };
    let (before, behind) = (&words[..place], &words[place + 1..]);
    Ok(Some(match verb {
        Verb::Ssh => (verb, ssh::split(before, behind)),
        verb => (verb, before.iter().chain(behind).cloned().collect()),
    }))
}

/// The command that `word` calls: by its name, or by the beginning of the name of only one.
pub(crate) fn find(word: &str) -> Option<Verb> {
    let mut begun: Vec<_> =
        Verb::ALL.into_iter().filter(|verb| verb.name().starts_with(word)).collect();
    if let Some(exact) = begun.iter().find(|verb| verb.name() == word) {
        return Some(*exact);
    }
    match (begun.pop(), begun.pop()) {
        (Some(only), None) if !word.is_empty() => Some(only),
        _ => None,
    }
}

/// Where the command is: the first word that is neither a flag nor the value of one.
fn place(words: &[String]) -> Option<usize> {
    let flags: Vec<Arg> = Verb::ALL
        .iter()
        .flat_map(|verb| verb.command().get_arguments().cloned().collect::<Vec<_>>())
        .collect();
    let mut place = 0;
    while let Some(word) = words.get(place) {
        match &**word {
            "--" => return (place + 1 < words.len()).then_some(place + 1),
            "-" => return Some(place),
            flag if flag.starts_with('-') => place += if takes_next(flag, &flags) { 2 } else { 1 },
            _ => return Some(place),
        }
    }
    None
}

/// Whether `word` is one of `flags` that has its value in the next word.
fn takes_next(word: &str, flags: &[Arg]) -> bool {
    let name = word.strip_prefix("--");
    flags
        .iter()
        .any(|flag| flag.get_long().is_some() && flag.get_long() == name && !is_boolean(flag))
}

/// Commands that look like `word`, in alphabetical order.
fn suggestions(word: &str) -> Vec<&'static str> {
    let word = word.to_lowercase();
    let names = Verb::ALL.into_iter().filter(|verb| verb.is_suggested()).map(Verb::name);
    names.filter(|name| name.starts_with(&word) || levenshtein(name, &word) <= NEAR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_one_name_is_enough() {
        for (word, name) in [
            ("start", Some("start")),
            ("star", Some("start")),
            ("stat", Some("status")),
            ("sta", None),
            ("sto", Some("stop")),
            ("sub", Some("submit")),
            ("ss", Some("ssh")),
            ("list-m", Some("list-machines")),
            ("list-unit-", Some("list-unit-files")),
            ("list-units", Some("list-units")),
            ("un", Some("unload")),
            ("d", Some("destroy")),
            ("c", Some("cat")),
            ("f", Some("fd-forward")),
            ("h", Some("help")),
            ("j", Some("journal")),
            ("veri", Some("verify")),
            ("vers", Some("version")),
            ("ver", None),
            ("s", None),
            ("st", None),
            ("list-", None),
            ("l", None),
            ("Start", None),
            ("starts", None),
            ("", None),
        ] {
            assert_eq!(find(word).map(Verb::name), name, "{word}");
        }
    }

    #[test]
    fn the_command_is_found_behind_flags_and_their_values() {
        for (words, expected) in [
            ("list-units", Some("list-units|")),
            ("--fields ip list-machines", Some("list-machines|--fields ip")),
            ("--fields=ip list-machines", Some("list-machines|--fields=ip")),
            ("--no-block stop x", Some("stop|--no-block x")),
            ("--endpoint http://h list-m --full", Some("list-machines|--endpoint http://h --full")),
            ("-l list-units", Some("list-units|-l")),
            ("--bogus start x", Some("start|--bogus x")),
            ("--debug", None),
            ("--endpoint start", None),
            ("", None),
            ("--", None),
            ("-- stop --x", Some("stop|-- --x")),
            ("stop -- --x", Some("stop|-- --x")),
        ] {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let found = split(&words).unwrap();
            let found = found.map(|(verb, rest)| format!("{}|{}", verb.name(), rest.join(" ")));
            assert_eq!(found.as_deref(), expected, "{words:?}");
        }
    }

    #[test]
    fn suggestions_begin_alike_or_are_near() {
        for (word, expected) in [
            ("list-", &["list-machines", "list-unit-files", "list-units"][..]),
            ("LIST-U", &["list-unit-files", "list-units"]),
            ("strt", &["start", "stop"]),
            ("st", &["cat", "ssh", "start", "status", "stop"]),
            ("stpo", &["stop"]),
            ("hlp", &[]),
            ("frobnicate", &[]),
        ] {
            let found: Vec<_> = suggestions(word);
            assert_eq!(found, expected, "{word}");
        }
    }
}
