//! Pauses between attempts to reach the registry, and waiting for times that may never come.

use std::time::Duration;

use fleet_core::{Backoff, Pauses};
use tokio::time::{self, Instant};

/// The first pause: short, since most failures are a member of etcd that restarts.
const FIRST: Duration = Duration::from_millis(50);

/// Pauses of `longest` at most.
pub(crate) const fn pauses(longest: Duration) -> Pauses {
    Pauses::between(FIRST, longest)
}

/// Attempts with such pauses, so that machines don't ask in step.
pub(crate) fn backoff(longest: Duration) -> Backoff {
    pauses(longest).begin_jittered(fastrand::Rng::new())
}

/// Waits until `at`; for ever, where there is no such time. Cancel-safe.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
