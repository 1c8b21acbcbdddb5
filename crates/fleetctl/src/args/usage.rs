//! Words that mean nothing, put as the specification puts it (`fleetctl.md` 1.2, 1.3).

use std::{error::Error, ffi::OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{
    commands::{Verb, help},
    error::CliError,
};

/// The words as text.
pub(crate) fn utf8(words: Vec<OsString>) -> Result<Vec<String>, CliError> {
    let read = |word: OsString| {
        word.into_string().map_err(|word| wrong(format!("argument is not UTF-8: {word:?}"), None))
    };
    words.into_iter().map(read).collect()
}

/// There is no such command.
pub(crate) fn unknown_command(word: &str, suggestions: &[&str]) -> CliError {
    let mut message = format!("unknown command \"{word}\" for \"fleetctl\"");
    if !suggestions.is_empty() {
        message.push_str("\n\nDid you mean this?");
        for name in suggestions {
            message.push_str(&format!("\n\t{name}"));
        }
    }
    wrong(message, None)
}

/// Puts an error of clap's into words; `words` is what it read.
pub(crate) fn explain(error: &clap::Error, words: &[String], verb: Option<Verb>) -> CliError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let flag = argument.split_whitespace().next().unwrap_or_default();
    let flag = flag.split_once("[=").map_or(flag, |(flag, _)| flag);
    let value = context(ContextKind::InvalidValue);
    let message = match error.kind() {
        ErrorKind::UnknownArgument => unknown(flag, words),
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {flag}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            format!("invalid argument \"{value}\" for {flag}={value}: {why}")
        }
        _ => error.kind().to_string(),
    };
    wrong(message, verb)
}

fn unknown(flag: &str, words: &[String]) -> String {
    // A flag without a name: clap has cut off what followed.
    let nameless = words.iter().find(|word| {
        let dashes = flag.starts_with("---") && word.split('=').next() == Some(flag);
        dashes || (flag == "--" && word.starts_with("--="))
    });
    if nameless.is_some() || flag.starts_with("---") {
        return format!("bad flag syntax: {}", nameless.map_or(flag, |word| word));
    }
    if flag.starts_with("--") {
        return format!("unknown flag: {flag}");
    }
    let letter = flag.chars().nth(1).unwrap_or('-');
    let holds =
        |word: &&String| word.starts_with('-') && !word.starts_with("--") && word.contains(letter);
    let word = words.iter().take_while(|word| *word != "--").find(holds);
    format!("unknown shorthand flag: '{letter}' in {}", word.map_or(flag, |word| word))
}

/// The error, with the way to the help that would have prevented it.
pub(crate) fn wrong(message: String, verb: Option<Verb>) -> CliError {
    let hint = match verb {
        None => "Run 'fleetctl --help' for usage.".to_owned(),
        Some(verb) => format!(
            "Usage: fleetctl {}\nRun 'fleetctl {} --help' for usage.",
            help::usage(&verb.command()),
            verb.name()
        ),
    };
    CliError::Usage { message, hint }
}
