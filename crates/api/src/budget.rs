//! The memory that request bodies may take together.
//!
//! A body that needs more than is left waits, the newest first: one that was sent just now is more
//! likely to be complete soon than one that has waited. While somebody waits, a body that has had its
//! share for [`GRACE`] and still isn't here gives it back. So senders that trickle hold up others for
//! that long, however many they are, and nobody who sends at once is cut off.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::{self, Instant},
};

/// How long a body may take to come though others wait for its share.
const GRACE: Duration = Duration::from_millis(500);

/// So many bytes, shared out.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    state: Mutex<State>,
    /// Whether anybody waits.
    crowded: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Who waits, and for how many bytes; the newest last.
    queue: Vec<(usize, oneshot::Sender<Share>)>,
}

/// A part of a budget; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
    since: Instant,
}

impl Budget {
    /// A budget of `total` bytes.
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let state = Mutex::new(State { free: total, queue: Vec::new() });
        Arc::new(Self { total, state, crowded: watch::Sender::new(false) })
    }

    /// Waits for this many bytes, or for all there are where that is less. The caller bounds the
    /// time.
    pub(crate) async fn take(self: &Arc<Self>, bytes: usize) -> Share {
        let bytes = bytes.min(self.total);
        let (give, given) = oneshot::channel();
        self.state().queue.push((bytes, give));
        self.share_out();
        given.await.expect("whoever waits is served or goes first")
    }

    /// Gives what is left to those who wait.
    fn share_out(self: &Arc<Self>) {
        let mut served = Vec::new();
        let mut guard = self.state();
        let state = &mut *guard;
        state.queue.retain(|(_, give)| !give.is_closed());
        while let Some((bytes, give)) = state.queue.pop_if(|(bytes, _)| *bytes <= state.free) {
            state.free -= bytes;
            let budget = Arc::clone(self);
            served.push((give, Share { budget, bytes, since: Instant::now() }));
        }
        let crowded = !state.queue.is_empty();
        self.crowded.send_if_modified(|was| std::mem::replace(was, crowded) != crowded);
        drop(guard);
        for (give, share) in served {
            // One that has gone meanwhile gives its share back.
            let _ = give.send(share);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can fail half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Waits until this has been held for its time, and somebody else waits for it. Cancel-safe.
    pub(crate) async fn is_wanted_back(&self) {
        time::sleep_until(self.since + GRACE).await;
        let mut crowded = self.budget.crowded.subscribe();
        // Its sender is in the budget that this holds.
        let _ = crowded.wait_for(|crowded| *crowded).await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.state().free += self.bytes;
        self.budget.share_out();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_more_than_there_is_and_the_newest_is_served_first() {
        let budget = Budget::new(10);
        let first = budget.take(6).await;
        let all = budget.take(100);
        tokio::pin!(all);
        assert!(all.as_mut().now_or_never().is_none());
        let small = budget.take(4).await;
        let newer = budget.take(6);
        tokio::pin!(newer);
        assert!(newer.as_mut().now_or_never().is_none());
        drop(first);
        let newer = newer.await;
        assert!(all.as_mut().now_or_never().is_none());
        drop((small, newer));
        assert_eq!(all.await.bytes, 10, "all there is");
        assert_eq!(budget.state().free, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_wanted_back_after_a_while_and_only_if_somebody_waits() {
        let budget = Budget::new(10);
        let held = budget.take(10).await;
        assert!(time::timeout(100 * GRACE, held.is_wanted_back()).await.is_err());
        let waiting = budget.take(1);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        held.is_wanted_back().await;
        drop(held);
        let next = waiting.await;
        let begun = Instant::now();
        let other = budget.take(10);
        tokio::pin!(other);
        assert!(other.as_mut().now_or_never().is_none());
        next.is_wanted_back().await;
        assert_eq!(begun.elapsed(), GRACE, "everybody has that long");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_leaves_nothing_behind() {
        let budget = Budget::new(10);
        let held = budget.take(10).await;
        assert!(budget.take(5).now_or_never().is_none());
        drop(held);
        assert_eq!(budget.state().free, 10);
        assert!(!*budget.crowded.borrow());
    }
}
