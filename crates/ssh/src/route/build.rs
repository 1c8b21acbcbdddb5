//! The building of a route: flags and environment, then `~/.ssh/config`, then the defaults.

use std::path::PathBuf;

use nix::unistd::{Uid, User};

use super::{Hop, Role, Route, Settings};
use crate::{
    Address, Cause, Checking, Identities, KnownHosts, SshError, Step, UserConfig,
    address::{PORT, split_user},
    config::HostConfig,
    known_hosts::expand,
};

/// Who logs in where nothing else is said.
const USER: &str = "core";
/// Where hosts are known then.
const KNOWN_HOSTS: &str = "~/.fleetctl/known_hosts";
/// The key files that are tried then, the first first.
const KEY_FILES: [&str; 3] = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];
/// More jump hosts in a row are taken for a circle.
const MOST_JUMPS: usize = 8;

/// A route that is being built.
pub(super) struct Builder<'a> {
    settings: &'a Settings,
    config: &'a UserConfig,
    hops: Vec<Hop>,
}

/// A host as it is given: `[user@]host[:port]`.
struct Given {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(settings: &'a Settings, config: &'a UserConfig) -> Self {
        Self { settings, config, hops: Vec::new() }
    }

    pub(super) fn route(self) -> Result<Route, SshError> {
        if self.hops.is_empty() {
            return Err(failed(Cause::Nowhere));
        }
        Ok(Route { hops: self.hops, timeout: self.settings.timeout })
    }

    /// Adds a host, after the hosts it is to be reached through.
    pub(super) fn hop_with_jumps(
        &mut self,
        role: Role,
        text: &str,
        port: Option<u16>,
    ) -> Result<(), SshError> {
        let mut way = vec![text.to_owned()];
        self.jumps_to(text, &mut way)?;
        self.hop(role, text, port)
    }

    /// Adds a host.
    pub(super) fn hop(
        &mut self,
        role: Role,
        text: &str,
        port: Option<u16>,
    ) -> Result<(), SshError> {
        let given = Given::parse(text)?;
        let config = self.config.host(&given.host);
        if config.proxy_command && self.hops.is_empty() {
            tracing::warn!(host = given.host, "ProxyCommand isn't supported, dialling directly");
        }
        let (flag, configured) = (self.settings.user.clone(), config.user.clone());
        let otherwise = match role {
            Role::Jump => configured.or(flag),
            Role::Tunnel | Role::Target => flag.or(configured),
        };
        let host = match &config.host_name {
            Some(name) => tokens(name, &[('h', &given.host)]),
            None => given.host.clone(),
        };
        let address = Address { host, port: given.port.or(port).or(config.port).unwrap_or(PORT) };
        let hop = Hop {
            role,
            name: given.host,
            address,
            user: given.user.or(otherwise).unwrap_or_else(|| USER.into()),
            checking: self.checking(&config),
            known_hosts: KnownHosts { files: Vec::new() },
            identities: Identities::default(),
        };
        let paths = Paths::new(self.settings, &hop);
        let known_hosts = self.known_hosts(&config, &paths);
        let identities = self.identities(role, &config, &paths);
        self.hops.push(Hop { known_hosts, identities, ..hop });
        Ok(())
    }

    /// Adds the hosts before `text`. Of several the first is the nearest, and the only one whose
    /// own jump hosts count, as in OpenSSH.
    fn jumps_to(&mut self, text: &str, way: &mut Vec<String>) -> Result<(), SshError> {
        let given = Given::parse(text)?;
        let jumps = self.config.host(&given.host).proxy_jump.unwrap_or_default();
        let Some(nearest) = jumps.first() else { return Ok(()) };
        let circle = way.contains(nearest);
        way.push(nearest.clone());
        if circle || way.len() + jumps.len() > MOST_JUMPS + 2 {
            return Err(failed(Cause::Jumps(way.join(", "))));
        }
        self.jumps_to(nearest, way)?;
        jumps.iter().try_for_each(|jump| self.hop(Role::Jump, jump, None))
    }

    fn checking(&self, config: &HostConfig) -> Checking {
        match self.settings.strict {
            Some(true) => Checking::Ask,
            Some(false) => Checking::Off,
            None => config.checking.unwrap_or(Checking::Ask),
        }
    }

