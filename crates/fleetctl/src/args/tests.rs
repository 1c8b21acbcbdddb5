//! Which words are refused, and in which words.

use super::*;
use crate::commands::help;

fn error(words: &str) -> String {
    let words = words.split_whitespace().map(OsString::from).collect();
    match read(words) {
        Err(CliError::Usage { message, .. }) => message,
        Err(other) => format!("not a usage error: {other}"),
        Ok(_) => "accepted".to_owned(),
    }
}

#[test]
fn errors_of_usage_are_worded_as_scripts_know_them() {
    for (words, message) in [
        ("frobnicate", r#"unknown command "frobnicate" for "fleetctl""#),
        ("start --bogus x", "unknown flag: --bogus"),
        ("start --bogus=5 x", "unknown flag: --bogus"),
        ("--bogus start x", "unknown flag: --bogus"),
        ("--bogus", "unknown flag: --bogus"),
        ("submit --no-block x", "unknown flag: --no-block"),
        ("start -x y", "unknown shorthand flag: 'x' in -x"),
        ("list-units -lx", "unknown shorthand flag: 'x' in -lx"),
        ("start -xyz y", "unknown shorthand flag: 'x' in -xyz"),
        ("list-units -full", "unknown shorthand flag: 'f' in -full"),
        ("list-units -v", "unknown shorthand flag: 'v' in -v"),
        ("list-units --fields", "flag needs an argument: --fields"),
        ("list-units --endpoint", "flag needs an argument: --endpoint"),
        ("start ---x", "bad flag syntax: ---x"),
        ("list-units ---fields=ip", "bad flag syntax: ---fields=ip"),
        ("start --=x", "bad flag syntax: --=x"),
    ] {
        assert_eq!(error(words), message, "{words}");
    }
    for (words, message) in [
        ("start --block-attempts=abc x", r#"invalid argument "abc" for --block-attempts=abc: "#),
        ("start --block-attempts= x", r#"invalid argument "" for --block-attempts=: "#),
        ("start --no-block=yes x", r#"invalid argument "yes" for --no-block=yes: "#),
        ("list-units --full=maybe", r#"invalid argument "maybe" for --full=maybe: "#),
        ("list-units --request-timeout 5s", r#"invalid argument "5s" for --request-timeout=5s: "#),
    ] {
        let found = error(words);
        assert!(found.starts_with(message) && found.len() > message.len(), "{words}: {found}");
    }
}

fn accepted(words: &str) -> (Verb, ArgMatches) {
    let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
    match read(words.clone()) {
        Ok(Invocation::Run(verb, matches)) => (verb, matches),
        Ok(_) => panic!("{words:?} is not run"),
        Err(error) => panic!("{words:?}: {error}"),
    }
}

#[test]
fn flags_stand_anywhere_and_the_last_one_wins() {
    let (verb, matches) =
        accepted("--no-block start a --block-attempts 0x0a b --replace=T -- --c -");
    assert_eq!(verb, Verb::Start);
    assert_eq!(flags::words(&matches), ["a", "b", "--c", "-"]);
    assert_eq!(matches.get_one::<i64>("block-attempts"), Some(&10));
    assert!(matches.get_flag("no-block") && matches.get_flag("replace"));

    let (_, matches) = accepted("list-units --fields a --fields=b --full --full=false --l");
    assert_eq!(matches.get_one::<String>("fields").unwrap(), "b");
    assert!(matches.get_flag("full"));

    let (_, matches) = accepted("stop --block-attempts -1 x - --no-block false");
    assert_eq!(matches.get_one::<i64>("block-attempts"), Some(&-1));
    assert_eq!(flags::words(&matches), ["x", "-", "false"]);
    assert!(matches.get_flag("no-block"));

    let (_, matches) = accepted("list-units --fields= -l");
    assert_eq!(matches.get_one::<String>("fields").unwrap(), "");
    assert!(matches.get_flag("full"));
}

#[test]
fn every_command_is_consistent() {
    for verb in Verb::ALL {
        verb.command().debug_assert();
    }
}

/// The lines of `fleetctl.md` 1.5, with the flags that those lack.
#[test]
fn usage_lines_are_the_ones_people_know() {
    for (name, expected) in [
        ("cat", "cat UNIT"),
        ("destroy", "destroy [--no-block|--block-attempts=N] UNIT..."),
        ("fd-forward", "fd-forward SOCKET"),
        ("help", "help [command]"),
        (
            "journal",
            "journal [--lines=N] [--ssh-port=N] [-f|--follow] [--output=STRING] [--machine=ID] [--sudo] <unit>",
        ),
        ("list-machines", "list-machines [--no-legend] [-l|--full] [--fields]"),
        ("list-unit-files", "list-unit-files [--no-legend] [-l|--full] [--fields]"),
        ("list-units", "list-units [--no-legend] [-l|--full] [--fields]"),
        ("load", "load [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT..."),
        ("restart", "restart [--block-attempts=N] UNIT..."),
        ("ssh", "ssh [-A|--forward-agent] [--ssh-port=N] [--machine|--unit] {MACHINE|UNIT}"),
        ("start", "start [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT..."),
        ("status", "status [--ssh-port=N] [--machine=ID] UNIT..."),
        ("stop", "stop [--no-block|--block-attempts=N] UNIT..."),
        ("submit", "submit [--replace] [--no-warn] UNIT..."),
        ("unload", "unload [--no-block|--block-attempts=N] UNIT..."),
        ("verify", "verify UNIT"),
        ("version", "version"),
    ] {
        let text = help::of(&words::find(name).unwrap().command());
        let line = text.split("USAGE:\n\tfleetctl ").nth(1).and_then(|rest| rest.lines().next());
        assert_eq!(line, Some(expected), "{name}");
    }
}

#[test]
fn usage_lines_name_every_flag_that_does_something() {
    for verb in Verb::ALL {
        let (command, usage) = (verb.command(), help::usage(&verb.command()));
        for arg in command.get_arguments().filter(|arg| !flags::is_global(arg)) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let Some(long) = arg.get_long().filter(|_| !is_without_effect(&help)) else { continue };
            assert!(usage.contains(&format!("--{long}")), "{usage}: --{long}");
        }
    }
}

/// Whether the help of a flag says that it is only taken for the sake of scripts.
fn is_without_effect(help: &str) -> bool {
    help == flags::DEPRECATED || help.contains("gnored")
}

#[test]
fn help_and_version_are_found_wherever_they_stand() {
    let read = |words: &str| read(words.split_whitespace().map(OsString::from).collect());
    for words in [
        "-v",
        "--version",
        "version",
        "list-units --version",
        "--debug --version",
        "--version nope",
        "nope --version",
    ] {
        assert!(matches!(read(words), Ok(Invocation::Version)), "{words}");
    }
    for words in ["--version=true x", "nope -- --version"] {
        assert!(read(words).is_err(), "{words}");
    }
    for words in ["", "-h", "--help", "--h", "help", "--debug"] {
        assert!(matches!(read(words), Ok(Invocation::Help(None))), "{words}");
    }
    for words in
        ["start -h x", "-h start", "start --help", "--h star", "help start more", "help star"]
    {
        assert!(matches!(read(words), Ok(Invocation::Help(Some(Verb::Start)))), "{words}");
    }
    assert!(matches!(read("help nope"), Ok(Invocation::HelpOfUnknown(word)) if word == "nope"));
    assert!(matches!(read("list-units --version=false"), Ok(Invocation::Run(..))));
}
