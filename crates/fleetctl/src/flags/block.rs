//! How long a command waits, as its flags say it.

use std::{num::NonZeroU32, time::Duration};

use clap::{Arg, ArgMatches};

use super::{flag, int};

/// The length of an attempt.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);

/// How long a command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Not at all.
    No,
    /// That many attempts.
    Attempts(NonZeroU32),
    /// As long as it takes.
    Forever,
}

impl Block {
    /// What `--no-block` and `--block-attempts` mean together.
    pub(crate) fn new(no_block: bool, attempts: i64) -> Self {
        if no_block {
            return Self::No;
        }
        let attempts = u32::try_from(attempts.clamp(0, u32::MAX.into())).unwrap_or_default();
        NonZeroU32::new(attempts).map_or(Self::Forever, Self::Attempts)
    }

    /// How long that is at most, when there is a limit.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Self::No => Some(Duration::ZERO),
            Self::Attempts(count) => Some(ATTEMPT.saturating_mul(count.get())),
            Self::Forever => None,
        }
    }
}

/// The flag of commands that always wait.
pub(crate) fn attempts() -> Arg {
    int(
        "block-attempts",
        "Wait for the units in at most that many attempts of 2 seconds; \
         0 to wait as long as it takes",
    )
}

/// What [`attempts`] says.
pub(crate) fn attempts_block(matches: &ArgMatches) -> Block {
    Block::new(false, matches.get_one("block-attempts").copied().unwrap_or_default())
}

/// The flags of commands that wait.
pub(crate) fn blocking() -> [Arg; 2] {
    [attempts(), flag("no-block", "Do not wait for the units")]
}

/// What [`blocking`] says.
pub(crate) fn block(matches: &ArgMatches) -> Block {
    let attempts = matches.get_one("block-attempts").copied().unwrap_or_default();
    Block::new(matches.get_flag("no-block"), attempts)
}
