//! What holds for every command: flags over environment over defaults (`fleetctl.md` 2).

use std::{fmt::Display, path::PathBuf, time::Duration};

use clap::{ArgMatches, parser::ValueSource};

use crate::{
    args::{boolean, seconds},
    certificates::Files,
    error::CliError,
};

/// Reads the environment.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where the cluster is, as it was given.
    pub(crate) endpoint: String,
    /// What is spoken there, as it was given.
    pub(crate) driver: String,
    /// Where the registry is in etcd.
    pub(crate) etcd_key_prefix: String,
    /// Whether the API may be used where etcd could be: true, but for those who say otherwise.
    pub(crate) experimental_api: bool,
    /// Files with certificates.
    pub(crate) certificates: Files,
    /// How long a request may take.
    pub(crate) request_timeout: Option<Duration>,
    /// The host to tunnel through; empty for none.
    pub(crate) tunnel: String,
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
        let layers = Layers { matches, environment };
        // Flags that nothing needs yet must still have a meaning.
        layers.flag("strict-host-key-checking")?;
        layers.seconds("ssh-timeout")?;
        Ok(Self {
            endpoint: layers.text("endpoint")?,
            driver: layers.text("driver")?,
            etcd_key_prefix: layers.text("etcd-key-prefix")?,
            experimental_api: layers.flag("experimental-api")?,
            certificates: Files {
                ca: layers.file("ca-file", "etcd-cafile")?,
                certificate: layers.file("cert-file", "etcd-certfile")?,
                key: layers.file("key-file", "etcd-keyfile")?,
            },
            request_timeout: layers.seconds("request-timeout")?,
            tunnel: layers.text("tunnel")?,
            debug: layers.flag("debug")?,
            version: layers.flag("version")?,
        })
    }
}

struct Layers<'a> {
    matches: &'a ArgMatches,
    environment: &'a Environment<'a>,
}

impl Layers<'_> {
    fn text(&self, flag: &str) -> Result<String, CliError> {
        let given = || self.matches.get_one::<String>(flag).cloned().unwrap_or_default();
        let text = |text: &str| Ok::<_, CliError>(text.to_owned());
        Ok(self.value(flag, text)?.unwrap_or_else(given))
    }

    fn flag(&self, flag: &str) -> Result<bool, CliError> {
        Ok(self.value(flag, boolean)?.unwrap_or_else(|| self.matches.get_flag(flag)))
    }

    fn seconds(&self, flag: &str) -> Result<Option<Duration>, CliError> {
        let given = || self.matches.get_one(flag).copied().flatten();
        Ok(self.value(flag, seconds)?.unwrap_or_else(given))
    }

    /// A file with two flags. On the command line the later one counts; an empty name is none.
    fn file(&self, flag: &str, deprecated: &str) -> Result<Option<PathBuf>, CliError> {
        let (new, old) = (self.text(flag)?, self.text(deprecated)?);
        let place = |flag: &str| {
            let given = self.matches.value_source(flag) == Some(ValueSource::CommandLine);
            self.matches.indices_of(flag).into_iter().flatten().max().filter(|_| given)
        };
        // Without a place it comes from the environment, where the new name wins.
        let old_is_later = place(deprecated) > place(flag);
        let name = if old_is_later || new.is_empty() { old } else { new };
        Ok((!name.is_empty()).then(|| name.into()))
    }

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
            driver: "API".into(),
            etcd_key_prefix: "/_coreos.com/fleet/".into(),
            experimental_api: true,
            certificates: Files::default(),
            request_timeout: Some(Duration::from_secs(3)),
            tunnel: String::new(),
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
    fn certificates_have_two_names_each() {
        let ca = |words: &[&str], variables: &[(&str, &str)]| {
            let files = config(words, variables).unwrap().certificates;
            files.ca.map(|path| path.display().to_string())
        };
        let (new, old) = (("FLEETCTL_CA_FILE", "env"), ("FLEETCTL_ETCD_CAFILE", "old-env"));
        for (words, variables, expected) in [
            (&[][..], &[][..], None),
            (&["--ca-file=a"], &[], Some("a")),
            (&["--etcd-cafile=b"], &[], Some("b")),
            (&["--ca-file=a", "--etcd-cafile=b"], &[], Some("b")),
            (&["--etcd-cafile=b", "--ca-file=a"], &[], Some("a")),
            (&["--ca-file=a", "--etcd-cafile=b", "--ca-file=c"], &[], Some("c")),
            (&[], &[old], Some("old-env")),
            (&[], &[new, old], Some("env")),
            (&["--etcd-cafile=b"], &[new, old], Some("b")),
            (&["--ca-file="], &[new], None),
        ] {
            assert_eq!(ca(words, variables).as_deref(), expected, "{words:?} {variables:?}");
        }
        let all = ["--cert-file=c", "--etcd-keyfile=k"];
        let files = config(&all, &[]).unwrap().certificates;
        let expected = Files { ca: None, certificate: Some("c".into()), key: Some("k".into()) };
        assert_eq!(files, expected);
    }

    #[test]
    fn wrong_values_are_refused_by_the_name_of_the_variable() {
        for (variable, value) in [
            ("FLEETCTL_DEBUG", "yes"),
            ("FLEETCTL_VERSION", "on"),
            ("FLEETCTL_REQUEST_TIMEOUT", "10s"),
            ("FLEETCTL_EXPERIMENTAL_API", "TrUe"),
            ("FLEETCTL_STRICT_HOST_KEY_CHECKING", "yes"),
            ("FLEETCTL_SSH_TIMEOUT", "abc"),
        ] {
            let error = config(&["--debug", "--request-timeout=1"], &[(variable, value)]);
            let error = error.unwrap_err().to_string();
            let text =
                format!("Error: invalid value \"{value}\" of environment variable {variable}: ");
            assert!(error.starts_with(&text), "{error}");
        }
    }
}
