//! How many connections there may be, and which one goes when there is one too many.
//!
//! A connection is *idle* while it waits for its client and no request of it is being worked on:
//! before its first, between two, while it sends one, its body included, or takes an answer. When all
//! slots are taken the connection that has been idle longest is told to close, or, when all are busy,
//! the first that becomes idle. So a client that opens many and does nothing pushes out itself, and
//! one that sends a proper request is served.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The slots of a server.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// The idle connections, the one that has been idle longest first.
#[derive(Debug, Default)]
struct Idle {
    last: u64,
    waiting: BTreeMap<u64, CancellationToken>,
    /// How many wait for a slot and found nobody to evict.
    wanted: usize,
}

impl Slots {
    /// This many slots, all free.
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), idle: Mutex::default() })
    }

    /// Waits for a slot; when there is none, makes an idle connection give up its own.
    pub(crate) async fn take(self: &Arc<Self>) -> Slot {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _want = self.evict();
                free.acquire_owned().await.expect("nothing closes this semaphore")
            }
        };
        let evicted = CancellationToken::new();
        let mut slot = Slot { slots: Arc::clone(self), evicted, ticket: 0, _permit: permit };
        slot.join_idle();
        slot
    }

    /// Tells a connection to close: one that is idle, else the next that will be.
    fn evict(&self) -> Option<Want<'_>> {
        let mut idle = self.idle();
        while let Some((_, connection)) = idle.waiting.pop_first() {
            // One that was told before it took its last request makes room for somebody else.
            if !connection.is_cancelled() {
                connection.cancel();
                return None;
            }
        }
        idle.wanted += 1;
        Some(Want(self))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing that runs under this lock can fail half way.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a connection to become idle.
struct Want<'a>(&'a Slots);

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.0.idle().wanted -= 1;
    }
}

/// A connection's slot; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    evicted: CancellationToken,
    /// The connection's place among the idle ones; 0 while it is busy.
    ticket: u64,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Cancelled when another connection needs the slot.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// Whether a request of this connection is being worked on.
    pub(crate) fn is_busy(&self) -> bool {
        self.ticket == 0
    }

    /// Notes that a request is being worked on.
    pub(crate) fn set_busy(&mut self) {
        self.slots.idle().waiting.remove(&self.ticket);
        self.ticket = 0;
    }

    /// Notes that the connection waits for its client. One that does already keeps its place.
    pub(crate) fn set_idle(&mut self) {
        if !self.is_busy() {
            return;
        }
        self.join_idle();
        if self.slots.idle().wanted > 0 {
            self.evicted.cancel();
        }
    }

    fn join_idle(&mut self) {
        let mut idle = self.slots.idle();
        idle.last += 1;
        self.ticket = idle.last;
        idle.waiting.insert(self.ticket, self.evicted.clone());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.idle().waiting.remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room() {
        let slots = Slots::new(3);
        let mut first = slots.take().await;
        let second = slots.take().await;
        let mut third = slots.take().await;
        third.set_busy();
        first.set_busy();
        first.set_idle();

        let evicted = async {
            second.evicted().cancelled().await;
            drop(second);
        };
        let (fourth, ()) = tokio::join!(slots.take(), evicted);
        assert!(!first.evicted().is_cancelled() && !third.evicted().is_cancelled());
        drop(fourth);
        assert_eq!(slots.idle().waiting.len(), 1, "only the first is idle");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_the_first_that_is_idle_makes_room() {
        let slots = Slots::new(1);
        let mut only = slots.take().await;
        only.set_busy();
        let finished = async {
            tokio::task::yield_now().await;
            assert!(!only.evicted().is_cancelled());
            only.set_idle();
            only.evicted().cancelled().await;
            drop(only);
        };
        let (next, ()) = tokio::join!(slots.take(), finished);
        assert!(!next.evicted().is_cancelled());
        assert_eq!(slots.idle().wanted, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_makes_room_for_one_only() {
        let slots = Slots::new(2);
        let mut first = slots.take().await;
        let mut second = slots.take().await;
        second.set_busy();
        let finished = async {
            // It took a request before it heard that it has to go, and still sends the answer.
            first.evicted().cancelled().await;
            first.set_busy();
            first.set_idle();
            tokio::task::yield_now().await;
            second.set_idle();
            second.evicted().cancelled().await;
            drop((first, second));
        };
        let later = async {
            tokio::task::yield_now().await;
            slots.take().await
        };
        let all = async { tokio::join!(slots.take(), finished, later) };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("both get a slot");
    }
}
