//! A program with its arguments, to be run here or by the shell of another machine (`ssh.md` 7.2).

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The program; a word that no shell changes.
    pub(crate) name: &'static str,
    /// Its arguments, as it gets them.
    pub(crate) arguments: Vec<String>,
}

impl Program {
    /// The same, systemctl or journalctl, asking the systemd of this user.
    pub(crate) fn of_user(&self) -> Self {
        let user = std::iter::once("--user".to_owned());
        Self { name: self.name, arguments: user.chain(self.arguments.iter().cloned()).collect() }
    }

    /// The same as a command for a shell: the name bare, each argument quoted. Plain arguments are
    /// in double quotes, as ever, for filters on the host know these commands by the letter; all
    /// others in single quotes, in which a shell expands nothing.
    pub(crate) fn for_shell(&self) -> String {
        let mut command = self.name.to_owned();
        for argument in &self.arguments {
            command.push(' ');
            command.push_str(&quoted(argument));
        }
        command
    }
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if argument.chars().all(plain) {
        return format!("\"{argument}\"");
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn program(name: &'static str, arguments: &[&str]) -> Program {
        Program { name, arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn plain_arguments_are_quoted_as_ever() {
        for (name, arguments, command) in [
            (
                "systemctl",
                &["status", "-l", "--", "j1.service"][..],
                r#"systemctl "status" "-l" "--" "j1.service""#,
            ),
            (
                "journalctl",
                &["--unit", "j1.service", "--no-pager", "-n", "10", "--output", "short"],
                r#"journalctl "--unit" "j1.service" "--no-pager" "-n" "10" "--output" "short""#,
            ),
            (
                "sudo",
                &["journalctl", "--unit", "a@b%c+d=e:f,g/h_.service"],
                r#"sudo "journalctl" "--unit" "a@b%c+d=e:f,g/h_.service""#,
            ),
            ("systemctl", &[""], r#"systemctl """#),
        ] {
            assert_eq!(program(name, arguments).for_shell(), command);
        }
    }

    #[test]
    fn what_a_shell_would_change_is_in_single_quotes() {
        for (argument, word) in [
            ("$(id)", "'$(id)'"),
            ("`id`", "'`id`'"),
            ("$HOME", "'$HOME'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("\"", "'\"'"),
            (r"sys-x\x2dy.device", r"'sys-x\x2dy.device'"),
            ("a\tb\n", "'a\tb\n'"),
            ("é", "'é'"),
            ("!!", "'!!'"),
            ("~", "'~'"),
            ("*", "'*'"),
        ] {
            assert_eq!(program("p", &[argument]).for_shell(), format!("p {word}"), "{argument}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_shell_hands_every_argument_over_as_it_was(
            arguments in prop::collection::vec("[^\\x00]{0,12}", 1..4)
        ) {
            let program = Program { name: "printf", arguments: ["%s\\0".to_owned()].into_iter().chain(arguments.clone()).collect() };
            let output = Command::new("sh").arg("-c").arg(program.for_shell()).output().unwrap();
            let seen = String::from_utf8(output.stdout).unwrap();
            let expected: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
