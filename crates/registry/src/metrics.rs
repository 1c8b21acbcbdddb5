//! Counts what is done with unit files, for `GET /metrics` (`api.md` 8). Lock-free; the clones of a
//! registry count together, and registries that were given the same counters.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Upper bounds of a [`Histogram`]'s buckets in seconds (`api.md` 8); one more has no bound.
pub const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Durations by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many fell into each of [`BUCKETS`] but in none before, and at last beyond all.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum of all in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&mut self, duration: Duration) {
        self.counts[bucket(duration)] += 1;
        self.sum += duration.as_secs_f64();
    }
}

/// What was done with unit files since this process started, by kind of operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileMetrics {
    /// Contents of named units were read.
    pub get: OperationMetrics,
    /// The content of a unit was stored.
    pub set: OperationMetrics,
    /// A page of the list of all units was read.
    pub get_all: OperationMetrics,
}

/// How an operation went so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationMetrics {
    /// How often it was tried.
    pub count: u64,
    /// How often that failed.
    pub failed: u64,
    /// How long it took when it didn't.
    pub durations: Histogram,
}

/// The counters behind [`FileMetrics`].
#[derive(Debug, Default)]
pub struct FileCounters {
    pub(crate) get: Counter,
    pub(crate) set: Counter,
    pub(crate) get_all: Counter,
}

/// Counts one operation.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

impl FileCounters {
    pub(crate) fn read(&self) -> FileMetrics {
        FileMetrics { get: self.get.read(), set: self.set.read(), get_all: self.get_all.read() }
    }
}

impl Counter {
    /// Counts what `operation` does. One that is dropped half way doesn't count.
    pub(crate) async fn count<T, E>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.count_unless(operation, |_| false).await
    }

    /// The same but for errors that mean that there was nothing to do.
    pub(crate) async fn count_unless<T, E>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
        is_nothing: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let started = Instant::now();
        let result = operation.await;
        match &result {
            Ok(_) => self.took(started.elapsed()),
            Err(error) if is_nothing(error) => {}
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    fn took(&self, duration: Duration) {
        self.buckets[bucket(duration)].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Each number is right by itself; an operation that ends just now may be in some of them only.
    fn read(&self) -> OperationMetrics {
        let failed = self.failed.load(Ordering::Relaxed);
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        let count = failed + counts.iter().sum::<u64>();
        OperationMetrics { count, failed, durations: Histogram { counts, sum } }
    }
}

/// The first bucket that holds a duration.
fn bucket(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len())
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let mut histogram = Histogram::default();
        for millis in [0, 5, 6, 10_000, 10_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut expected = [0; BUCKETS.len() + 1];
        (expected[0], expected[1], expected[10], expected[11]) = (2, 1, 1, 1);
        assert_eq!(histogram.counts, expected);
        assert!((histogram.sum - 20.012).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_count_but_have_no_duration() {
        let counter = Counter::default();
        for (millis, result) in [(30, Ok(())), (7, Err(())), (2000, Ok(()))] {
            let operation = async {
                time::sleep(Duration::from_millis(millis)).await;
                result
            };
            assert_eq!(counter.count(operation).await, result);
        }
        let OperationMetrics { count, failed, durations } = counter.read();
        assert_eq!((count, failed), (3, 1));
        assert_eq!((durations.counts[3], durations.counts[8]), (1, 1));
        assert!((durations.sum - 2.03).abs() < 1e-9, "{}", durations.sum);
    }
}
