//! The time of day, and the time since the machine was booted.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::exhibits::Exhibit;

/// Where the kernel says which boot this is (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The time since 1970 by the machine's clock, which may be set at any moment, forwards and back.
#[must_use]
pub fn since_1970() -> Duration {
    #[cfg(feature = "testing")]
    if let Some(now) = crate::played::with(|played| played.since_1970()) {
        return now;
    }
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO)
}

/// The time since the machine was booted, by a clock that nobody sets and that every process of this
/// boot shares (`CLOCK_MONOTONIC`). It stands still while the machine is suspended.
#[must_use]
pub fn since_boot() -> Duration {
    if Exhibit::ClockThatIsSet.is_shown() {
        return since_1970();
    }
    #[cfg(feature = "testing")]
    if let Some(now) = crate::played::with(|played| played.since_boot()) {
        return now;
    }
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or(Duration::ZERO)
}

/// What tells this boot of the machine from all others; empty when nothing does.
#[must_use]
pub fn boot_id() -> String {
    #[cfg(feature = "testing")]
    if let Some(id) = crate::played::with(|played| played.boot_id()) {
        return id;
    }
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_boot_goes_on_and_is_the_one_that_instants_go_by() {
        let (before, begun) = (since_boot(), tokio::time::Instant::now());
        let (passed, after) = (begun.elapsed(), since_boot());
        assert!(!before.is_zero() && before <= after);
        assert!(after - before >= passed, "{before:?} {after:?} {passed:?}");
        assert!(!boot_id().contains('\n'));
    }
}
