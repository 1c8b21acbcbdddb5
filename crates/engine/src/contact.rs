//! Whether absent machines can be told from machines that haven't come back yet.
//!
//! A store that was frozen, or lost its quorum for long, may end every lease at the moment it
//! returns. Then no machine is present, though all are well, and each registers again within
//! seconds. An engine that took the absent for dead in that moment would move every unit of the
//! cluster. So absence counts only for an engine that has itself been in touch throughout; after
//! a gap it gives the others time to return (`cluster.md` 6: an outage never stops a unit).

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use crate::plan::Absent;

/// Since when this machine's own presence has been kept without a gap; `None` before it is
/// present. Kept by whoever keeps presence.
pub type Contact = watch::Receiver<Option<Instant>>;

/// How absent machines look from here.
#[derive(Debug)]
pub(crate) struct Sight {
    contact: Contact,
    grace: Duration,
}

impl Sight {
    /// After a gap in `contact`, machines have `grace` to return.
    pub(crate) fn new(contact: Contact, grace: Duration) -> Self {
        Self { contact, grace }
    }

    /// What an absent machine is taken for, now.
    pub(crate) fn of_absent(&self) -> Absent {
        match *self.contact.borrow() {
            Some(since) if since.elapsed() >= self.grace => Absent::Dead,
            _ => Absent::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_absent_are_dead_only_after_steady_contact() {
        let grace = Duration::from_secs(10);
        let (contact, seen) = watch::channel(None);
        let sight = Sight::new(seen, grace);
        tokio::time::sleep(grace * 2).await;
        assert_eq!(sight.of_absent(), Absent::Missing, "never in touch");
        contact.send_replace(Some(Instant::now()));
        tokio::time::sleep(grace / 2).await;
        assert_eq!(sight.of_absent(), Absent::Missing);
        tokio::time::sleep(grace / 2).await;
        assert_eq!(sight.of_absent(), Absent::Dead);
        contact.send_replace(Some(Instant::now()));
        assert_eq!(sight.of_absent(), Absent::Missing, "a gap begins the wait anew");
    }
}
