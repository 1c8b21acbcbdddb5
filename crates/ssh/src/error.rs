//! What can go wrong on the way to a host.

use std::{fmt, io, path::PathBuf, time::Duration};

use fleet_core::error_text::{plain, tame_stranger};

use crate::{Address, BadConfig, InvalidAddress, Role, known_hosts::KnownHostsError};

/// A connection that could not be made: which host, which hop, which step, and why.
///
/// Its text begins with the words of `ssh.md` 2; the place follows in parentheses.
#[derive(Debug)]
pub struct SshError {
    /// The host; none while it isn't known yet.
    pub place: Option<Box<Place>>,
    /// What was being done.
    pub step: Step,
    /// Why it failed.
    pub cause: Cause,
}

/// A host on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the host is on this way.
    pub role: Role,
    /// What the user calls it.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Who logs in there.
    pub user: String,
    /// The host it is reached through, if any.
    pub through: Option<String>,
}

/// A step on the way to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finding out where to go and with what.
    Prepare,
    /// Looking up the name, TCP, or the channel through the hop before.
    Connect,
    /// Key exchange and host key.
    Handshake,
    /// Logging in.
    Authenticate,
    /// Opening a channel on a connection.
    Channel,
}

/// Why a host would not open a channel (RFC 4254, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may not.
    Prohibited,
    /// It could not reach what it should connect to.
    ConnectFailed,
    /// It doesn't know this kind of channel.
    UnknownType,
    /// It has too many.
    Shortage,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Neither an agent nor a key file (`ssh.md` 2.2).
    #[error(
        "SSH_AUTH_SOCK environment variable is not set. Verify ssh-agent is running. See \
         https://github.com/coreos/fleet/blob/master/Documentation/using-the-client.md for help."
    )]
    NoIdentity,
    /// The server took none of the keys.
    #[error(
        "ssh: handshake failed: ssh: unable to authenticate, attempted methods [{attempted}], \
         no supported methods remain"
    )]
    Refused {
        /// The methods, with blanks between.
        attempted: &'static str,
        /// Keys, by where they come from, and what became of each.
        tried: String,
    },
    /// The limit passed.
    #[error("timed out while initiating SSH connection")]
    TimedOut(Duration),
    /// The host key isn't the known one; the user was told.
    #[error("ssh: handshake failed: host key mismatch")]
    Mismatch,
    /// The user doesn't know the host.
    #[error("ssh: handshake failed: unauthorized host")]
    Unauthorized,
    /// The host key, or the authority that signed it, is marked as revoked; the user was told.
    #[error("ssh: handshake failed: host key revoked")]
    Revoked,
    /// The host has no key of a type that was offered.
    #[error(
        "ssh: handshake failed: ssh: no common algorithm for host key; client offered: [{ours}], \
         server offered: [{theirs}]"
    )]
    NoCommonHostKey {
        /// What was offered, with blanks between.
        ours: String,
        /// What it has, with blanks between.
        theirs: String,
    },
    /// Hosts that are known could not be read.
    #[error(transparent)]
    KnownHosts(#[from] KnownHostsError),
    /// `~/.ssh/config` can't be used.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// Jump hosts that lead in a circle, or too many of them.
    #[error("jump hosts lead in a circle: {0}")]
    Jumps(String),
    /// A host that only a command leads to, which isn't run.
    #[error(
        "{place}: ProxyCommand of {host} isn't supported: name the hosts on the way with ProxyJump, \
         or with --tunnel"
    )]
    ProxyCommand {
        /// File and line.
        place: String,
        /// What the user calls the host.
        host: String,
    },
    /// An option that may be meant for the host, in a `Match` that isn't evaluated.
    #[error(
        "{place}: {option} can't be followed: whether it is meant for {host} is known to Match \
         {criterion} only, which isn't evaluated. An earlier {option} for {host} settles it"
    )]
    Undecided {
        /// File and line.
        place: String,
        /// Its name.
        option: &'static str,
        /// The criterion that would tell.
        criterion: String,
        /// What the user calls the host.
        host: String,
    },
    /// Keys that are revoked could not be read, so that any key might be.
    #[error("can't read RevokedHostKeys {}: {}", path.display(), plain(error))]
    RevokedHostKeys {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// All types of keys that the host can be asked for are ruled out.
    #[error("{place}: HostKeyAlgorithms leaves no type of key that {host} may show here")]
    HostKeyAlgorithms {
        /// File and line.
        place: String,
        /// The host.
        host: String,
    },
    /// A variable that the SSH configuration names and the environment doesn't have.
    #[error("environment variable {0} of the SSH configuration is not set")]
    Variable(String),
    /// Neither a tunnel nor a target.
    #[error("no host to connect to")]
    Nowhere,
    /// No address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// No such host.
    #[error("dial tcp: lookup {host}: {}", plain(error))]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// TCP.
    #[error("dial tcp {address}: connect: {}", plain(error))]
    Dial {
        /// Where to.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// A stream, or a file.
    #[error("{}", plain(.0))]
    Io(#[source] io::Error),
    /// The host would not open the channel.
    #[error("ssh: rejected: {refusal} ({reason})")]
    Rejected {
        /// In general.
        refusal: Refusal,
        /// Its words.
        reason: String,
    },
    /// The host hung up.
    #[error("ssh: handshake failed: ssh: disconnect: {words}")]
    Disconnected {
        /// Why, in its words.
        words: String,
        /// What was tried to log in by then; may be empty.
        tried: String,
    },
    /// The agent can't be reached.
    #[error("dial unix {}: connect: {}", path.display(), plain(error))]
    Agent {
        /// Its socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The agent doesn't list its keys, and there is nothing else to log in with.
    #[error("agent: failed to list keys")]
    AgentKeys {
        /// What was tried.
        tried: String,
    },
    /// No algorithm that both sides know.
    #[error(
        "ssh: handshake failed: ssh: no common algorithm for {what}; client offered: [{ours}], \
         server offered: [{theirs}]"
    )]
    NoCommonAlgorithm {
        /// What for.
        what: &'static str,
        /// What this side offered.
        ours: String,
        /// What the host offered.
        theirs: String,
    },
    /// The protocol failed.
    #[error("ssh: handshake failed: {0}")]
    Protocol(String),
    /// The connection is over.
    #[error("ssh: connection lost")]
    Lost,
}

impl From<russh::Error> for Cause {
    fn from(error: russh::Error) -> Self {
        use russh::{AlgorithmKind, Error};
        match error {
            Error::NoCommonAlgo { kind, ours, theirs } => Self::NoCommonAlgorithm {
                what: match kind {
                    AlgorithmKind::Kex => "key exchange",
                    AlgorithmKind::Key => "host key",
                    AlgorithmKind::Cipher => "cipher",
                    AlgorithmKind::Compression => "compression",
                    AlgorithmKind::Mac => "MAC",
                },
                ours: ours.join(" "),
                theirs: tame_stranger(&theirs.join(" ")),
            },
            Error::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Protocol("EOF".into())
            }
            Error::HUP | Error::Disconnect => Self::Protocol("EOF".into()),
            Error::IO(error) => Self::Protocol(plain(&error)),
            other => Self::Protocol(tame_stranger(&other.to_string())),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prohibited => "administratively prohibited",
            Self::ConnectFailed => "connect failed",
            Self::UnknownType => "unknown channel type",
            Self::Shortage => "resource shortage",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "preparing to connect to",
            Self::Connect => "connecting to",
            Self::Handshake => "in the handshake with",
            Self::Authenticate => "logging in to",
            Self::Channel => "opening a channel on",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.role)?;
        if self.name != self.address.host {
            write!(f, "{} at ", self.name)?;
        }
        write!(f, "{} as {}", self.address, self.user)?;
        self.through.as_ref().map_or(Ok(()), |hop| write!(f, " through {hop}"))
    }
}

impl fmt::Display for SshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let Some(place) = &self.place else { return Ok(()) };
        write!(f, " ({} {place}", self.step)?;
        match &self.cause {
            Cause::Refused { tried, .. }
            | Cause::Disconnected { tried, .. }
            | Cause::AgentKeys { tried }
                if !tried.is_empty() =>
            {
                write!(f, "; tried {tried}")?;
            }
            Cause::TimedOut(limit) => write!(f, " within {limit:?}")?,
            _ => {}
        }
        write!(f, ")")
    }
}

impl std::error::Error for SshError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text says all of it.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_does_nothing_to_the_terminal() {
        let label = "ssh-\x1b[2J\u{9b}x\r\nrsa".to_owned();
        let error = russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Cipher,
            ours: vec!["a".into()],
            theirs: vec![label.clone()],
        };
        assert!(Cause::from(error).to_string().ends_with("server offered: [ssh-[2Jxrsa]"));
        let unknown = russh::keys::ssh_key::Algorithm::new(&label).unwrap_err();
        let error = Cause::from(russh::Error::SshKey(unknown));
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
