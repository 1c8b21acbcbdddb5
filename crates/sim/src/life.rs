//! One life of a fleetd: from its start until it ends, is killed at some call, or its host loses
//! power.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{Mutex, PoisonError},
};

use crate::watched::Watched;

/// On which side of a call's effect its caller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The call is never made.
    Before,
    /// Its answer never comes.
    After,
}

/// When a process is to die.
#[derive(Clone, Copy, Debug)]
struct Death {
    /// After so many calls.
    calls: u32,
    side: Side,
    /// Only those count that tell systemd to do something.
    telling: bool,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Runs,
    /// It is stopped (SIGSTOP), and does nothing until it is continued.
    Frozen,
    Dead,
}

/// See the module.
#[derive(Debug)]
pub struct Life {
    /// The machine's number.
    machine: usize,
    condition: Watched<Condition>,
    /// After how many calls from now on it dies.
    dies: Mutex<Option<Death>>,
}

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The machine whose fleetd is at work in this moment.
#[must_use]
pub fn current() -> Option<usize> {
    CURRENT.get()
}

impl Life {
    /// One on this machine.
    #[must_use]
    pub fn new(machine: usize) -> Self {
        Self { machine, condition: Watched::new(Condition::Runs), dies: Mutex::default() }
    }

    /// Kills it, now.
    pub fn end(&self) {
        self.condition.set(Condition::Dead);
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.condition.get() == Condition::Dead
    }

    /// Whether it goes on, and isn't stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.condition.get() == Condition::Runs
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        self.condition.wait_until(|condition| condition == Condition::Dead).await;
    }

    /// Stops its process (`true`), or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        if !self.is_over() {
            self.condition.set(if frozen { Condition::Frozen } else { Condition::Runs });
        }
    }

    /// Lets it die at the n-th call from now on, counted from 0; or at the n-th that tells systemd to
    /// do something.
    pub fn die_at(&self, calls: u32, side: Side, telling: bool) {
        let death = Death { calls, side, telling };
        *self.dies.lock().unwrap_or_else(PoisonError::into_inner) = Some(death);
    }

    /// Lets it live.
    pub fn spare(&self) {
        *self.dies.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes a call, or what is left of it; says to `died` on which side it died. `tells` is whether
    /// systemd is told to do something.
    pub async fn around<T>(
        &self,
        tells: bool,
        died: impl Fn(Side),
        call: impl Future<Output = T>,
    ) -> T {
        self.runs().await;
        let side = self.count_down(tells);
        if side == Some(Side::Before) {
            died(Side::Before);
            self.end();
            return pending().await;
        }
        let answer = call.await;
        if side == Some(Side::After) {
            died(Side::After);
            self.end();
        }
        self.runs().await;
        answer
    }

    fn count_down(&self, tells: bool) -> Option<Side> {
        let mut dies = self.dies.lock().unwrap_or_else(PoisonError::into_inner);
        let death = dies.as_mut().filter(|death| tells || !death.telling)?;
        match death.calls.checked_sub(1) {
            Some(rest) => {
                death.calls = rest;
                None
            }
            None => Some(death.side),
        }
    }

    /// Waits while the process is stopped; for ever when it is dead.
    pub async fn runs(&self) {
        self.condition.wait_until(|condition| condition == Condition::Runs).await;
    }

    /// Does `work` as this process: only while it runs.
    pub async fn embody<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut work = pin!(poll_fn(|context| {
            CURRENT.set(Some(self.machine));
            let polled = work.as_mut().poll(context);
            CURRENT.set(None);
            polled
        }));
        loop {
            self.runs().await;
            tokio::select! {
                biased;
                () = self.condition.wait_until(|condition| condition != Condition::Runs) => {}
                done = &mut work => return done,
            }
        }
    }
}
