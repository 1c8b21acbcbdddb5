//! Waiting for a condition, never for time.

use std::{fmt::Display, future::Future, time::Duration};

use fleet_core::Pauses;
use tokio::time::{Instant, sleep, timeout_at};

/// The pauses between attempts.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(1), Duration::from_millis(100));

/// What an attempt came to: `Some` or `Ok` ends the waiting.
pub trait Attempt {
    /// What was waited for.
    type Output;

    /// The output, or how far things are.
    ///
    /// # Errors
    /// The status to report if time runs out now.
    fn outcome(self) -> Result<Self::Output, String>;
}

impl<T> Attempt for Option<T> {
    type Output = T;
    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "not yet".to_owned())
    }
}

impl<T, E: Display> Attempt for Result<T, E> {
    type Output = T;
    fn outcome(self) -> Result<T, String> {
        self.map_err(|status| status.to_string())
    }
}

/// Tries `attempt` with growing pauses until it succeeds, and returns what it found.
///
/// An attempt that hangs is cut off when `patience` is over. Works under paused time as well.
///
/// # Panics
/// When it hasn't succeeded after `patience`, with `what` was waited for and the last status.
pub async fn eventually<F, Fut, A>(what: &str, patience: Duration, mut attempt: F) -> A::Output
where
    F: FnMut() -> Fut,
    Fut: Future<Output = A>,
    A: Attempt,
{
    let deadline = Instant::now() + patience;
    let mut status = "the first attempt did not end".to_owned();
    let mut backoff = PAUSES.begin();
    while let Ok(attempted) = timeout_at(deadline, attempt()).await {
        match attempted.outcome() {
            Ok(output) => return output,
            Err(now) => status = now,
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(backoff.pause().min(deadline - Instant::now())).await;
    }
    panic!("{what}: not within {patience:?}; last status: {status}");
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, panic::AssertUnwindSafe};

    use super::*;

    /// Runs `future` to its end or panic, and returns the panic's text.
    fn panic_of(future: impl Future<Output = ()>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
        *result.expect_err("a panic").downcast::<String>().expect("a text")
    }

    #[tokio::test]
    async fn attempts_are_repeated_until_one_succeeds() {
        let tries = Cell::new(0);
        let found = eventually("three tries", Duration::from_secs(10), || async {
            tries.set(tries.get() + 1);
            (tries.get() == 3).then_some("found")
        });
        assert_eq!(found.await, "found");
        assert_eq!(tries.get(), 3);
    }

    #[test]
    fn last_status_is_reported() {
        let tries = Cell::new(0);
        let text = panic_of(eventually("the unit is active", Duration::from_millis(5), || async {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err("activating") } else { Err("failed") }
        }));
        assert_eq!(text, "the unit is active: not within 5ms; last status: failed");
    }

    #[test]
    fn attempt_that_hangs_is_cut_off() {
        let text = panic_of(eventually("an answer", Duration::from_millis(1), || async {
            pending::<Option<()>>().await
        }));
        assert!(text.ends_with("last status: the first attempt did not end"), "{text}");
    }
}
