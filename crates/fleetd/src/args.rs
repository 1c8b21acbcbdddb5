//! The command line (`fleetd.md` 1). Go's flag syntax: one dash or two, `-name value` or
//! `-name=value`, which clap doesn't speak.

use std::path::PathBuf;

use fleet_core::literal;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// Run the daemon.
    Run(Args),
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
}

/// How to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// The config file to use.
    pub(crate) config: Option<PathBuf>,
    /// One machine, no etcd, nothing kept.
    pub(crate) dev: bool,
}

/// A command line that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("{0} takes no arguments. Did you mean to invoke fleetctl instead?")]
    StrayArgument(String),
    #[error("flag provided but not defined: -{0}")]
    UnknownFlag(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{flag}")]
    BadBool { flag: String, value: String },
    #[error("-dev reads no config file: leave out -config, or set options in the environment")]
    DevWithConfig,
}

impl UsageError {
    /// The exit code: 1 for a stray argument, 2 for a bad flag.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::StrayArgument(_) => 1,
            Self::UnknownFlag(_)
            | Self::NoValue(_)
            | Self::BadBool { .. }
            | Self::DevWithConfig => 2,
        }
    }
}

/// The usage text.
pub(crate) fn usage(program: &str) -> String {
    format!(
        "fleetd runs the engine, the agent and the API of one machine of a fleet cluster.\n\
         Usage of {program}:\n  \
         -config string\n    \tpath to the config file (default /etc/fleet/fleet.conf, if it exists)\n  \
         -dev\n    \trun alone, without etcd: for trying fleet out; nothing is kept\n  \
         -version\n    \tprint the version and exit\n"
    )
}

/// Parses the command line; `program` is its first word.
pub(crate) fn parse(
    program: &str,
    words: impl IntoIterator<Item = String>,
) -> Result<Invocation, UsageError> {
    let mut args = Args::default();
    let mut version = false;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(flag) = flag.filter(|_| word != "-" && word != "--") else {
            // Two hyphens end the flags, and are no word themselves.
            let operand = if word == "--" { words.next() } else { Some(word) };
            match operand.as_deref() {
                None => break,
                Some("version") if !version => return Ok(Invocation::Version),
                Some(_) => return Err(UsageError::StrayArgument(program.to_owned())),
            }
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        match name {
            "config" => {
                let value = value.map(str::to_owned).or_else(|| words.next());
                let value = value.ok_or_else(|| UsageError::NoValue(name.to_owned()))?;
                args.config = Some(value).filter(|path| !path.is_empty()).map(PathBuf::from);
            }
            "version" => version = switch(name, value)?,
            "dev" => args.dev = switch(name, value)?,
            "h" | "help" => return Ok(Invocation::Help),
            _ => return Err(UsageError::UnknownFlag(name.to_owned())),
        }
    }
    match args {
        _ if version => Ok(Invocation::Version),
        Args { config: Some(_), dev: true } => Err(UsageError::DevWithConfig),
        args => Ok(Invocation::Run(args)),
    }
}

fn switch(name: &str, value: Option<&str>) -> Result<bool, UsageError> {
    let Some(value) = value else { return Ok(true) };
    literal::boolean(value)
        .ok_or_else(|| UsageError::BadBool { flag: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, UsageError> {
        parse("fleetd", line.split_whitespace().map(str::to_owned))
    }

    fn config(path: &str) -> Invocation {
        Invocation::Run(Args { config: Some(path.into()), dev: false })
    }

    #[test]
    fn both_dash_spellings_and_both_value_forms_are_taken() {
        for line in ["-config /c", "--config /c", "-config=/c", "--config=/c"] {
            assert_eq!(parsed(line), Ok(config("/c")), "{line}");
        }
        for line in
            ["-version", "--version", "--version=true", "version", "version foo", "-- version"]
        {
            assert_eq!(parsed(line), Ok(Invocation::Version), "{line}");
        }
        for line in ["-h", "-help", "--help"] {
            assert_eq!(parsed(line), Ok(Invocation::Help), "{line}");
        }
        assert_eq!(parsed("--dev"), Ok(Invocation::Run(Args { config: None, dev: true })));
        for line in ["", "--version=false", "--", "--config=", "-config=/c --config="] {
            assert_eq!(parsed(line), Ok(Invocation::Run(Args::default())), "{line}");
        }
        assert_eq!(parsed("--config /c --"), Ok(config("/c")));
    }

    #[test]
    fn nonsense_is_named() {
        for (line, text, code) in [
            ("foo", "fleetd takes no arguments. Did you mean to invoke fleetctl instead?", 1),
            (
                "--version extra",
                "fleetd takes no arguments. Did you mean to invoke fleetctl instead?",
                1,
            ),
            ("--bogus", "flag provided but not defined: -bogus", 2),
            ("-config", "flag needs an argument: -config", 2),
            ("-", "fleetd takes no arguments. Did you mean to invoke fleetctl instead?", 1),
            ("-- --dev", "fleetd takes no arguments. Did you mean to invoke fleetctl instead?", 1),
            (
                "-config /c -dev",
                "-dev reads no config file: leave out -config, or set options in the environment",
                2,
            ),
            ("-dev=maybe", "invalid boolean value \"maybe\" for -dev", 2),
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.exit_code()), (text, code), "{line}");
        }
    }
}
