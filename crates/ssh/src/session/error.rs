//! What can go wrong with a job.

use std::{io, time::Duration};

use fleet_core::error_text::plain;

use crate::SshError;

/// Why a job has no end to tell of.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host opens no session.
    #[error(transparent)]
    Channel(#[from] SshError),
    /// The host doesn't want the agent.
    #[error("forwarding request denied")]
    ForwardingDenied,
    /// The host gives no terminal.
    #[error("ssh: pty-req failed")]
    NoTerminal,
    /// The host doesn't run the command.
    #[error("ssh: command {0} failed")]
    Refused(String),
    /// The host starts no shell.
    #[error("ssh: could not start shell")]
    NoShell,
    /// The host answers a request neither this way nor that.
    #[error("ssh: no answer to the request for {0} within {1:?}")]
    Unanswered(&'static str, Duration),
    /// The connection broke.
    #[error("wait: remote command exited without exit status or exit signal")]
    Lost,
    /// The local terminal, or reading the input.
    #[error("can't use stdin: {}", plain(.0))]
    Input(io::Error),
    /// The output can't be written.
    #[error("can't write the output: {}", plain(.0))]
    Output(io::Error),
}

impl RunError {
    /// Whether the job was started before this happened.
    pub fn started(&self) -> bool {
        match self {
            Self::Channel(_)
            | Self::ForwardingDenied
            | Self::NoTerminal
            | Self::Refused(_)
            | Self::NoShell
            | Self::Unanswered(..)
            | Self::Input(_) => false,
            Self::Lost | Self::Output(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_breaks_later_counts_as_started() {
        assert!(RunError::Lost.started());
        assert!(!RunError::NoShell.started());
        assert!(!RunError::ForwardingDenied.started());
    }
}
