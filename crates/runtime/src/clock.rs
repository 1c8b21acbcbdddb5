//! The time of day.

use std::time::{Duration, SystemTime};

/// The time since 1970 by the machine's clock, which may be set at any moment, forwards and back.
#[must_use]
pub fn since_1970() -> Duration {
    #[cfg(feature = "testing")]
    if let Some(now) = crate::played::with(|played| played.since_1970()) {
        return now;
    }
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO)
}
