//! The building of a route: flags and environment, then the SSH configuration, then the defaults.

use std::{env, path::PathBuf};

use nix::unistd::{Uid, User};

use super::{Hop, Route, Settings};
use crate::{
    Address, Cause, Checking, HostKeyRules, Identities, KnownHosts, Role, SshError, Step,
    UserConfig,
    address::{PORT, split_user},
    config::{HostConfig, HostQuery, Undecided, tokens},
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

/// A host as it is given: `[user@]host[:port]`, or no more than an address.
struct HostSpec {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// The host that is meant by a [`HostSpec`].
struct ResolvedHost {
    role: Role,
    /// What it is called.
    name: String,
    address: Address,
    user: String,
    config: HostConfig,
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
        let host = self.resolve(role, text, port)?;
        self.jumps_to(&host, &mut vec![text.to_owned()])?;
        self.add(host)
    }

    /// Adds a host.
    pub(super) fn hop(
        &mut self,
        role: Role,
        text: &str,
        port: Option<u16>,
    ) -> Result<(), SshError> {
        let host = self.resolve(role, text, port)?;
        self.add(host)
    }

    fn resolve(&self, role: Role, text: &str, port: Option<u16>) -> Result<ResolvedHost, SshError> {
        let given = HostSpec::parse(role, text)?;
        let flag = self.settings.user.as_deref();
        let (fixed, otherwise) = match role {
            Role::Jump => (None, flag),
            Role::Tunnel | Role::Target => (flag, None),
        };
        let (fixed, otherwise) = (given.user.as_deref().or(fixed), otherwise.unwrap_or(USER));
        let config = self.config.host(&HostQuery::new(&given.host, fixed, otherwise));
        let user = fixed.or(config.user.as_deref()).unwrap_or(otherwise).to_owned();
        let host = match &config.host_name {
            Some(name) => tokens(name, &[('h', &given.host)]),
            None => given.host.clone(),
        };
        let address = Address { host, port: given.port.or(port).or(config.port).unwrap_or(PORT) };
        Ok(ResolvedHost { role, name: given.host, address, user, config })
    }

    fn add(&mut self, host: ResolvedHost) -> Result<(), SshError> {
        if let Some(place) = host.config.proxy_command.as_ref().filter(|_| self.hops.is_empty()) {
            return Err(failed(Cause::ProxyCommand { place: place.clone(), host: host.name }));
        }
        let counts = |option: &&Undecided| !option.is_way || self.hops.is_empty();
        if let Some(option) = host.config.undecided.iter().find(counts) {
            let Undecided { place, option, criterion, .. } = option.clone();
            return Err(failed(Cause::Undecided { place, option, criterion, host: host.name }));
        }
        let paths = Paths::new(self.settings, &host);
        let checking = self.checking(&host.config);
        let known_hosts = self.known_hosts(&host.config, &paths)?;
        let host_keys = HostKeyRules {
            known_hosts: paths.all_expanded(host.config.global_known_hosts.iter().flatten())?,
            revoked: paths.all_expanded(host.config.revoked.iter().flatten())?,
            algorithms: host.config.algorithms.clone(),
        };
        let identities = self.identities(host.role, &host.config, &paths)?;
        let ResolvedHost { role, name, address, user, .. } = host;
        self.hops.push(Hop {
            role,
            name,
            address,
            user,
            checking,
            known_hosts,
            host_keys,
            identities,
        });
        Ok(())
    }

    /// Adds the hosts before `host`. Of several the first is the nearest, and the only one whose
    /// own jump hosts count, as in OpenSSH.
    fn jumps_to(&mut self, host: &ResolvedHost, way: &mut Vec<String>) -> Result<(), SshError> {
        let port = host.address.port.to_string();
        let known =
            [('h', &*host.address.host), ('n', &*host.name), ('p', &*port), ('r', &*host.user)];
        let jumps = host.config.proxy_jump.iter().flatten();
        let jumps: Vec<String> = jumps.map(|jump| tokens(jump, &known)).collect();
        let Some(nearest) = jumps.first() else { return Ok(()) };
        let circle = way.contains(nearest);
        way.push(nearest.clone());
        if circle || way.len() + jumps.len() > MOST_JUMPS + 2 {
            return Err(failed(Cause::Jumps(way.join(", "))));
        }
        let nearest = self.resolve(Role::Jump, nearest, None)?;
        self.jumps_to(&nearest, way)?;
        jumps.iter().try_for_each(|jump| self.hop(Role::Jump, jump, None))
    }

    fn checking(&self, config: &HostConfig) -> Checking {
        match self.settings.strict {
            Some(true) => Checking::Ask,
            Some(false) => Checking::Off,
            None => config.checking.unwrap_or(Checking::Ask),
        }
    }

    fn known_hosts(&self, config: &HostConfig, paths: &Paths<'_>) -> Result<KnownHosts, SshError> {
        let files = match (&self.settings.known_hosts, &config.known_hosts) {
            (Some(file), _) => vec![paths.plain(file)],
            (None, Some(files)) => paths.all_expanded(files)?,
            (None, None) => vec![paths.plain(KNOWN_HOSTS)],
        };
        Ok(KnownHosts { files })
    }

    fn identities(
        &self,
        role: Role,
        config: &HostConfig,
        paths: &Paths<'_>,
    ) -> Result<Identities, SshError> {
        let flags = || self.settings.identities.iter().map(|file| paths.plain(file)).collect();
        let flags_first = role != Role::Jump || config.identity_files.is_empty();
        let (files, may_be_absent) = if flags_first && !self.settings.identities.is_empty() {
            (flags(), false)
        } else if !config.identity_files.is_empty() {
            (paths.all_expanded(&config.identity_files)?, false)
        } else {
            (KEY_FILES.iter().map(|file| paths.plain(file)).collect(), true)
        };
        let agent = match config.identity_agent.as_deref() {
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK" | "$SSH_AUTH_SOCK") => {
                self.settings.agent.as_ref().map(PathBuf::from)
            }
            Some(path) => Some(paths.expanded(path)?),
        };
        let only_files = config.identities_only.unwrap_or(false);
        Ok(Identities { agent, files, may_be_absent, only_files })
    }
}

