//! A mirror out of reach of its registry: pauses between attempts, and what is said of it.

use fleet_core::{Backoff, Complaint, Pauses};
use tokio::time::{self, Instant};
use tracing::{info, warn};

use crate::RegistryError;

/// How the attempts go.
#[derive(Debug)]
pub(super) struct Outage {
    /// What can't be followed then.
    pub(super) of: &'static str,
    backoff: Backoff,
    /// When to try again.
    resume: Option<Instant>,
    complaint: Complaint,
}

impl Outage {
    pub(super) fn new(of: &'static str, pauses: Pauses) -> Self {
        let backoff = pauses.begin_jittered(fastrand::Rng::new());
        Self { of, backoff, resume: None, complaint: Complaint::default() }
    }

    /// Waits until it is time to try again. Cancel-safe: who waits anew waits no longer for it.
    pub(super) async fn pause(&self) {
        if let Some(at) = self.resume {
            time::sleep_until(at).await;
        }
    }

    /// An attempt has failed.
    pub(super) fn goes_on(&mut self, error: &RegistryError) {
        self.resume = Some(Instant::now() + self.backoff.pause());
        if self.complaint.is_news(error) {
            let of = self.of;
            warn!(%error, of, "registry can't be followed, will retry, nothing changes meanwhile");
        }
    }

    /// An attempt has succeeded.
    pub(super) fn is_over(&mut self) {
        self.resume = None;
        self.backoff.reset();
        if self.complaint.is_over() {
            info!(of = self.of, "registry is followed again");
        }
    }
}
