//! `fleetctl help`, and the help of all commands, in the layout of `fleetctl.md` 1.5.

use clap::{Arg, Command};

use crate::{
    flags::{base, global, is_global},
    render::layout,
};

pub(crate) fn describe(command: Command) -> Command {
    command.about("Help about any command").override_usage("help [command]")
}

/// Help of a command.
pub(crate) fn of(command: &Command) -> String {
    let about = text(command.get_about());
    let description = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    sections(&[
        ("NAME", format!("\t{} - {about}\n", command.get_name())),
        ("USAGE", format!("\tfleetctl {}\n", usage(command))),
        ("DESCRIPTION", indented(&description)),
        ("OPTIONS", options(command, |arg| !is_global(arg))),
        ("GLOBAL OPTIONS", options(command, is_global)),
    ])
}

/// Help of all `commands`.
pub(crate) fn overview(commands: &[Command]) -> String {
    let rows: Vec<Vec<String>> = commands
        .iter()
        .map(|command| vec![command.get_name().to_owned(), text(command.get_about())])
        .collect();
    sections(&[
        ("NAME", "\tfleetctl - fleetctl is a command-line interface to fleet, the cluster-wide CoreOS init system.\n".to_owned()),
        ("USAGE", "\tfleetctl [global options] <command> [command options] [arguments...]\n".to_owned()),
        ("VERSION", format!("\t{}\n", fleet_core::VERSION)),
        ("COMMANDS", indented(&layout(&rows))),
        ("DESCRIPTION", "\tfleetctl hands unit files to a cluster, tells it what to do with them, and shows what becomes of them.\n\tTo get help on a command: fleetctl help [command]\n".to_owned()),
        ("OPTIONS", options(&global(base("fleetctl")), is_global)),
    ])
}

/// The usage line of a command, without `fleetctl`.
pub(crate) fn usage(command: &Command) -> String {
    let line = command.clone().render_usage().to_string();
    line.trim_start_matches("Usage:").trim().to_owned()
}

/// The sections that aren't empty; an empty line ends each.
fn sections(all: &[(&str, String)]) -> String {
    all.iter()
        .filter(|(_, body)| !body.is_empty())
        .map(|(head, body)| format!("{head}:\n{body}\n"))
        .collect()
}

fn indented(body: &str) -> String {
    body.lines().map(|line| format!("\t{line}\n")).collect()
}

fn options(command: &Command, wanted: impl Fn(&Arg) -> bool) -> String {
    let mut flags: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && !arg.is_hide_set() && wanted(arg))
        .collect();
    flags.sort_by_key(|arg| arg.get_long());
    let entries: Vec<String> = flags.iter().map(|arg| entry(arg)).collect();
    let width = entries.iter().map(String::len).max().unwrap_or_default() + 3;
    let lines = entries.iter().zip(flags);
    lines
        .map(|(entry, arg)| format!("{entry:width$}{}{}\n", text(arg.get_help()), default(arg)))
        .collect()
}

fn entry(arg: &Arg) -> String {
    let short = arg.get_short().map_or_else(|| "      ".to_owned(), |c| format!("  -{c}, "));
    let kind = kind(arg).map(|kind| format!(" {kind}")).unwrap_or_default();
    format!("{short}--{}{kind}", arg.get_long().unwrap_or_default())
}

/// The word for the type of a flag's value; on-off flags have none.
fn kind(arg: &Arg) -> Option<&str> {
    let named = arg.get_value_names()?.first()?;
    (!arg.is_require_equals_set()).then_some(named.as_str())
}

/// What is to be said of the value a flag has where it isn't given.
pub(crate) fn default(arg: &Arg) -> String {
    let value = arg.get_default_values().first().map(|value| value.to_string_lossy());
    match (value, kind(arg)) {
        (Some(value), Some("string")) if !value.is_empty() => format!(" (default \"{value}\")"),
        (Some(value), Some("int" | "float")) if value != "0" => format!(" (default {value})"),
        (Some(value), None) if value == "true" => " (default true)".to_owned(),
        _ => String::new(),
    }
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}
