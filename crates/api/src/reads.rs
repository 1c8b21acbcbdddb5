//! Keeps the reading of the registry within bounds, so that etcd and this process have something
//! left for whoever else needs them.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time,
};

use crate::{Limits, error::ApiError};

/// Lets in so many requests at a time, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Reads {
    slots: Semaphore,
    waiting: Semaphore,
    patience: Duration,
}

impl Reads {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Semaphore::new(limits.reads),
            waiting: Semaphore::new(limits.reads_waiting),
            patience: limits.reads_time,
        }
    }

    /// Waits until one more may read. It may for as long as it keeps what this returns.
    pub(crate) async fn begin(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _place = self.waiting.try_acquire().map_err(|_| ApiError::Busy)?;
        match time::timeout(self.patience, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(ApiError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_read_some_wait_and_not_for_ever_and_the_others_are_refused() {
        let limits = Limits {
            reads: 2,
            reads_waiting: 1,
            reads_time: Duration::from_secs(3),
            ..Limits::default()
        };
        let reads = Reads::new(&limits);
        let [first, second] = [reads.begin().await.unwrap(), reads.begin().await.unwrap()];

        let start = time::Instant::now();
        let (waited, refused) = tokio::join!(reads.begin(), reads.begin());
        assert!(matches!((&waited, &refused), (Err(ApiError::Busy), Err(ApiError::Busy))));
        assert_eq!(start.elapsed(), limits.reads_time, "one of them has waited");

        let leaves = async {
            time::sleep(limits.reads_time / 2).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(reads.begin(), leaves);
        assert!(waited.is_ok());
        drop(second);
        assert!(reads.begin().await.is_ok());
    }
}
