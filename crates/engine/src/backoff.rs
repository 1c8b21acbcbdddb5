//! Growing pauses between attempts to reach the registry.

use std::time::Duration;

/// The first pause: short, since most failures are a member of etcd that restarts.
const FIRST: Duration = Duration::from_millis(50);

/// Pauses that double up to a limit, with jitter so that machines don't ask in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) fn up_to(most: Duration) -> Self {
        Self { next: FIRST.min(most), most }
    }

    /// How long to wait now: between half and all of the current pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.most);
        pause
    }

    /// Whether the attempt before succeeded: whoever logs failures need not repeat itself.
    pub(crate) fn is_fresh(&self) -> bool {
        self.next <= FIRST.min(self.most)
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_over() {
        let most = Duration::from_secs(1);
        let mut backoff = Backoff::up_to(most);
        assert!(backoff.is_fresh());
        let pauses: Vec<Duration> = (0..8).map(|_| backoff.pause()).collect();
        assert!(!backoff.is_fresh());
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST, "{pauses:?}");
        assert!(pauses[7] >= most / 2 && pauses[7] <= most, "{pauses:?}");
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
