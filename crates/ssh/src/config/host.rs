//! What the configuration says about one host.

use super::setting::Setting;
use crate::host_key::{Checking, HostKeyAlgorithms};

/// What a host is given by the configuration. `None` and empty lists leave it to the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub(crate) host_name: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    /// As written; `none` counts.
    pub(crate) identity_files: Vec<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) identity_agent: Option<String>,
    /// The jump hosts, the nearest first; empty for `none`.
    pub(crate) proxy_jump: Option<Vec<String>>,
    /// Where the `ProxyCommand` is, which we don't run. Of it and `ProxyJump` the first counts.
    pub(crate) proxy_command: Option<String>,
    pub(crate) known_hosts: Option<Vec<String>>,
    pub(crate) global_known_hosts: Option<Vec<String>>,
    pub(crate) checking: Option<Checking>,
    pub(crate) revoked: Option<Vec<String>>,
    pub(crate) algorithms: Option<HostKeyAlgorithms>,
    /// Options that may be meant for it.
    pub(crate) undecided: Vec<Undecided>,
}

/// An option that counts if a `Match` holds that isn't evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undecided {
    /// File and line.
    pub(crate) place: String,
    /// The option.
    pub(crate) option: &'static str,
    /// The criterion that would tell.
    pub(crate) criterion: String,
    /// Whether it is about the way to the host.
    pub(crate) is_way: bool,
}

impl HostConfig {
    /// Takes an option at `place`; for each the first value counts.
    pub(super) fn add(&mut self, setting: Setting, place: &str) {
        fn first<T>(slot: &mut Option<T>, value: T) {
            slot.get_or_insert(value);
        }
        match setting {
            Setting::HostName(value) => first(&mut self.host_name, value),
            Setting::Port(value) => first(&mut self.port, value),
            Setting::User(value) => first(&mut self.user, value),
            Setting::IdentitiesOnly(value) => first(&mut self.identities_only, value),
            Setting::IdentityAgent(value) => first(&mut self.identity_agent, value),
            Setting::ProxyJump(value) => first(&mut self.proxy_jump, value),
            Setting::ProxyCommand(is_one) => {
                if self.proxy_jump.is_none() {
                    self.proxy_command = is_one.then(|| place.to_owned());
                }
                first(&mut self.proxy_jump, Vec::new());
            }
            Setting::UserKnownHosts(value) => first(&mut self.known_hosts, value),
            Setting::GlobalKnownHosts(value) => first(&mut self.global_known_hosts, value),
            Setting::Checking(value) => first(&mut self.checking, value),
            Setting::RevokedHostKeys(value) => first(&mut self.revoked, value),
            Setting::HostKeyAlgorithms(value) => first(&mut self.algorithms, value),
            Setting::IdentityFile(value) => {
                if !self.identity_files.contains(&value) {
                    self.identity_files.push(value);
                }
            }
        }
    }

    /// Notes an option that counts if `criterion` holds, unless it has a value already.
    pub(super) fn doubt(&mut self, setting: &Setting, place: &str, criterion: &str) {
        if self.has(setting) {
            return;
        }
        let (option, is_way) = (setting.name(), setting.is_way());
        let (place, criterion) = (place.to_owned(), criterion.to_owned());
        self.undecided.push(Undecided { place, option, criterion, is_way });
    }

    /// Whether such an option would come too late.
    pub(super) fn has(&self, setting: &Setting) -> bool {
        match setting {
            Setting::HostName(_) => self.host_name.is_some(),
            Setting::Port(_) => self.port.is_some(),
            Setting::User(_) => self.user.is_some(),
            Setting::IdentityFile(_) => false,
            Setting::IdentitiesOnly(_) => self.identities_only.is_some(),
            Setting::IdentityAgent(_) => self.identity_agent.is_some(),
            Setting::ProxyJump(_) | Setting::ProxyCommand(_) => self.proxy_jump.is_some(),
            Setting::UserKnownHosts(_) => self.known_hosts.is_some(),
            Setting::GlobalKnownHosts(_) => self.global_known_hosts.is_some(),
            Setting::Checking(_) => self.checking.is_some(),
            Setting::RevokedHostKeys(_) => self.revoked.is_some(),
            Setting::HostKeyAlgorithms(_) => self.algorithms.is_some(),
        }
    }
}
