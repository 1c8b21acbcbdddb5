//! How this machine stands, in its own words: what others may give it to do.
//!
//! ```text
//! in service ◀── systemd answers ── silent            told to leave, from either: leaving
//!            ── none for a ttl ───▶
//! ```
//!
//! [`StandingHandle`] is where it is kept: fleetd says that it leaves, [`SystemdWatch`] whether systemd
//! answers, and presence publishes it.

use std::{pin::pin, sync::Arc, time::Duration};

use fleet_core::MachineStanding;
use fleet_registry::Contact;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::UnitManager;

/// The pause after a question that came to nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// How the machine stands. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct StandingHandle(watch::Sender<MachineStanding>);

impl StandingHandle {
    /// The machine leaves the cluster, for good as far as this fleetd is concerned.
    pub fn leave(&self) {
        self.0.send_if_modified(|standing| {
            std::mem::replace(standing, MachineStanding::Leaving) != MachineStanding::Leaving
        });
    }

    /// How it stands now, and what it becomes.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<MachineStanding> {
        self.0.subscribe()
    }

    /// How it stands now.
    #[must_use]
    pub fn now(&self) -> MachineStanding {
        *self.0.borrow()
    }

    /// Whether systemd answers. One that leaves does so either way. Returns whether that is news.
    fn set_answering(&self, answer: bool) -> bool {
        let (from, to) = match answer {
            true => (MachineStanding::Silent, MachineStanding::InService),
            false => (MachineStanding::InService, MachineStanding::Silent),
        };
        self.0.send_if_modified(|standing| {
            let is_news = *standing == from;
            if is_news {
                *standing = to;
            }
            is_news
        })
    }
}

/// Notices when systemd doesn't answer any more, and when it does again.
///
/// Nothing tells of a first process that hangs, and a machine without units has nothing to ask it:
/// so it is asked for an answer with every beat, or after half of the ttl where none succeeds, on this
/// machine alone.
pub(crate) struct SystemdWatch {
    manager: Arc<dyn UnitManager>,
    standing: StandingHandle,
    /// How long it may say nothing.
    patience: Duration,
    /// When it answered last.
    answered: Instant,
    /// News with every beat: two things done at once wake the machine once.
    beats: watch::Receiver<Option<Contact>>,
}

impl SystemdWatch {
    pub(crate) fn new(
        manager: Arc<dyn UnitManager>,
        standing: StandingHandle,
        patience: Duration,
        beats: watch::Receiver<Option<Contact>>,
    ) -> Self {
        Self { manager, standing, patience, answered: Instant::now(), beats }
    }

    /// Asks until `stop`.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        loop {
            let answers = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                answers = self.ask() => answers,
            };
            let pause = if answers { self.patience / 2 } else { PAUSE };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.beats.changed() => {}
                () = time::sleep(pause) => {}
            }
        }
    }

    /// Asks once, and says so as soon as it has been too long. Returns whether there was an answer.
    async fn ask(&mut self) -> bool {
        let manager = Arc::clone(&self.manager);
        let mut answer = pin!(manager.ping());
        let late = time::sleep_until(self.answered + self.patience);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = late => {
                self.is_silent();
                answer.await
            }
        };
        if answer.is_err() {
            if self.answered.elapsed() >= self.patience {
                self.is_silent();
            }
            return false;
        }
        self.answered = Instant::now();
        if self.standing.set_answering(true) {
            info!("systemd answers again, this machine takes units as before");
        }
        true
    }

    fn is_silent(&self) {
        if self.standing.set_answering(false) {
            let silent_for = self.answered.elapsed();
            warn!(?silent_for, "systemd does not answer, this machine takes no new units");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeManager;

    #[test]
    fn a_machine_that_leaves_stays_so_whatever_systemd_says() {
        let standing = StandingHandle::default();
        assert!(!standing.set_answering(true), "it answered before");
        assert!(standing.set_answering(false));
        assert!(!standing.set_answering(false), "that was said");
        standing.leave();
        assert!(!standing.set_answering(true) && !standing.set_answering(false));
        assert_eq!(standing.now(), MachineStanding::Leaving);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_after_a_ttl_and_its_end_within_a_second() {
        const TTL: Duration = Duration::from_secs(30);
        // Calls that fail early, and calls that fail late.
        for call_takes in [1, 25, 100].map(Duration::from_secs) {
            let manager = Arc::new(FakeManager::new());
            let standing = StandingHandle::default();
            let mut follow = standing.follow();
            let mut pulse =
                SystemdWatch::new(manager.clone(), standing, TTL, watch::channel(None).1);
            let stop = CancellationToken::new();
            let story = async {
                time::sleep(10 * TTL).await;
                assert!(!follow.has_changed().unwrap(), "nothing is said of one that answers");
                manager.be_silent(call_takes);
                let began = Instant::now();
                follow.changed().await.unwrap();
                assert_eq!(*follow.borrow_and_update(), MachineStanding::Silent);
                let (told, soonest) = (began.elapsed(), TTL / 2);
                assert!(told >= soonest && told <= TTL + PAUSE, "{told:?}");
                time::sleep(10 * TTL).await;
                assert!(!follow.has_changed().unwrap(), "it is said once");
                manager.speak_again();
                let began = Instant::now();
                follow.changed().await.unwrap();
                assert_eq!(*follow.borrow_and_update(), MachineStanding::InService);
                // A real systemd answers what was asked while it hung; the fake lets that fail.
                assert!(began.elapsed() <= call_takes + PAUSE, "{:?}", began.elapsed());
                stop.cancel();
            };
            tokio::join!(story, pulse.run(&stop));
        }
    }
}
