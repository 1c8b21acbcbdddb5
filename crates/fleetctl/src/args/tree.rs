//! The whole command line as one clap command: for manual pages and completions. What fleetctl
//! parses with is made command by command ([`Verb::command`]).

use clap::{Arg, ArgAction, Command, ValueHint};

use crate::{
    commands::{Verb, help},
    flags::{self, base, is_boolean, is_global, is_operands},
};

/// Everything that fleetctl takes: the global flags, and a subcommand for each command with the
/// flags of its own.
#[must_use]
pub fn command() -> Command {
    let root = flags::global(base("fleetctl"))
        .about("fleetctl is a command-line interface to fleet, the cluster-wide CoreOS init system")
        .version(fleet_core::VERSION.trim_start_matches('v'))
        .disable_help_subcommand(true)
        .subcommand_value_name("command")
        .subcommands(Verb::ALL.map(subcommand));
    root.mut_args(plain)
}

fn subcommand(verb: Verb) -> Command {
    let full = verb.command();
    // A page has a heading anyway, and a listing has room for a line: both want something.
    let about = full.get_about().map_or_else(|| "Deprecated".to_owned(), ToString::to_string);
    let description = full.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    let usage = help::usage(&full);
    let operands = usage.split(' ').skip(1).find_map(operand).map(|name| {
        let hint = if verb.reads_files() { ValueHint::FilePath } else { ValueHint::Other };
        flags::positionals().value_name(name).value_hint(hint)
    });
    let own = |arg: &&Arg| !is_global(arg) && !is_operands(arg);
    base(verb.name())
        .about(about)
        .long_about(description)
        .override_usage(format!("fleetctl {usage}"))
        .hide(!verb.is_suggested())
        .args(full.get_arguments().filter(own).cloned().map(plain))
        .args(operands)
}

/// The name of what a word of a usage line stands for, if it isn't a flag.
fn operand(word: &str) -> Option<String> {
    let name = word.trim_matches(['[', ']', '{', '}', '<', '>', '.']);
    (!name.starts_with('-')).then(|| name.to_owned())
}

/// A flag that may have a value after `=` is shown as one that has none.
fn plain(arg: Arg) -> Arg {
    if !is_boolean(&arg) {
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
        flag = flag.help(format!("{help}{}", help::default(&arg)));
    }
    flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_every_command_with_its_flags_and_operands() {
        let tree = command();
        tree.clone().debug_assert();
        for verb in Verb::ALL {
            let sub = tree.find_subcommand(verb.name()).unwrap();
            let flags = |command: &Command| -> Vec<String> {
                let own = command.get_arguments().filter(|arg| !is_global(arg));
                own.filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
            };
            assert_eq!(flags(sub), flags(&verb.command()), "{}", verb.name());
        }
        let operand = |name| {
            let sub = tree.find_subcommand(name).unwrap();
            let found = sub.get_positionals().next();
            found.and_then(|arg| Some(arg.get_value_names()?.first()?.to_string()))
        };
        for (name, expected) in [
            ("start", Some("UNIT")),
            ("cat", Some("UNIT")),
            ("fd-forward", Some("SOCKET")),
            ("journal", Some("unit")),
            ("ssh", Some("MACHINE|UNIT")),
            ("help", Some("command")),
            ("list-units", None),
            ("version", None),
        ] {
            assert_eq!(operand(name).as_deref(), expected, "{name}");
        }
    }
}
