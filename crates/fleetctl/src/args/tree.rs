//! The whole command line as one clap command: for manual pages and completions. What fleetctl
//! parses with is made command by command ([`Verb::command`](super::Verb::command)).

use clap::{Arg, ArgAction, Command};

use super::{
    Verb,
    flags::{self, is_global},
    words,
};

/// Everything that fleetctl takes: the global flags, and a subcommand for each command with the
/// flags of its own.
#[must_use]
pub fn command() -> Command {
    let root = flags::global(words::base("fleetctl"))
        .about("fleetctl is a command-line interface to fleet, the cluster-wide CoreOS init system")
        .version(fleet_core::VERSION)
        .disable_help_subcommand(true)
        .subcommands(Verb::ALL.map(subcommand));
    root.mut_args(plain)
}

fn subcommand(verb: Verb) -> Command {
    let full = verb.command();
    let mut command = words::base(verb.name()).hide(!verb.is_suggested());
    if let Some(about) = full.get_about() {
        command = command.about(about.clone());
    }
    if let Some(description) = full.get_long_about() {
        command = command.long_about(description.clone());
    }
    command.args(full.get_arguments().filter(|arg| !is_global(arg)).cloned().map(plain))
}

/// A flag that may have a value after `=` is shown as one that has none.
fn plain(arg: Arg) -> Arg {
    if !words::is_boolean(&arg) {
        return arg;
    }
    let mut flag = Arg::new(arg.get_id().clone()).action(ArgAction::SetTrue);
    if let Some(long) = arg.get_long() {
        flag = flag.long(long.to_owned());
    }
    if let Some(short) = arg.get_short() {
        flag = flag.short(short);
    }
    if let Some(help) = arg.get_help() {
        flag = flag.help(help.clone());
    }
    flag
}
