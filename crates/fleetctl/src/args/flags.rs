//! The two kinds of flags (`fleetctl.md` 1.1), and the flags that are common to several commands.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::values;
use crate::wait::Block;

/// The name of what follows the flags.
const WORDS: &str = "words";

/// The default of `--endpoint`.
pub(crate) const ENDPOINT: &str = "unix:///var/run/fleet.sock";
/// The default of `--request-timeout`, in seconds.
pub(crate) const REQUEST_TIMEOUT: &str = "3";

/// A flag that is on or off: `--name`, or `--name=VALUE`.
pub(crate) fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_parser(values::boolean)
        .action(ArgAction::Set)
}

/// A flag with a letter, which is also taken as a long name.
pub(crate) fn short_flag(name: &'static str, short: char, help: &'static str) -> Arg {
    flag(name, help).short(short).alias(short.to_string())
}

/// A flag with a text: `--name=VALUE` or `--name VALUE`.
pub(crate) fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .value_name("string")
        .allow_hyphen_values(true)
        .action(ArgAction::Set)
}

/// A flag with an integer.
pub(crate) fn int(name: &'static str, help: &'static str) -> Arg {
    text(name, help).value_name("int").default_value("0").value_parser(values::integer)
}

/// Everything that isn't a flag.
pub(crate) fn positionals() -> Arg {
    Arg::new(WORDS).num_args(0..).action(ArgAction::Append)
}

/// The words that aren't flags.
pub(crate) fn words(matches: &ArgMatches) -> Vec<String> {
    matches.get_many(WORDS).into_iter().flatten().cloned().collect()
}

/// Adds the flags that every command takes.
pub(crate) fn global(command: Command) -> Command {
    command.args([
        text("endpoint", "Location of the fleet API: unix:///PATH or http://HOST:PORT")
            .default_value(ENDPOINT),
        text("request-timeout", "Time in seconds a request to the API may take, 0 for no limit")
            .value_name("float")
            .default_value(REQUEST_TIMEOUT)
            .value_parser(values::seconds),
        flag("debug", "Print debug output to stderr"),
        flag("version", "Print the version and exit"),
        short_flag("help", 'h', "Print help and exit"),
    ])
}

/// The names of the flags that every command takes.
const GLOBAL: [&str; 5] = ["debug", "endpoint", "help", "request-timeout", "version"];

/// Whether every command takes `arg`.
pub(crate) fn is_global(arg: &Arg) -> bool {
    GLOBAL.contains(&arg.get_id().as_str())
}

/// The flags of commands that wait.
pub(crate) fn blocking() -> [Arg; 2] {
    [
        int(
            "block-attempts",
            "Wait until the units are there, in at most that many attempts of 2 seconds; \
             0 to wait as long as it takes",
        ),
        flag("no-block", "Do not wait until the units are there"),
    ]
}

/// What [`blocking`] says.
pub(crate) fn block(matches: &ArgMatches) -> Block {
    let attempts = matches.get_one("block-attempts").copied().unwrap_or_default();
    Block::new(matches.get_flag("no-block"), attempts)
}

/// The flags of commands that bring units in.
pub(crate) fn creating() -> [Arg; 2] {
    [
        flag("replace", "Replace units in the cluster that differ from the local files"),
        flag("sign", "DEPRECATED: do not use this flag."),
    ]
}

/// The flags of lists.
pub(crate) fn listing(keys: &'static str, default: &'static str) -> [Arg; 3] {
    [
        text("fields", keys).default_value(default),
        short_flag("full", 'l', "Do not shorten machine ids and hashes"),
        flag("no-legend", "Do not print the header"),
    ]
}
