//! The hosts on the way, and what is needed for each.

mod build;

use std::time::Duration;

use crate::{Address, Checking, HostKeyRules, Identities, KnownHosts, Role, SshError, UserConfig};
use build::Builder;

/// A host to log in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// What it is on this way.
    pub role: Role,
    /// What the user calls it.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Who logs in.
    pub user: String,
    /// What is done about its host key.
    pub checking: Checking,
    /// Where its host key is known.
    pub known_hosts: KnownHosts,
    /// What else its host key has to be.
    pub host_keys: HostKeyRules,
    /// What to log in with.
    pub identities: Identities,
}

/// The way to a host: each hop is reached through the one before it. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The hosts, the nearest first.
    pub hops: Vec<Hop>,
    /// How long each hop may take, without the time in which the user thinks.
    pub timeout: Duration,
}

/// What flags and environment say. `None` leaves it to the SSH configuration and the defaults.
///
/// It holds for every host on the way, but for jump hosts, who have a login of their own: there the
/// user and the identities of `~/.ssh/config` come before those given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--ssh-username`.
    pub user: Option<String>,
    /// `--ssh-timeout`.
    pub timeout: Duration,
    /// `--strict-host-key-checking`: `Some(false)` takes any key.
    pub strict: Option<bool>,
    /// `--known-hosts-file`, as given.
    pub known_hosts: Option<String>,
    /// `--ssh-identity`, as given; empty for none.
    pub identities: Vec<String>,
    /// `SSH_AUTH_SOCK`, when it isn't empty.
    pub agent: Option<String>,
    /// `HOME`, when it isn't empty.
    pub home: Option<String>,
}

impl Settings {
    /// Returns the way to the host of `tunnel`, or through it to `target`: an address and
    /// `--ssh-port`. Each may name a host of `config`; `tunnel` may begin with `user@`,
    /// the address not: machines publish it, and who logs in isn't theirs to say.
    ///
    /// With a tunnel the target is reached from it, whatever `ProxyJump` the target has; the jump
    /// hosts of the tunnel count.
    ///
    /// # Errors
    /// Text that is no address, jump hosts that lead in a circle, and what of the configuration
    /// can't be followed.
    pub fn route(
        &self,
        config: &UserConfig,
        tunnel: Option<&str>,
        target: Option<(&str, Option<u16>)>,
    ) -> Result<Route, SshError> {
        let mut builder = Builder::new(self, config);
        if let Some(tunnel) = tunnel {
            builder.hop_with_jumps(Role::Tunnel, tunnel, None)?;
        }
        match target {
            Some((target, port)) if tunnel.is_some() => builder.hop(Role::Target, target, port)?,
            Some((target, port)) => builder.hop_with_jumps(Role::Target, target, port)?,
            None => {}
        }
        builder.route()
    }
}
