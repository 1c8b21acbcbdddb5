//! Cuts a program off at one of its calls, as a kill does: the n-th, before or after its effect.
//!
//! What is to be cut off makes its calls through [`Knife::around`], to whatever it calls; a
//! [`Knifed`] store does so by itself. A test arms the knife, waits until it has fallen, and drops
//! the program. What was called after the knife fell never happens.

use std::{
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fleet_store::{
    Changes, Lease, LeaseId, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn,
};
use tokio::sync::watch;

/// On which side of a call's effect the cut is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The call is never made.
    Before,
    /// Its answer never comes.
    After,
}

/// See the module. Clones are the same knife.
#[derive(Clone, Debug)]
pub struct Knife {
    state: Arc<Mutex<State>>,
    fallen: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    at: Option<(usize, Side)>,
    fallen: bool,
}

impl Default for Knife {
    fn default() -> Self {
        Self { state: Arc::default(), fallen: watch::Sender::new(false) }
    }
}

impl Knife {
    /// Cuts at the n-th call from now on, counted from 0.
    pub fn arm(&self, n: usize, side: Side) {
        let mut state = self.lock();
        state.at = Some((state.calls + n, side));
    }

    /// Waits until it has fallen, for no longer than `patience`, and says whether it has. From then on
    /// it cuts nothing.
    pub async fn falls(&self, patience: Duration) -> bool {
        let mut fallen = self.fallen.subscribe();
        let falls = fallen.wait_for(|fallen| *fallen);
        let falls = tokio::time::timeout(patience, falls).await.is_ok();
        self.lock().at = None;
        falls
    }

    /// Makes a call, or what is left of it.
    pub async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        let cut = {
            let mut state = self.lock();
            let number = state.calls;
            state.calls += 1;
            let cut = state.at.filter(|(at, _)| *at == number).map(|(_, side)| side);
            let cut = if state.fallen { Some(Side::Before) } else { cut };
            state.fallen |= cut == Some(Side::Before);
            cut
        };
        match cut {
            None => self.unless_fallen(call.await).await,
            Some(Side::Before) => self.fall().await,
            Some(Side::After) => {
                drop(call.await);
                self.lock().fallen = true;
                self.fall().await
            }
        }
    }

    /// The answer to a call that was on its way when the knife fell doesn't come either.
    async fn unless_fallen<T>(&self, answer: T) -> T {
        if self.lock().fallen { pending().await } else { answer }
    }

    async fn fall<T>(&self) -> T {
        self.fallen.send_replace(true);
        pending().await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store whose calls a knife can cut.
#[derive(Debug)]
pub struct Knifed<S> {
    /// The store.
    pub store: S,
    /// The knife.
    pub knife: Knife,
}

#[async_trait]
impl<S: Store> Store for Knifed<S> {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.knife.around(self.store.read(ranges, at)).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.knife.around(self.store.commit(txn)).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        self.knife.around(self.store.watch(ranges, from)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.knife.around(self.store.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.knife.around(self.store.keep_alive(lease)).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.knife.around(self.store.time_to_live(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.knife.around(self.store.revoke(lease)).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    /// Makes ten calls, and returns how many had an effect and how many an answer.
    async fn ten(knife: &Knife) -> (usize, usize) {
        let (done, answered) = (Cell::new(0), Cell::new(0));
        let program = async {
            for _ in 0..10 {
                knife.around(async { done.set(done.get() + 1) }).await;
                answered.set(answered.get() + 1);
            }
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = program => {}
            _ = knife.falls(SOON) => {}
        }
        (done.get(), answered.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_cut_before_or_after_its_effect_and_nothing_comes_after_it() {
        for (n, side, seen) in [
            (0, Side::Before, (0, 0)),
            (0, Side::After, (1, 0)),
            (3, Side::Before, (3, 3)),
            (3, Side::After, (4, 3)),
            (10, Side::Before, (10, 10)),
        ] {
            let knife = Knife::default();
            knife.arm(n, side);
            assert_eq!(ten(&knife).await, seen, "{n} {side:?}");
            assert_eq!(knife.falls(Duration::ZERO).await, n < 10, "{n} {side:?}");
        }
        let knife = Knife::default();
        assert_eq!(ten(&knife).await, (10, 10), "one that is not armed cuts nothing");
    }
}
