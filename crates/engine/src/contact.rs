//! Whether absent machines can be told from machines that haven't come back yet.
//!
//! A store that was frozen, or lost its quorum for long, may end every lease at the moment it
//! returns. Then no machine is present, though all are well, and each registers again within
//! seconds. An engine that took the absent for dead in that moment would move every unit of the
//! cluster. So absence counts only for an engine that has itself been in touch throughout; after
//! a gap it gives the others time to return (`cluster.md` 6: an outage never stops a unit).

use std::time::Duration;

use fleet_registry::Contact;
use tokio::{sync::watch, time::Instant};

use crate::plan::Absent;

/// How absent machines look from here.
#[derive(Debug)]
pub(crate) struct Sight {
    contact: watch::Receiver<Option<Contact>>,
    grace: Duration,
}

impl Sight {
    /// After a gap in `contact`, machines have `grace` to return.
    pub(crate) fn new(contact: watch::Receiver<Option<Contact>>, grace: Duration) -> Self {
        Self { contact, grace }
    }

    /// What an absent machine is taken for, now.
    pub(crate) fn of_absent(&self) -> Absent {
        match *self.contact.borrow() {
            Some(contact) if contact.has_lasted(self.grace) => Absent::Dead,
            _ => Absent::Missing,
        }
    }
}

/// Whether this machine is present, as far as its beats tell.
pub(crate) fn is_present(contact: &watch::Receiver<Option<Contact>>) -> bool {
    contact.borrow().is_some_and(|contact| Instant::now() < contact.until)
}

/// Waits for the next beat; for ever where there is none to come. Cancel-safe.
pub(crate) async fn news(contact: &mut watch::Receiver<Option<Contact>>) {
    if contact.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_absent_are_dead_only_after_steady_contact_that_lasts() {
        let grace = Duration::from_secs(10);
        let (contact, seen) = watch::channel(None);
        let sight = Sight::new(seen, grace);
        let beat =
            |since| contact.send_replace(Some(Contact { since, until: Instant::now() + grace }));
        sleep(grace * 2).await;
        assert_eq!(sight.of_absent(), Absent::Missing, "never in touch");
        let since = Instant::now();
        beat(since);
        sleep(grace / 2).await;
        assert_eq!(sight.of_absent(), Absent::Missing);
        beat(since);
        sleep(grace / 2).await;
        assert_eq!(sight.of_absent(), Absent::Dead);
        sleep(grace / 2).await;
        assert_eq!(sight.of_absent(), Absent::Missing, "the next beat is overdue");
        beat(Instant::now());
        assert_eq!(sight.of_absent(), Absent::Missing, "a gap begins the wait anew");
    }
}