    fn known_hosts(&self, config: &HostConfig, paths: &Paths<'_>) -> KnownHosts {
        let files = match (&self.settings.known_hosts, &config.known_hosts) {
            (Some(file), _) => vec![paths.plain(file)],
            (None, Some(files)) => files
                .iter()
                .filter(|file| !file.eq_ignore_ascii_case("none"))
                .map(|file| paths.with_tokens(file))
                .collect(),
            (None, None) => vec![paths.plain(KNOWN_HOSTS)],
        };
        KnownHosts { files }
    }

    fn identities(&self, role: Role, config: &HostConfig, paths: &Paths<'_>) -> Identities {
        let flags = || self.settings.identities.iter().map(|file| paths.plain(file)).collect();
        let configured = || {
            let files = config.identity_files.iter();
            let files = files.filter(|file| !file.eq_ignore_ascii_case("none"));
            files.map(|file| paths.with_tokens(file)).collect()
        };
        let flags_first = role != Role::Jump || config.identity_files.is_empty();
        let (files, may_be_absent) = if flags_first && !self.settings.identities.is_empty() {
            (flags(), false)
        } else if !config.identity_files.is_empty() {
            (configured(), false)
        } else {
            (KEY_FILES.iter().map(|file| paths.plain(file)).collect(), true)
        };
        let agent = match config.identity_agent.as_deref() {
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK" | "$SSH_AUTH_SOCK") => {
                self.settings.agent.as_ref().map(PathBuf::from)
            }
            Some(path) => Some(paths.with_tokens(path)),
        };
        let only_files = config.identities_only.unwrap_or(false);
        Identities { agent, files, may_be_absent, only_files }
    }
}

impl Given {
    /// Reads `[user@]host[:port]`, or the same after `ssh://`.
    fn parse(text: &str) -> Result<Self, SshError> {
        let text = text.strip_prefix("ssh://").map_or(text, |rest| rest.trim_end_matches('/'));
        let (user, rest) = split_user(text);
        // Port 0 is none.
        let Address { host, port } =
            Address::parse(rest, 0).map_err(|error| failed(Cause::Address(error)))?;
        Ok(Self { user: user.map(str::to_owned), host, port: Some(port).filter(|port| *port > 0) })
    }
}

/// What paths of the configuration may contain.
struct Paths<'a> {
    home: Option<&'a str>,
    tokens: Vec<(char, String)>,
}

impl<'a> Paths<'a> {
    fn new(settings: &'a Settings, hop: &Hop) -> Self {
        let home = settings.home.as_deref();
        let local = User::from_uid(Uid::current()).ok().flatten();
        let tokens = vec![
            ('d', expand("~", home).to_string_lossy().into_owned()),
            ('h', hop.address.host.clone()),
            ('i', Uid::current().to_string()),
            ('n', hop.name.clone()),
            ('p', hop.address.port.to_string()),
            ('r', hop.user.clone()),
            ('u', local.map(|user| user.name).unwrap_or_default()),
        ];
        Self { home, tokens }
    }

    fn plain(&self, path: &str) -> PathBuf {
        expand(path, self.home)
    }

    fn with_tokens(&self, path: &str) -> PathBuf {
        let known: Vec<_> =
            self.tokens.iter().map(|(token, value)| (*token, value.as_str())).collect();
        // `~` first, as in OpenSSH: what a token brings is no `~`.
        PathBuf::from(tokens(&self.plain(path).to_string_lossy(), &known))
    }
}

/// Replaces `%` and a letter, `%%` by `%`. Tokens that aren't known stay.
fn tokens(text: &str, known: &[(char, &str)]) -> String {
    let mut replaced = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            replaced.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => replaced.push('%'),
            Some(token) => match known.iter().find(|(known, _)| *known == token) {
                Some((_, value)) => replaced.push_str(value),
                None => replaced.extend(['%', token]),
            },
            None => replaced.push('%'),
        }
    }
    replaced
}

fn failed(cause: Cause) -> SshError {
    SshError { place: None, step: Step::Prepare, cause }
}

#[cfg(test)]
mod tests;
