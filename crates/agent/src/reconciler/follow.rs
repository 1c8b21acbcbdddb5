//! Follows the orders of this machine.

use std::{sync::Arc, time::Duration};

use fleet_core::{MachineId, Pauses};
use fleet_registry::{Followed, Mirror, Registry, Scope};
use tokio::sync::Notify;

use crate::desired::Orders;

/// The pauses before the registry is tried again.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(250), Duration::from_secs(2));

/// The orders, and how well they are known.
pub(super) struct Follow {
    mirror: Mirror<Orders>,
    /// Whether they have changed since they were looked at last.
    has_news: bool,
    /// Tells that the registry is followed from a new beginning.
    pub(super) refollowed: Arc<Notify>,
}

impl Follow {
    /// Follows what `machine` has to obey.
    pub(super) fn new(registry: Registry, machine: MachineId) -> Self {
        let mirror = Mirror::new(registry, Scope::Machine(machine)).pausing(PAUSES);
        Self { mirror, has_news: true, refollowed: Arc::default() }
    }

    /// Looks at the registry every `period`, and follows no changes.
    pub(super) fn every(self, period: Duration) -> Self {
        Self { mirror: self.mirror.every(Some(period)), ..self }
    }

    /// Waits until something is new, or out of reach, and returns whether it is new. Cancel-safe.
    pub(super) async fn news(&mut self) -> bool {
        let followed = self.mirror.follow().await;
        if followed == Followed::Anew {
            self.refollowed.notify_one();
        }
        let is_new = followed != Followed::Lost;
        self.has_news |= is_new;
        is_new
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
