//! What an engine's own touch with the store is good for: whether it may lead, for how long, and
//! whether it can tell absent machines from those that haven't come back yet.
//!
//! A store that was frozen, or lost its quorum for long, may end every lease at the moment it
//! returns. Then no machine is present, though all are well, and each registers again within
//! seconds. An engine that took the absent for dead in that moment would move every unit of the
//! cluster. So absence counts only for an engine that has itself been in touch throughout; after
//! a gap it gives the others time to return (`docs/decisions/0004`).
//!
//! Contact is *steady* when it has lasted for a lifetime of the engine lease. A leader whose
//! contact has one gap after the other would never move anybody, so it gives up the lead
//! (`docs/decisions/0017`):
//!
//! ```text
//!             the next beat is overdue             beats again
//!   steady ─────────────────────────────▶ broken ──────────────▶ recovering
//!      ▲                                    │                     │      │
//!      │                                    ▼ patience            │      ▼ patience, since the
//!      │                                  gives up                │    gives up   first beat
//!      └────────────── no gap for a lifetime ─────────────────────┘
//! ```

use std::time::Duration;

use fleet_registry::Contact;
use fleet_runtime::exhibits::Exhibit;
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// The patience of an engine that took the lead without steady contact, in lifetimes of the lease:
/// none that has it wanted the lead, so passing it on soon would only pass it round.
const LONG_PATIENCE: u32 = 6;

/// How long an engine that hasn't been in touch for long leaves a free lease to those that have.
const COURTESY: Duration = Duration::from_millis(200);

/// How an engine's contact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steadiness {
    Steady,
    Broken { since: Instant },
    Recovering { first: Instant },
}

impl Steadiness {
    /// What it is at `now`, given what it was.
    fn step(self, contact: Option<Contact>, now: Instant, lifetime: Duration) -> Self {
        match (self, contact.filter(|contact| contact.lasts(now))) {
            (_, Some(contact)) if now >= contact.since + lifetime => Self::Steady,
            (Self::Steady | Self::Broken { .. }, Some(contact)) => {
                Self::Recovering { first: contact.since }
            }
            (Self::Steady, None) => Self::Broken { since: now },
            (same, _) => same,
        }
    }

    /// When patience with it ends.
    fn ends(self, patience: Duration) -> Option<Instant> {
        match self {
            Self::Steady => None,
            Self::Broken { since: at } | Self::Recovering { first: at } => Some(at + patience),
        }
    }
}

/// An engine's touch with the store.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    contact: watch::Receiver<Option<Contact>>,
    lifetime: Duration,
}

impl Touch {
    /// One that is steady when `contact` has lasted for `lifetime`, that of the engine lease.
    pub(crate) fn new(contact: watch::Receiver<Option<Contact>>, lifetime: Duration) -> Self {
        Self { contact, lifetime }
    }

    fn contact(&self) -> Option<Contact> {
        *self.contact.borrow()
    }

    /// Whether it has been steady until now.
    pub(crate) fn is_steady(&self) -> bool {
        Exhibit::AbsentIsDead.is_shown()
            || self.contact().is_some_and(|contact| contact.has_lasted(self.lifetime))
    }

    /// When an engine may take a lease that it has seen free since then; `None` while its machine
    /// isn't present. One that isn't may be the twin of the one that leads, and would take its
    /// lease for one of an earlier life (`fleetd.md` 3). One whose contact had a gap leaves the
    /// lease to those whose contact is steady, as long as those may take to become so.
    pub(crate) fn turn(&self, free_since: Instant) -> Option<Instant> {
        let contact = self.contact().filter(|contact| contact.lasts(Instant::now()))?;
        let steady = contact.since + self.lifetime;
        let wait = if contact.after_gap { self.lifetime } else { COURTESY };
        Some(steady.min(free_since + wait))
    }

    /// Waits for the next beat; for ever where there is none to come. Cancel-safe.
    pub(crate) async fn news(&mut self) {
        if self.contact.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until patience with the contact of an engine that leads has come to an end.
    pub(crate) async fn lost(mut self) {
        let (mut now, lifetime) = (Instant::now(), self.lifetime);
        let is_steady = self.is_steady();
        let is_early = self.contact().is_some_and(|contact| !contact.after_gap);
        let mut patience = if is_steady || is_early { lifetime } else { LONG_PATIENCE * lifetime };
        let mut steadiness = Steadiness::Recovering { first: now };
        loop {
            let contact = *self.contact.borrow_and_update();
            steadiness = steadiness.step(contact, now, lifetime);
            let Some(end) = steadiness.ends(patience) else {
                patience = lifetime;
                let until = contact.map_or(now, |contact| contact.until);
                self.news_until(until).await;
                now = Instant::now();
                continue;
            };
            if now >= end {
                return;
            }
            let steady = contact.map(|contact| contact.since + lifetime);
            let next = steady.filter(|at| *at > now).map_or(end, |at| at.min(end));
            self.news_until(next).await;
            now = Instant::now();
        }
    }

    async fn news_until(&mut self, at: Instant) {
        tokio::select! {
            biased;
            () = self.news() => {}
            () = time::sleep_until(at) => {}
        }
    }
}

#[cfg(test)]
mod tests;
