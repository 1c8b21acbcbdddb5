//! Pauses between attempts to reach the registry.

use std::time::Duration;

use fleet_core::{Backoff, Pauses};

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
