//! What the hosts on a way are to it.

use std::fmt;

/// What a host is on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host of `--tunnel`.
    Tunnel,
    /// A host that `ProxyJump` names.
    Jump,
    /// The host that is meant.
    Target,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tunnel => "tunnel",
            Self::Jump => "jump host",
            Self::Target => "target",
        })
    }
}
