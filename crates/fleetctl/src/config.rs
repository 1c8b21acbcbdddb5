//! What holds for every command: flags over environment over defaults (`fleetctl.md` 2).

use std::{fmt::Display, time::Duration};

use clap::{ArgMatches, parser::ValueSource};

use crate::{
    args::{boolean, seconds},
    error::CliError,
};

/// Reads the environment.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where the API is, as it was given.
    pub(crate) endpoint: String,
    /// How long a request may take.
    pub(crate) request_timeout: Option<Duration>,
    /// Whether debug output is wanted.
    pub(crate) debug: bool,
    /// Whether only the version is wanted.
    pub(crate) version: bool,
}

impl Config {
    /// Puts the layers on top of each other.
    pub(crate) fn new(
        matches: &ArgMatches,
        environment: &Environment<'_>,
    ) -> Result<Self, CliError> {
        let endpoint = matches.get_one::<String>("endpoint").cloned();
        let layers = Layers { matches, environment };
        Ok(Self {
            endpoint: layers
                .value("endpoint", |text| Ok::<_, CliError>(text.to_owned()))?
                .or(endpoint)
                .unwrap_or_default(),
            request_timeout: layers
                .value("request-timeout", seconds)?
                .unwrap_or_else(|| matches.get_one("request-timeout").copied().flatten()),
            debug: layers.value("debug", boolean)?.unwrap_or_else(|| matches.get_flag("debug")),
            version: layers.value("version", boolean)?.unwrap_or_default(),
        })
    }
}

struct Layers<'a> {
    matches: &'a ArgMatches,
    environment: &'a Environment<'a>,
}

impl Layers<'_> {
    /// The environment's value of a flag, when it counts. A wrong one is always refused.
    fn value<T, E: Display>(
        &self,
        flag: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, CliError> {
        let variable = format!("FLEETCTL_{}", flag.to_uppercase().replace('-', "_"));
        let text = (self.environment)(&variable).filter(|text| !text.is_empty());
        let Some(text) = text else { return Ok(None) };
        let value = read(&text).map_err(|error| CliError::Usage {
            message: format!(
                "invalid value \"{text}\" of environment variable {variable}: {error}"
            ),
            hint: "Run 'fleetctl --help' for usage.".to_owned(),
        })?;
        let given = self.matches.value_source(flag) == Some(ValueSource::CommandLine);
        Ok((!given).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Verb;

    fn config(words: &[&str], variables: &[(&str, &str)]) -> Result<Config, CliError> {
        let matches = Verb::ListUnits.command().try_get_matches_from(words).unwrap();
        let environment = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::new(&matches, &environment)
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        let expected = Config {
            endpoint: "unix:///var/run/fleet.sock".into(),
            request_timeout: Some(Duration::from_secs(3)),
            debug: false,
            version: false,
        };
        assert_eq!(config(&[], &[]).unwrap(), expected);
        let empty = [("FLEETCTL_ENDPOINT", ""), ("FLEETCTL_DEBUG", "")];
        assert_eq!(config(&[], &empty).unwrap(), expected);
    }

    #[test]
    fn flags_win_over_the_environment() {
        let variables = [
            ("FLEETCTL_ENDPOINT", "http://env"),
            ("FLEETCTL_REQUEST_TIMEOUT", "0"),
            ("FLEETCTL_DEBUG", "true"),
        ];
        let from_environment = config(&[], &variables).unwrap();
        assert_eq!(from_environment.endpoint, "http://env");
        assert_eq!((from_environment.request_timeout, from_environment.debug), (None, true));
        let flags = ["--endpoint=http://flag", "--request-timeout", "0.5", "--debug=false"];
        let given = config(&flags, &variables).unwrap();
        assert_eq!(given.endpoint, "http://flag");
        assert_eq!(given.request_timeout, Some(Duration::from_millis(500)));
        assert!(!given.debug);
    }

    #[test]
    fn wrong_values_are_refused_by_the_name_of_the_variable() {
        for (variable, value) in [
            ("FLEETCTL_DEBUG", "yes"),
            ("FLEETCTL_VERSION", "on"),
            ("FLEETCTL_REQUEST_TIMEOUT", "10s"),
        ] {
            let error = config(&["--debug", "--request-timeout=1"], &[(variable, value)]);
            let error = error.unwrap_err().to_string();
            let text =
                format!("Error: invalid value \"{value}\" of environment variable {variable}: ");
            assert!(error.starts_with(&text), "{error}");
        }
    }
}
