//! What the configuration demands of host keys, beside their being known.

use std::path::PathBuf;

use russh::keys::Algorithm;

use super::Offered;
use crate::config::pattern::matches;

/// What is demanded of the key of a host; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeyRules {
    /// More files of known hosts, which are never added to (`GlobalKnownHostsFile`).
    pub known_hosts: Vec<PathBuf>,
    /// Lists of keys that are taken from nobody (`RevokedHostKeys`).
    pub revoked: Vec<PathBuf>,
    /// The types that may be asked for.
    pub algorithms: Option<HostKeyAlgorithms>,
}

/// `HostKeyAlgorithms`: the types of host keys that may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyAlgorithms {
    how: How,
    patterns: Vec<String>,
    /// File and line.
    pub(super) place: String,
}

/// What the list does to the types that are offered otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// No others, in its order.
    Only,
    /// `+`: these too.
    Add,
    /// `-`: not these.
    Remove,
    /// `^`: these first.
    First,
}

impl HostKeyAlgorithms {
    /// Reads the value of the option at `place`.
    ///
    /// # Errors
    /// A list of nothing.
    pub fn parse(value: &str, place: &str) -> Result<Self, String> {
        let (how, list) = match value.split_at_checked(1) {
            Some(("+", list)) => (How::Add, list),
            Some(("-", list)) => (How::Remove, list),
            Some(("^", list)) => (How::First, list),
            _ => (How::Only, value),
        };
        let patterns: Vec<String> = list.split(',').map(str::to_owned).collect();
        if patterns.iter().any(String::is_empty) {
            return Err(format!("Bad key types '{value}'"));
        }
        Ok(Self { how, patterns, place: place.to_owned() })
    }

    /// Returns what may be offered of `offered`, which has all that makes sense for the host: `+`
    /// adds nothing.
    ///
    /// Certificates stay before keys as such, whatever the order of the list: it is so on the wire.
    pub(crate) fn applied(&self, offered: Offered) -> Offered {
        let certificate = |algorithm: &Algorithm| algorithm.to_certificate_type();
        Offered {
            keys: self.list(offered.keys, ToString::to_string),
            certificates: self.list(offered.certificates, certificate),
        }
    }

    fn list(&self, offered: Vec<Algorithm>, name: impl Fn(&Algorithm) -> String) -> Vec<Algorithm> {
        let named = self
            .patterns
            .iter()
            .flat_map(|pattern| offered.iter().filter(|one| matches(pattern, &name(one))))
            .cloned()
            .collect::<Vec<_>>();
        let (first, then) = match self.how {
            How::Only => (named, Vec::new()),
            How::Add => (offered, Vec::new()),
            How::First => (named, offered),
            How::Remove => {
                (offered.into_iter().filter(|one| !named.contains(one)).collect(), Vec::new())
            }
        };
        let mut list = Vec::new();
        for algorithm in first.into_iter().chain(then) {
            if !list.contains(&algorithm) {
                list.push(algorithm);
            }
        }
        list
    }
}
