//! A machine's touch with the registry, as its presence shows.

use std::time::Duration;

use tokio::time::Instant;

/// A stretch of time in which a machine's presence was kept without a gap: its lease never ended,
/// and its beats were never too far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// When it began.
    pub since: Instant,
    /// When it counts as broken, unless another beat succeeds before.
    pub until: Instant,
    /// Whether another stretch came before it, in this process: then there was a gap.
    pub after_gap: bool,
}

impl Contact {
    /// Whether it has lasted for `time`, and lasts.
    #[must_use]
    pub fn has_lasted(&self, time: Duration) -> bool {
        self.since.elapsed() >= time && Instant::now() < self.until
    }

    /// Whether it lasts at `now`.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        now < self.until
    }
}
