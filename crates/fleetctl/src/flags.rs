//! The two kinds of flags (`fleetctl.md` 1.1), the flags that are common to several commands, and
//! what a command says of itself with them.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::legend::SHORTENED;

mod block;
mod values;

pub(crate) use block::{ATTEMPT, Block, attempts, attempts_block, block, blocking};
pub(crate) use values::{boolean, limit, seconds};

/// The name of what follows the flags.
const WORDS: &str = "words";

/// The default of `--endpoint`.
pub(crate) const ENDPOINT: &str = "unix:///var/run/fleet.sock";
/// The default of `--request-timeout`, in seconds.
pub(crate) const REQUEST_TIMEOUT: &str = "3";
/// The default of `--driver`.
pub(crate) const DRIVER: &str = "API";
/// The default of `--etcd-key-prefix`.
const ETCD_KEY_PREFIX: &str = "/_coreos.com/fleet/";
/// The default of `--known-hosts-file`.
const KNOWN_HOSTS: &str = "~/.fleetctl/known_hosts";
/// The default of `--ssh-timeout`, in seconds.
const SSH_TIMEOUT: &str = "10";
/// The default of `--ssh-username`.
const SSH_USERNAME: &str = "core";
/// What help says of flags that nobody needs any more.
pub(crate) const DEPRECATED: &str = "DEPRECATED: do not use this flag.";

/// What all our commands have in common for clap: we have our own help and our own version.
pub(crate) fn base(name: &'static str) -> Command {
    Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
}

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

/// Whether a flag's value, if any, is in the same word.
pub(crate) fn is_boolean(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set) && flag.is_require_equals_set()
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

/// A flag with a text that may be given several times.
pub(crate) fn texts(name: &'static str, help: &'static str) -> Arg {
    text(name, help).action(ArgAction::Append)
}

/// A flag with a port, without a default: what isn't given is left to `~/.ssh/config`.
pub(crate) fn ssh_port() -> Arg {
    text(
        "ssh-port",
        "Connect to hosts over SSH at this TCP port instead of 22 or that of ~/.ssh/config",
    )
    .value_name("int")
    .value_parser(values::port)
}

/// What [`ssh_port`] says.
pub(crate) fn given_ssh_port(matches: &ArgMatches) -> Option<u16> {
    matches.get_one("ssh-port").copied()
}

/// The text of a flag, unless it isn't given or empty.
pub(crate) fn given<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str).filter(|text| !text.is_empty())
}

/// The beginning of a machine's id that `--machine` gives, as lists show it or without the dots.
pub(crate) fn machine(matches: &ArgMatches) -> Option<&str> {
    given(matches, "machine").map(machine_id)
}

/// The beginning of a machine's id, which lists show with dots behind it.
pub(crate) fn machine_id(word: &str) -> &str {
    word.strip_suffix(SHORTENED).unwrap_or(word)
}

/// Everything that isn't a flag.
pub(crate) fn positionals() -> Arg {
    Arg::new(WORDS).num_args(0..).action(ArgAction::Append)
}

/// Whether `arg` is [`positionals`].
pub(crate) fn is_operands(arg: &Arg) -> bool {
    arg.get_id() == WORDS
}

/// The words that aren't flags.
pub(crate) fn words(matches: &ArgMatches) -> Vec<String> {
    matches.get_many(WORDS).into_iter().flatten().cloned().collect()
}

/// Adds the flags that every command takes.
pub(crate) fn global(command: Command) -> Command {
    command.args(reach()).args(ssh()).args(deprecated()).args([
        flag("debug", "Print debug output to stderr"),
        flag("version", "Print the version and exit"),
        short_flag("help", 'h', "Print help and exit"),
    ])
}

/// Where the cluster is.
fn reach() -> [Arg; 7] {
    [
        text("endpoint", "Location of the fleet API: unix:///PATH, http://HOST:PORT or https://HOST:PORT; comma-separated etcd URLs with --driver=etcd")
            .default_value(ENDPOINT),
        text("driver", "What the endpoint speaks: API, or etcd to work on the registry without fleetd")
            .default_value(DRIVER),
        text("request-timeout", "Time in seconds a request may take, 0 for no limit")
            .value_name("float")
            .default_value(REQUEST_TIMEOUT)
            .value_parser(values::seconds),
        text("etcd-key-prefix", "Where the registry is in etcd, with --driver=etcd")
            .default_value(ETCD_KEY_PREFIX),
        text("key-file", "Key of the client certificate, a PEM file"),
        text("cert-file", "Client certificate to show to the endpoint, a PEM file"),
        text("ca-file", "Authorities that the endpoint is verified against instead of the system's, a PEM file"),
    ]
}

/// How SSH is spoken.
fn ssh() -> [Arg; 6] {
    [
        text("tunnel", "Reach the cluster through this host, HOST[:PORT], over SSH"),
        text("known-hosts-file", "Where the keys of SSH hosts are kept").default_value(KNOWN_HOSTS),
        flag("strict-host-key-checking", "Verify the keys of SSH hosts").default_value("true"),
        text(
            "ssh-timeout",
            "Time in seconds that connecting to each SSH host may take, more than 0",
        )
        .value_name("float")
        .default_value(SSH_TIMEOUT)
        .value_parser(values::limit),
        text("ssh-username", "Name to log in with over SSH").default_value(SSH_USERNAME),
        texts(
            "ssh-identity",
            "Private key to log in with over SSH after the agent's keys; may be given several times",
        ),
    ]
}

fn deprecated() -> [Arg; 4] {
    [
        flag("experimental-api", DEPRECATED).default_value("true"),
        text("etcd-keyfile", DEPRECATED),
        text("etcd-certfile", DEPRECATED),
        text("etcd-cafile", DEPRECATED),
    ]
}

/// The names of the flags that every command takes.
const GLOBAL: [&str; 20] = [
    "ca-file",
    "cert-file",
    "debug",
    "driver",
    "endpoint",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-key-prefix",
    "etcd-keyfile",
    "experimental-api",
    "help",
    "key-file",
    "known-hosts-file",
    "request-timeout",
    "ssh-identity",
    "ssh-timeout",
    "ssh-username",
    "strict-host-key-checking",
    "tunnel",
    "version",
];

/// Whether every command takes `arg`.
pub(crate) fn is_global(arg: &Arg) -> bool {
    GLOBAL.contains(&arg.get_id().as_str())
}

/// The flags of commands that bring units in.
pub(crate) fn creating() -> [Arg; 3] {
    [
        flag("no-warn", "Do not warn of what systemd will not run, or ignore, in the local files"),
        flag("replace", "Replace units in the cluster that differ from the local files"),
        flag("sign", DEPRECATED),
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
