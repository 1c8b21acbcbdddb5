//! How many connections there may be, and which one goes when there is one too many.
//!
//! A connection is *idle* while it waits for its client and no request of it is being worked on:
//! before its first, between two, while it sends one, its body included, or takes an answer. When all
//! slots are taken the connection that has been idle longest is told to close, or, when all are busy,
//! the first that becomes idle. So a client that opens many and does nothing pushes out itself, and
//! one that sends a proper request is served. One that has sent something that wasn't read yet
//! declines, and another makes room.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::listener::Unread;

/// The slots of a server.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

/// Who is idle, and for how many somebody has to go.
#[derive(Debug, Default)]
struct State {
    last: u64,
    /// The idle connections that weren't told to close, the one that has been idle longest first.
    idle: BTreeMap<u64, CancellationToken>,
    /// How many wait for a slot.
    waiting: usize,
    /// How many were told to close and are still there.
    closing: usize,
}

impl State {
    fn join_idle(&mut self, evicted: &CancellationToken) -> u64 {
        self.last += 1;
        self.idle.insert(self.last, evicted.clone());
        self.last
    }

    /// Tells as many connections to close as are needed, and can be.
    fn make_room(&mut self) {
        while self.closing < self.waiting
            && let Some((_, connection)) = self.idle.pop_first()
        {
            connection.cancel();
            self.closing += 1;
        }
    }
}

impl Slots {
    /// This many slots, all free.
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), state: Mutex::default() })
    }

    /// Waits for a slot for the connection that `unread` tells of; when there is none, makes an
    /// idle connection give up its own.
    pub(crate) async fn take(self: &Arc<Self>, unread: Unread) -> Slot {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waiter = Waiter::of(self);
                let permit = free.acquire_owned().await.expect("nothing closes this semaphore");
                waiter.met();
                permit
            }
        };
        let evicted = CancellationToken::new();
        let ticket = self.state().join_idle(&evicted);
        Slot { slots: Arc::clone(self), evicted, unread, ticket, _permit: permit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can fail half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a slot. The slot that is given up for it takes back what was asked for.
struct Waiter<'a>(&'a Slots);

impl<'a> Waiter<'a> {
    fn of(slots: &'a Slots) -> Self {
        let mut state = slots.state();
        state.waiting += 1;
        state.make_room();
        drop(state);
        Self(slots)
    }

    fn met(self) {
        std::mem::forget(self);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

/// A connection's slot; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    evicted: CancellationToken,
    unread: Unread,
    /// The connection's place among the idle ones; 0 while it is busy.
    ticket: u64,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Cancelled when another connection needs the slot.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// Keeps the slot though it was told to close, if its client has sent something that wasn't
    /// read: another goes instead. Returns what tells it the next time.
    pub(crate) fn decline(&mut self) -> Option<CancellationToken> {
        if self.is_busy() || !self.unread.is_any() {
            return None;
        }
        self.evicted = CancellationToken::new();
        let mut state = self.slots.state();
        state.closing = state.closing.saturating_sub(1);
        // Behind all others, which are asked first.
        self.ticket = state.join_idle(&self.evicted);
        state.make_room();
        drop(state);
        Some(self.evicted.clone())
    }

    /// Whether a request of this connection is being worked on.
    pub(crate) fn is_busy(&self) -> bool {
        self.ticket == 0
    }

    /// Notes that a request is being worked on.
    pub(crate) fn set_busy(&mut self) {
        self.slots.state().idle.remove(&self.ticket);
        self.ticket = 0;
    }

    /// Notes that the connection waits for its client. One that does already keeps its place, and
    /// one that was told to close needs none.
    pub(crate) fn set_idle(&mut self) {
        if !self.is_busy() || self.evicted.is_cancelled() {
            return;
        }
        let mut state = self.slots.state();
        self.ticket = state.join_idle(&self.evicted);
        state.make_room();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.idle.remove(&self.ticket);
        // It goes to one who waits, if there is one.
        state.waiting = state.waiting.saturating_sub(1);
        if self.evicted.is_cancelled() {
            state.closing = state.closing.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room() {
        let slots = Slots::new(3);
        let mut first = slots.take(Unread::default()).await;
        let second = slots.take(Unread::default()).await;
        let mut third = slots.take(Unread::default()).await;
        third.set_busy();
        first.set_busy();
        first.set_idle();

        let evicted = async {
            second.evicted().cancelled().await;
            drop(second);
        };
        let (fourth, ()) = tokio::join!(slots.take(Unread::default()), evicted);
        assert!(!first.evicted().is_cancelled() && !third.evicted().is_cancelled());
        drop(fourth);
        assert_eq!(slots.state().idle.len(), 1, "only the first is idle");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_the_first_that_is_idle_makes_room() {
        let slots = Slots::new(1);
        let mut only = slots.take(Unread::default()).await;
        only.set_busy();
        let finished = async {
            tokio::task::yield_now().await;
            assert!(!only.evicted().is_cancelled());
            only.set_idle();
            only.evicted().cancelled().await;
            drop(only);
        };
        let (next, ()) = tokio::join!(slots.take(Unread::default()), finished);
        assert!(!next.evicted().is_cancelled());
        assert_eq!(slots.state().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_makes_room_for_one_only() {
        let slots = Slots::new(2);
        let mut first = slots.take(Unread::default()).await;
        let mut second = slots.take(Unread::default()).await;
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
            slots.take(Unread::default()).await
        };
        let all = async { tokio::join!(slots.take(Unread::default()), finished, later) };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("both get a slot");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_sent_something_stays_and_another_goes() {
        let slots = Slots::new(2);
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut first = slots.take(Unread::of(&ours)).await;
        let mut second = slots.take(Unread::default()).await;
        theirs.write_all(b"GET").unwrap();
        let evicted = async {
            first.evicted().cancelled().await;
            let next = first.decline().expect("its client has sent something");
            second.evicted().cancelled().await;
            assert!(second.decline().is_none());
            drop(second);
            assert!(!next.is_cancelled());
        };
        let (third, ()) = tokio::join!(slots.take(Unread::default()), evicted);
        assert_eq!(slots.state().waiting, 0);
        assert_eq!(slots.state().closing, 0);
        ours.read_exact(&mut [0; 3]).unwrap();
        assert!(first.decline().is_none(), "there is nothing left to read");
        drop(third);
    }
}
