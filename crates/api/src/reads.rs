//! Keeps the reading of the registry within bounds, so that etcd and this process have something
//! left for whoever else needs them.

use std::time::Duration;

use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time,
};

use crate::{Limits, error::ApiError};

/// How much a request reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A page of a list.
    List,
    /// What there is about one unit.
    Item,
}

/// The leave to read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    _list: Option<SemaphorePermit<'a>>,
    _slot: SemaphorePermit<'a>,
}

/// Lets in so many requests at a time, in the order in which they came; of those that read much only
/// some.
#[derive(Debug)]
pub(crate) struct Reads {
    slots: Semaphore,
    lists: Semaphore,
    waiting: Semaphore,
    patience: Duration,
}

impl Reads {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Semaphore::new(limits.reads),
            lists: Semaphore::new(limits.lists),
            waiting: Semaphore::new(limits.reads_waiting),
            patience: limits.reads_time,
        }
    }

    /// Waits until one more may read. It may for as long as it keeps what this returns.
    pub(crate) async fn begin(&self, size: Size) -> Result<Reading<'_>, ApiError> {
        if let Some(reading) = self.try_begin(size) {
            return Ok(reading);
        }
        let _place = self.waiting.try_acquire().map_err(|_| ApiError::Busy)?;
        let both = async {
            // A list that waits for its turn takes no slot from others.
            let list = match size {
                Size::List => Some(self.lists.acquire().await?),
                Size::Item => None,
            };
            Ok::<_, AcquireError>(Reading { _list: list, _slot: self.slots.acquire().await? })
        };
        match time::timeout(self.patience, both).await {
            Ok(Ok(reading)) => Ok(reading),
            // They are never closed.
            Ok(Err(_)) | Err(_) => Err(ApiError::Busy),
        }
    }

    fn try_begin(&self, size: Size) -> Option<Reading<'_>> {
        let list = match size {
            Size::List => Some(self.lists.try_acquire().ok()?),
            Size::Item => None,
        };
        Some(Reading { _list: list, _slot: self.slots.try_acquire().ok()? })
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
        let [first, second] =
            [reads.begin(Size::Item).await.unwrap(), reads.begin(Size::Item).await.unwrap()];

        let start = time::Instant::now();
        let (waited, refused) = tokio::join!(reads.begin(Size::Item), reads.begin(Size::Item));
        assert!(matches!((&waited, &refused), (Err(ApiError::Busy), Err(ApiError::Busy))));
        assert_eq!(start.elapsed(), limits.reads_time, "one of them has waited");

        let leaves = async {
            time::sleep(limits.reads_time / 2).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(reads.begin(Size::Item), leaves);
        assert!(waited.is_ok());
        drop(second);
        assert!(reads.begin(Size::Item).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_read_lists_leave_some_room_for_the_others() {
        let limits = Limits { reads: 3, lists: 2, ..Limits::default() };
        let reads = Reads::new(&limits);
        let lists =
            [reads.begin(Size::List).await.unwrap(), reads.begin(Size::List).await.unwrap()];
        let third = reads.begin(Size::List);
        let item = async {
            time::sleep(limits.reads_time / 2).await;
            assert!(reads.try_begin(Size::Item).is_some(), "the list that waits takes no slot");
            drop(lists);
        };
        let (third, ()) = tokio::join!(third, item);
        assert!(third.is_ok());
    }
}
