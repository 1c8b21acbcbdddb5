//! What holds for every command: flags over environment over defaults (`fleetctl.md` 2).

use std::{fmt::Display, path::PathBuf, time::Duration};

use clap::{ArgMatches, parser::ValueSource};

use fleet_ssh::Settings;

use crate::{
    config::certificates::Files,
    error::CliError,
    flags::{boolean, limit, seconds},
};

pub(crate) mod certificates;

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
    /// How hosts are reached over SSH.
    pub(crate) ssh: Ssh,
    /// Whether debug output is wanted.
    pub(crate) debug: bool,
    /// Whether only the version is wanted.
    pub(crate) version: bool,
}

/// How hosts are reached over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ssh {
    /// What was said; `~/.ssh/config` and the defaults say the rest.
    pub(crate) settings: Settings,
    /// The host to tunnel through, as it was given.
    pub(crate) tunnel: Option<String>,
}

impl Config {
    /// Puts the layers on top of each other.
    pub(crate) fn new(
        matches: &ArgMatches,
        environment: &Environment<'_>,
    ) -> Result<Self, CliError> {
        let layers = Layers { matches, environment };
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
            ssh: Ssh {
                settings: Settings {
                    user: layers.said("ssh-username")?,
                    timeout: layers.limit("ssh-timeout")?,
                    strict: layers.said_flag("strict-host-key-checking")?,
                    known_hosts: layers.said_or_emptied("known-hosts-file")?,
                    identities: layers.several("ssh-identity")?,
                    agent: layers.variable("SSH_AUTH_SOCK"),
                    home: layers.variable("HOME"),
                },
                tunnel: layers.said("tunnel")?,
            },
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

    fn limit(&self, flag: &str) -> Result<Duration, CliError> {
        // There is always a value: the flag has a default.
        let given = || self.matches.get_one(flag).copied().unwrap_or_default();
        Ok(self.value(flag, limit)?.unwrap_or_else(given))
    }

    /// The text, if the command line or the environment says one.
    fn said(&self, flag: &str) -> Result<Option<String>, CliError> {
        Ok(self.said_or_emptied(flag)?.filter(|text| !text.is_empty()))
    }

    /// The same, where an empty text on the command line says something too.
    fn said_or_emptied(&self, flag: &str) -> Result<Option<String>, CliError> {
        let said = self.is_given(flag) || self.environment_of(flag).is_some();
        Ok(Some(self.text(flag)?).filter(|_| said))
    }

    /// The value, if the command line or the environment says one.
    fn said_flag(&self, flag: &str) -> Result<Option<bool>, CliError> {
        let said = self.is_given(flag) || self.environment_of(flag).is_some();
        Ok(Some(self.flag(flag)?).filter(|_| said))
    }

    /// The texts of a flag that may be given several times, or of its variable, where colons
    /// separate them.
    fn several(&self, flag: &str) -> Result<Vec<String>, CliError> {
        let given: Vec<String> =
            self.matches.get_many(flag).into_iter().flatten().cloned().collect();
        let split = |text: &str| {
            Ok::<_, CliError>(text.split(':').map(str::to_owned).collect::<Vec<String>>())
        };
        let mut texts = self.value(flag, split)?.unwrap_or(given);
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    /// A file with two flags. On the command line the later one counts; an empty name is none.
    fn file(&self, flag: &str, deprecated: &str) -> Result<Option<PathBuf>, CliError> {
        let (new, old) = (self.text(flag)?, self.text(deprecated)?);
        let place = |flag: &str| {
            let given = self.is_given(flag);
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
        let Some((variable, text)) = self.environment_of(flag) else { return Ok(None) };
        let value = read(&text).map_err(|error| CliError::Usage {
            message: format!(
                "invalid value \"{text}\" of environment variable {variable}: {error}"
            ),
            hint: "Run 'fleetctl --help' for usage.".to_owned(),
        })?;
        Ok((!self.is_given(flag)).then_some(value))
    }

    /// The variable of a flag and its text, unless that is empty.
    fn environment_of(&self, flag: &str) -> Option<(String, String)> {
        let variable = format!("FLEETCTL_{}", flag.to_uppercase().replace('-', "_"));
        let text = self.variable(&variable)?;
        Some((variable, text))
    }

    /// The text of a variable, unless that is empty.
    fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|text| !text.is_empty())
    }

    fn is_given(&self, flag: &str) -> bool {
        self.matches.value_source(flag) == Some(ValueSource::CommandLine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Verb;

    fn config(words: &[&str], variables: &[(&str, &str)]) -> Result<Config, CliError> {
        let matches = Verb::ListUnits.command().try_get_matches_from(words).unwrap();
        let environment = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::new(&matches, &environment)
    }

    /// Of SSH nothing is said.
    fn unsaid() -> Ssh {
        let settings = Settings {
            user: None,
            timeout: Duration::from_secs(10),
            strict: None,
            known_hosts: None,
            identities: Vec::new(),
            agent: None,
            home: None,
        };
        Ssh { settings, tunnel: None }
    }

    #[test]
    fn of_ssh_what_is_said_is_told_from_what_is_not() {
        let ssh =
            |words: &[&str], variables: &[(&str, &str)]| config(words, variables).unwrap().ssh;
        let variables = [
            ("FLEETCTL_TUNNEL", "t"),
            ("FLEETCTL_SSH_USERNAME", "u"),
            ("FLEETCTL_SSH_TIMEOUT", "0.5"),
            ("FLEETCTL_STRICT_HOST_KEY_CHECKING", "f"),
            ("FLEETCTL_KNOWN_HOSTS_FILE", "k"),
            ("FLEETCTL_SSH_IDENTITY", "a::b c:~/d"),
            ("SSH_AUTH_SOCK", "/run/agent"),
            ("HOME", "/home/me"),
        ];
        let from_environment = Ssh {
            settings: Settings {
                user: Some("u".into()),
                timeout: Duration::from_millis(500),
                strict: Some(false),
                known_hosts: Some("k".into()),
                identities: vec!["a".into(), "b c".into(), "~/d".into()],
                agent: Some("/run/agent".into()),
                home: Some("/home/me".into()),
            },
            tunnel: Some("t".into()),
        };
        assert_eq!(ssh(&[], &variables), from_environment);
        let flags = [
            "--tunnel=T",
            "--ssh-username=U",
            "--ssh-timeout=2",
            "--strict-host-key-checking",
            "--known-hosts-file=K",
            "--ssh-identity=I",
            "--ssh-identity",
            "J:1",
        ];
        let given = ssh(&flags, &variables);
        assert_eq!(given.tunnel.as_deref(), Some("T"));
        assert_eq!(given.settings.user.as_deref(), Some("U"));
        assert_eq!(given.settings.timeout, Duration::from_secs(2));
        assert_eq!(given.settings.strict, Some(true));
        assert_eq!(given.settings.known_hosts.as_deref(), Some("K"));
        assert_eq!(given.settings.identities, ["I", "J:1"]);
        let same_as_default = ssh(&["--ssh-username=core", "--ssh-timeout=10"], &[]);
        assert_eq!(same_as_default.settings.user.as_deref(), Some("core"));
        let emptied = ssh(
            &["--tunnel=", "--ssh-username=", "--ssh-identity=", "--known-hosts-file="],
            &variables,
        );
        assert_eq!((emptied.tunnel, emptied.settings.user), (None, None));
        assert!(emptied.settings.identities.is_empty());
        assert_eq!(emptied.settings.known_hosts.as_deref(), Some(""), "no file");
        let empty = ssh(&[], &[("FLEETCTL_KNOWN_HOSTS_FILE", "")]);
        assert_eq!(empty.settings.known_hosts, None);
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
            ssh: unsaid(),
            debug: false,
            version: false,
        };
        assert_eq!(config(&[], &[]).unwrap(), expected);
        let empty = [
            ("FLEETCTL_ENDPOINT", ""),
            ("FLEETCTL_DEBUG", ""),
            ("FLEETCTL_TUNNEL", ""),
            ("FLEETCTL_SSH_USERNAME", ""),
            ("FLEETCTL_SSH_TIMEOUT", ""),
            ("FLEETCTL_SSH_IDENTITY", ""),
            ("FLEETCTL_STRICT_HOST_KEY_CHECKING", ""),
            ("SSH_AUTH_SOCK", ""),
        ];
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
            ("FLEETCTL_SSH_TIMEOUT", "0"),
            ("FLEETCTL_SSH_TIMEOUT", "-1"),
        ] {
            let error = config(&["--debug", "--request-timeout=1"], &[(variable, value)]);
            let error = error.unwrap_err().to_string();
            let text =
                format!("Error: invalid value \"{value}\" of environment variable {variable}: ");
            assert!(error.starts_with(&text), "{error}");
        }
    }
}
