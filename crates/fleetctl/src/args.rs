//! What the words of a command line mean (`fleetctl.md` 1).
//!
//! First the command is looked for among the words, since it may be abbreviated and flags may
//! precede it; then clap reads all the other words with that command's flags and the global ones.

use std::ffi::OsString;

use clap::{ArgMatches, Command};

use crate::{commands::Verb, error::CliError, flags};

mod tree;
mod usage;
mod words;

pub use tree::command;

/// What is to be done.
pub(crate) enum Invocation {
    /// Print help: of a command, or of all.
    Help(Option<Verb>),
    /// Print help of all, and complain that there is no such topic.
    HelpOfUnknown(String),
    /// Print the version.
    Version,
    /// Run a command.
    Run(Verb, ArgMatches),
}

/// Reads the words that follow the program's name.
pub(crate) fn read(words: Vec<OsString>) -> Result<Invocation, CliError> {
    let words = usage::utf8(words)?;
    if let [first, ..] = &*words
        && ["-v", "--version"].contains(&&**first)
    {
        return Ok(Invocation::Version);
    }
    let split = match words::split(&words) {
        Err(_) if asks_version(&words) => return Ok(Invocation::Version),
        split => split?,
    };
    let Some((verb, rest)) = split else {
        let matches = parse(flags::global(flags::base("fleetctl")), &words, None)?;
        let version = matches.get_flag("version");
        return Ok(if version { Invocation::Version } else { Invocation::Help(None) });
    };
    let matches = parse(verb.command(), &rest, Some(verb))?;
    if matches.get_flag("help") {
        return Ok(Invocation::Help(Some(verb)));
    }
    if matches.get_flag("version") {
        return Ok(Invocation::Version);
    }
    Ok(match verb {
        Verb::Version => Invocation::Version,
        Verb::Help => topic(&matches),
        verb => Invocation::Run(verb, matches),
    })
}

/// Whether the version is asked for among words that call no command.
fn asks_version(words: &[String]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--version")
}

fn parse(command: Command, words: &[String], verb: Option<Verb>) -> Result<ArgMatches, CliError> {
    command.try_get_matches_from(words).map_err(|error| usage::explain(&error, words, verb))
}

fn topic(matches: &ArgMatches) -> Invocation {
    match flags::words(matches).first() {
        None => Invocation::Help(None),
        Some(word) => match words::find(word) {
            Some(verb) => Invocation::Help(Some(verb)),
            None => Invocation::HelpOfUnknown(word.clone()),
        },
    }
}

#[cfg(test)]
mod tests;
