//! How a command fails, and what becomes of it: the one place for exit codes (`fleetctl.md` 1.4).

use std::io;

/// The exit code of a failed command.
const FAILED: u8 = 1;
/// The exit code of a command line that means nothing.
const USAGE: u8 = 2;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// It failed; the text is complete.
    #[error("{0}")]
    Failed(String),
    /// It failed, and has said so.
    #[error("failed")]
    Reported,
    /// It ends with the code of what it ran, or has said why it couldn't run it.
    #[error("ended with {0}")]
    Ended(u8),
    /// The words or the environment mean nothing.
    #[error("Error: {message}")]
    Usage {
        /// What is wrong, without the word `Error`.
        message: String,
        /// Where to look.
        hint: String,
    },
    /// It asks for something that was given up long ago; the text is complete.
    #[error("{0}")]
    GivenUp(String),
    /// The result could not be written.
    #[error("writing the output failed: {0}")]
    Output(#[source] io::Error),
}

impl CliError {
    /// A failure with this text.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The result of a command that ran others, the first of which that failed ended with `code`.
    pub(crate) fn ended(code: u8) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::Ended(code)) }
    }

    /// The code to end with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Reported | Self::Output(_) => FAILED,
            Self::Ended(code) => *code,
            Self::Usage { .. } | Self::GivenUp(_) => USAGE,
        }
    }

    /// What the user is told, unless that is done.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Reported | Self::Ended(_) => None,
            Self::Usage { hint, .. } => Some(format!("{self}\n\n{hint}")),
            Self::Failed(_) | Self::GivenUp(_) | Self::Output(_) => Some(self.to_string()),
        }
    }
}
