//! Pauses between attempts at a change that others keep getting ahead of.

use std::time::Duration;

use fleet_core::{Backoff, Pauses};
use tokio::time::{self, Instant};

/// The first pause, and the longest: rivals on one unit are done in a few transactions.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(1), Duration::from_millis(50));

/// Attempts at one change, for a limited time. Each that comes too late means that somebody else's
/// change went in; pauses that grow, and differ, let everybody's do so in the end.
#[derive(Debug)]
pub struct Attempts {
    until: Instant,
    backoff: Backoff,
}

impl Attempts {
    /// Attempts from now on for so long.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        let backoff = PAUSES.begin_jittered(fastrand::Rng::new());
        Self { until: Instant::now() + time, backoff }
    }

    /// Pauses before the next attempt; false when there is no time for one.
    pub async fn again(&mut self) -> bool {
        let pause = self.backoff.pause();
        if Instant::now() + pause > self.until {
            return false;
        }
        time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_their_time_and_not_before() {
        let (start, time) = (Instant::now(), Duration::from_secs(1));
        let mut attempts = Attempts::within(time);
        let mut count = 0;
        while attempts.again().await {
            count += 1;
        }
        assert!(start.elapsed() <= time && start.elapsed() > time - 2 * PAUSES.longest());
        assert!((20..60).contains(&count), "{count}");
        assert!(!Attempts::within(Duration::ZERO).again().await);
    }
}
