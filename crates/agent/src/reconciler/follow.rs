//! Follows the orders of this machine, with growing pauses while the registry is out of reach.

use std::{sync::Arc, time::Duration};

use fleet_core::MachineId;
use fleet_registry::{Mirror, Registry, RegistryError, Scope};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tracing::{info, warn};

use crate::{complaint::Complaint, desired::Orders};

/// The first and the longest pause before the registry is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// The orders, and how well they are known.
pub(super) struct Follow {
    mirror: Mirror<Orders>,
    /// Whether they have changed since they were looked at last.
    has_news: bool,
    /// Tells that the registry is followed from a new beginning.
    pub(super) refollowed: Arc<Notify>,
    resume: Option<(Instant, Duration)>,
    complaint: Complaint,
}

impl Follow {
    /// Follows what `machine` has to obey.
    pub(super) fn new(registry: Registry, machine: MachineId) -> Self {
        Self {
            mirror: Mirror::new(registry, Scope::Machine(machine)),
            has_news: true,
            refollowed: Arc::default(),
            resume: None,
            complaint: Complaint::default(),
        }
    }

    /// Looks at the registry every `period`, and follows no changes.
    pub(super) fn every(self, period: Duration) -> Self {
        Self { mirror: self.mirror.every(Some(period)), ..self }
    }

    /// Waits until something is new, or out of reach, and returns whether it is new. Cancel-safe.
    pub(super) async fn news(&mut self) -> bool {
        if let Some((at, _)) = self.resume {
            time::sleep_until(at).await;
        }
        let was_current = self.mirror.is_current();
        match self.mirror.changed().await {
            Ok(()) => {
                self.resume = None;
                if self.complaint.is_over() {
                    info!("registry is followed again");
                }
                self.has_news = true;
                if !was_current {
                    self.refollowed.notify_one();
                }
                true
            }
            Err(error) => {
                self.lost(&error);
                false
            }
        }
    }

    fn lost(&mut self, error: &RegistryError) {
        let pause = self.resume.map_or(PAUSES.0, |(_, pause)| (pause * 2).min(PAUSES.1));
        self.resume = Some((Instant::now() + pause, pause));
        if self.complaint.is_news(error) {
            warn!(%error, "registry can't be followed, units stay as they are");
        }
    }

    /// Whether the orders are known as they are now.
    pub(super) fn is_current(&self) -> bool {
        self.mirror.is_current()
    }

    /// The orders, as far as they are known.
    pub(super) fn orders(&self) -> &Orders {
        self.mirror.model()
    }

    /// The orders, where they have changed since this was asked last.
    pub(super) fn changed_orders(&mut self) -> Option<&Orders> {
        std::mem::take(&mut self.has_news).then(|| self.mirror.model())
    }

    /// Lets the orders count as changed.
    pub(super) fn look_again(&mut self) {
        self.has_news = true;
    }

    /// Takes in what this machine has itself written, so that no pass until the watch says it writes
    /// it again.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut Orders)) {
        change(self.mirror.model_mut());
        self.has_news = true;
    }
}