impl HostSpec {
    /// Reads `[user@]host[:port]`, or the same after `ssh://`. A target is called by the address
    /// that its machine publishes: who logs in there isn't the machine's to say.
    fn parse(role: Role, text: &str) -> Result<Self, SshError> {
        let (user, rest) = match role {
            Role::Target => (None, text),
            Role::Tunnel | Role::Jump => {
                let url = text.strip_prefix("ssh://");
                split_user(url.map_or(text, |rest| rest.trim_end_matches('/')))
            }
        };
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
    fn new(settings: &'a Settings, host: &ResolvedHost) -> Self {
        let home = settings.home.as_deref();
        let local = User::from_uid(Uid::current()).ok().flatten();
        let tokens = vec![
            ('d', expand("~", home).to_string_lossy().into_owned()),
            ('h', host.address.host.clone()),
            ('i', Uid::current().to_string()),
            ('n', host.name.clone()),
            ('p', host.address.port.to_string()),
            ('r', host.user.clone()),
            ('u', local.map(|user| user.name).unwrap_or_default()),
        ];
        Self { home, tokens }
    }

    fn plain(&self, path: &str) -> PathBuf {
        expand(path, self.home)
    }

    /// The files of the configuration, but for the word `none`.
    fn all_expanded<'f>(
        &self,
        files: impl IntoIterator<Item = &'f String>,
    ) -> Result<Vec<PathBuf>, SshError> {
        let files = files.into_iter().filter(|file| !file.eq_ignore_ascii_case("none"));
        files.map(|file| self.expanded(file)).collect()
    }

    /// Replaces `~`, tokens and `${NAME}`. What one of them brings is as it is: `~` comes first,
    /// the others at once, as in OpenSSH.
    fn expanded(&self, path: &str) -> Result<PathBuf, SshError> {
        let known: Vec<_> =
            self.tokens.iter().map(|(token, value)| (*token, value.as_str())).collect();
        let path = self.plain(path);
        let path = path.to_string_lossy();
        let (mut expanded, mut rest) = (String::new(), &*path);
        while let Some((before, variable)) = rest.split_once("${")
            && let Some((name, after)) = variable.split_once('}')
        {
            expanded.push_str(&tokens(before, &known));
            expanded.push_str(&self.variable(name)?);
            rest = after;
        }
        expanded.push_str(&tokens(rest, &known));
        Ok(expanded.into())
    }

    fn variable(&self, name: &str) -> Result<String, SshError> {
        let value = match (name, self.home) {
            ("HOME", Some(home)) => Some(home.to_owned()),
            _ => env::var(name).ok(),
        };
        value.ok_or_else(|| failed(Cause::Variable(name.to_owned())))
    }
}

fn failed(cause: Cause) -> SshError {
    SshError { place: None, step: Step::Prepare, cause }
}

#[cfg(test)]
mod tests;
