//! The options that count.

use super::line::Line;
use crate::host_key::{Checking, HostKeyAlgorithms};

/// An option that counts, checked.
#[derive(Clone, Debug)]
pub(super) enum Setting {
    HostName(String),
    Port(u16),
    User(String),
    IdentityFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    ProxyJump(Vec<String>),
    /// Whether there is one: `none` is none.
    ProxyCommand(bool),
    UserKnownHosts(Vec<String>),
    GlobalKnownHosts(Vec<String>),
    Checking(Checking),
    RevokedHostKeys(Vec<String>),
    HostKeyAlgorithms(HostKeyAlgorithms),
}

impl Setting {
    /// The option of the line, if it counts.
    ///
    /// # Errors
    /// What is wrong with its value.
    pub(super) fn parse(line: &Line, place: &str) -> Result<Option<Self>, String> {
        Ok(Some(match &*line.keyword {
            "hostname" => Self::HostName(line.word()?),
            "port" => {
                let word = line.word()?;
                let port = word.parse().ok().filter(|port| *port > 0);
                Self::Port(port.ok_or_else(|| format!("{word} is no port"))?)
            }
            "user" => Self::User(line.word()?),
            "identityfile" => Self::IdentityFile(line.word()?),
            "identitiesonly" => Self::IdentitiesOnly(yes_or_no(&line.word()?)?),
            "identityagent" => Self::IdentityAgent(line.word()?),
            "proxyjump" => Self::ProxyJump(jumps(&line.rest)),
            "proxycommand" => Self::ProxyCommand(!line.rest.eq_ignore_ascii_case("none")),
            "userknownhostsfile" => Self::UserKnownHosts(line.words()?),
            "globalknownhostsfile" => Self::GlobalKnownHosts(line.words()?),
            "stricthostkeychecking" => Self::Checking(checking(&line.word()?)?),
            "revokedhostkeys" => Self::RevokedHostKeys(line.words()?),
            "hostkeyalgorithms" => {
                Self::HostKeyAlgorithms(HostKeyAlgorithms::parse(&line.word()?, place)?)
            }
            _ => return Ok(None),
        }))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::HostName(_) => "HostName",
            Self::Port(_) => "Port",
            Self::User(_) => "User",
            Self::IdentityFile(_) => "IdentityFile",
            Self::IdentitiesOnly(_) => "IdentitiesOnly",
            Self::IdentityAgent(_) => "IdentityAgent",
            Self::ProxyJump(_) => "ProxyJump",
            Self::ProxyCommand(_) => "ProxyCommand",
            Self::UserKnownHosts(_) => "UserKnownHostsFile",
            Self::GlobalKnownHosts(_) => "GlobalKnownHostsFile",
            Self::Checking(_) => "StrictHostKeyChecking",
            Self::RevokedHostKeys(_) => "RevokedHostKeys",
            Self::HostKeyAlgorithms(_) => "HostKeyAlgorithms",
        }
    }

    /// Whether it says who is logged in as and with what, and nothing about where that is or
    /// whether it is who it should be.
    pub(super) fn is_login(&self) -> bool {
        matches!(
            self,
            Self::User(_)
                | Self::IdentityFile(_)
                | Self::IdentitiesOnly(_)
                | Self::IdentityAgent(_)
        )
    }

    /// Whether it is about the way to the host.
    pub(super) fn is_way(&self) -> bool {
        matches!(self, Self::ProxyJump(_) | Self::ProxyCommand(_))
    }
}

fn yes_or_no(word: &str) -> Result<bool, String> {
    match &*word.to_ascii_lowercase() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{word} is neither yes nor no")),
    }
}

fn checking(word: &str) -> Result<Checking, String> {
    match &*word.to_ascii_lowercase() {
        "yes" | "true" => Ok(Checking::KnownOnly),
        "accept-new" => Ok(Checking::AcceptNew),
        "no" | "false" | "off" => Ok(Checking::Warn),
        "ask" => Ok(Checking::Ask),
        _ => Err(format!("unknown StrictHostKeyChecking {word}")),
    }
}

fn jumps(rest: &str) -> Vec<String> {
    if rest.eq_ignore_ascii_case("none") {
        return Vec::new();
    }
    rest.split(',').map(|hop| hop.trim().to_owned()).filter(|hop| !hop.is_empty()).collect()
}
