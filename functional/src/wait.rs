//! Waiting for a condition that says what it last saw, and measuring how long that took.

#![expect(clippy::disallowed_types, reason = "no tokio here, and nothing that pauses time")]

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Pause between two looks at a condition: short against everything a story waits for.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures wall time from its start.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Tries `probe` until it succeeds and returns what it gave.
///
/// # Errors
/// When it still fails after `limit`: with `what` and the last failure.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if watch.elapsed() >= limit => {
                return Err(error).with_context(|| format!("not within {limit:?}: {what}"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Tries `probe` again and again for `span`, and at least once; it must succeed every time.
///
/// # Errors
/// With the first failure, `what`, and how long it had held.
pub fn throughout(what: &str, span: Duration, mut probe: impl FnMut() -> Result<()>) -> Result<()> {
    let watch = Stopwatch::start();
    loop {
        probe().with_context(|| format!("held for only {:?}: {what}", watch.elapsed()))?;
        if watch.elapsed() >= span {
            return Ok(());
        }
        thread::sleep(PAUSE * 25);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_wait_in_vain_tells_the_last_status() {
        let mut n = 0;
        let error = eventually("two is three", Duration::from_millis(30), || -> Result<()> {
            n += 1;
            bail!("look {n}")
        })
        .unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("two is three") && text.contains(&format!("look {n}")), "{text}");
        assert!(n > 1);
    }

    #[test]
    fn throughout_fails_at_the_first_failure() {
        let mut n = 0;
        let result = throughout("it holds", Duration::from_secs(60), || {
            n += 1;
            if n == 2 { bail!("broke") } else { Ok(()) }
        });
        assert!(result.is_err());
        assert_eq!(n, 2);
    }
}
