//! Telling fleetctl's flags from the words of a command that is for another machine (`ssh.md` 6.1).

use clap::Arg;

use super::takes_next;
use crate::commands::Verb;

/// Puts the words of `fleetctl ssh`, those `before` that word and those `behind` it, into an order
/// that keeps them apart: flags, `--`, operands. The operands are the machine or unit, unless a
/// flag names that, and the words of the command. The first `--` of a command line is nobody's;
/// up to a second one all words of the command are dropped.
///
/// Flags may stand before the machine or unit and directly after it. The first other word, or
/// `--`, begins the command, and nothing in it is a flag.
pub(super) fn split(before: &[String], behind: &[String]) -> Vec<String> {
    let known: Vec<Arg> = Verb::Ssh.command().get_arguments().cloned().collect();
    let mut line = Line { dashes: false, flags: before.to_vec(), rest: behind };
    if line.flags.last().is_some_and(|last| last == "--") {
        line.flags.pop();
        line.dashes = true;
    }
    line.take_flags(&known);
    let mut operands = Vec::new();
    if !names_target(&line.flags) {
        line.take_dashes();
        operands.extend(line.take());
        line.take_flags(&known);
    }
    let mut command = line.rest.to_vec();
    if names_target(&line.flags) {
        command.splice(..0, operands.drain(..));
    }
    if !line.dashes
        && let Some(place) = dashes(&command)
    {
        command.remove(place);
    }
    if let Some(place) = dashes(&command) {
        command.drain(..=place);
    }
    let mut words = line.flags;
    words.push("--".to_owned());
    words.extend(operands);
    words.extend(command);
    words
}

/// A command line on its way to being understood.
struct Line<'a> {
    /// Whether there was a `--`: then there are no more flags.
    dashes: bool,
    flags: Vec<String>,
    rest: &'a [String],
}

impl Line<'_> {
    fn take(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first.clone())
    }

    fn take_dashes(&mut self) {
        if !self.dashes && self.rest.first().is_some_and(|word| word == "--") {
            self.take();
            self.dashes = true;
        }
    }

    /// Takes the flags that come next, each with its value.
    fn take_flags(&mut self, known: &[Arg]) {
        let is_flag = |word: &String| word.starts_with('-') && !matches!(&**word, "-" | "--");
        while !self.dashes && self.rest.first().is_some_and(is_flag) {
            let flag = self.take();
            let value = flag.as_ref().is_some_and(|flag| takes_next(flag, known));
            self.flags.extend(flag);
            if value {
                let value = self.take();
                self.flags.extend(value);
            }
        }
    }
}

/// Whether a flag says where to go, so that all operands are the command.
fn names_target(flags: &[String]) -> bool {
    let next = flags.iter().skip(1).map(Some).chain([None]);
    flags.iter().zip(next).any(|(flag, next)| {
        let value = ["--machine", "--unit"].iter().find_map(|name| flag.strip_prefix(name));
        match value {
            Some("") => next.is_some_and(|value| !value.is_empty()),
            Some(rest) => rest.strip_prefix('=').is_some_and(|value| !value.is_empty()),
            None => false,
        }
    })
}

fn dashes(words: &[String]) -> Option<usize> {
    words.iter().position(|word| word == "--")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a shell, without its quotes: `_` is a blank, `''` an empty word.
    fn words(text: &str) -> Vec<String> {
        let word = |word: &str| if word == "''" { String::new() } else { word.replace('_', " ") };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn flags_end_where_the_command_begins() {
        for (behind, expected) in [
            ("", "--"),
            ("j1", "-- j1"),
            ("j1 ls -ld /", "-- j1 ls -ld /"),
            ("j1 -- ls -ld /", "-- j1 ls -ld /"),
            ("-A j1 ls -A", "-A -- j1 ls -A"),
            ("j1 -A ls", "-A -- j1 ls"),
            ("j1 -A -- ls", "-A -- j1 ls"),
            ("j1 --ssh-port 2222 ls", "--ssh-port 2222 -- j1 ls"),
            ("--ssh-port=2222 j1 ls --ssh-port=1", "--ssh-port=2222 -- j1 ls --ssh-port=1"),
            ("j1 ls --ssh-port 1", "-- j1 ls --ssh-port 1"),
            ("j1 --help", "--help -- j1"),
            ("j1 ls --help", "-- j1 ls --help"),
            ("j1 -", "-- j1 -"),
            ("j1 -l", "-l -- j1"),
            ("-- j1 -l", "-- j1 -l"),
            ("-- -j1 ls", "-- -j1 ls"),
        ] {
            assert_eq!(split(&[], &words(behind)), words(expected), "{behind}");
        }
    }

    #[test]
    fn with_a_target_by_flag_all_words_are_the_command() {
        for (behind, expected) in [
            ("--machine m ls -l", "--machine m -- ls -l"),
            ("--machine=m -- ls -l", "--machine=m -- ls -l"),
            ("--unit u -A ls -A", "--unit u -A -- ls -A"),
            ("--unit u", "--unit u --"),
            ("ls --unit u -l", "--unit u -l -- ls"),
            ("--machine= m ls", "--machine= -- m ls"),
            ("--machine '' m -A ls", "--machine '' -A -- m ls"),
            ("--machine m a -- b -- c", "--machine m -- c"),
        ] {
            assert_eq!(split(&[], &words(behind)), words(expected), "{behind}");
        }
    }

    #[test]
    fn the_first_dashes_vanish_and_second_ones_drop_what_is_before_them() {
        for (behind, expected) in [
            ("j1 -- -- ls", "-- j1 ls"),
            ("j1 echo a -- b", "-- j1 echo a b"),
            ("j1 -- foo -- bar", "-- j1 bar"),
            ("j1 foo -- bar -- baz", "-- j1 baz"),
            ("-- j1 -- ls", "-- j1 ls"),
            ("-- j1 a -- ls", "-- j1 ls"),
            ("--machine m -- a -- b", "--machine m -- b"),
            ("--machine m a -- b", "--machine m -- a b"),
            ("j1 --", "-- j1"),
            ("--", "--"),
        ] {
            assert_eq!(split(&[], &words(behind)), words(expected), "{behind}");
        }
    }

    #[test]
    fn what_stands_before_the_word_ssh_are_flags() {
        for (before, behind, expected) in [
            ("--tunnel h", "j1 ls -l", "--tunnel h -- j1 ls -l"),
            ("--machine m", "ls -l", "--machine m -- ls -l"),
            ("-A", "-- j1 ls", "-A -- j1 ls"),
            ("--", "j1 -A", "-- j1 -A"),
        ] {
            let found = split(&words(before), &words(behind));
            assert_eq!(found, words(expected), "{before} ssh {behind}");
        }
    }

    #[test]
    fn words_stay_as_they_are() {
        for word in ["", "a__b", "c'd", "$x", "--", "-n"] {
            let behind = words(&format!("j1 x {}", if word.is_empty() { "''" } else { word }));
            let found = split(&[], &behind);
            let kept = if word == "--" { vec![] } else { vec![behind[2].clone()] };
            assert_eq!(found[3..], kept, "{word}");
        }
    }
}
