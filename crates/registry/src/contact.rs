//! A machine's touch with the registry, as its presence shows.

use std::time::Duration;

use tokio::time::Instant;

/// The engine lease lives for this many reconcile intervals (`cluster.md` 3). That long an engine gives
/// machines to return after a gap in its contact, before it takes them for dead (decision 4).
pub const LEASE_IN_INTERVALS: u32 = 5;

/// The longest pause between two attempts to return, whatever the interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How long a machine may pause between two attempts to be present again, so that it is back before
/// an engine that reconciles every `interval` takes it for dead, with time for attempts that are slow.
#[must_use]
pub fn longest_pause_to_return(interval: Duration) -> Duration {
    LONGEST_PAUSE.min(interval * LEASE_IN_INTERVALS * 2 / 5)
}

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
