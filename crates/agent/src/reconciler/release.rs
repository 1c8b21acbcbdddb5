//! Says of units that had to go that they are gone, so that they may start elsewhere
//! (`docs/decisions/0013`).
//!
//! The order to let a unit go stands until that is said: a fleetd that ends before it could has a
//! successor that finds the order, stops what is still here, and says it.

use std::collections::BTreeSet;

use fleet_core::UnitName;
use fleet_registry::{Gone, RegistryError};
use tracing::info;

use super::Reconciler;

impl Reconciler {
    /// Releases the units that were to go and are stopped and unloaded. What changes meanwhile is
    /// refused, and is looked at when the news of it is here.
    pub(super) async fn release(&mut self) -> Result<(), RegistryError> {
        let gone: Vec<(UnitName, Gone)> = self.gone().collect();
        let presence = self.presence.as_ref();
        let Some(presence) = presence.filter(|_| !gone.is_empty()) else { return Ok(()) };
        let Some(held) = presence.current.borrow().clone() else { return Ok(()) };
        let released = self.registry.release(&held, &gone).await.inspect_err(|error| {
            if let RegistryError::PresenceLost(_) = error {
                presence.check();
            }
        })?;
        self.forget(&released);
        Ok(())
    }

    /// What can be said of units that are to go. One that is here stays if it is a global unit by
    /// now: it isn't in the way of others of its name.
    fn gone(&self) -> impl Iterator<Item = (UnitName, Gone)> {
        let (units, wanted) = (&self.current.units, &self.desired.units);
        self.follow.orders().leaving().filter_map(|unit| {
            let gone = match (units.contains_key(unit), wanted.contains_key(unit)) {
                (false, _) => Gone::Gone,
                (true, true) => Gone::Stays,
                (true, false) => return None,
            };
            Some((unit.clone(), gone))
        })
    }

    fn forget(&mut self, released: &BTreeSet<UnitName>) {
        for unit in released {
            info!(%unit, "unit is gone from here, as it had to");
        }
        if !released.is_empty() {
            let stays = |unit: &UnitName| !released.contains(unit);
            self.follow.amend(|orders| orders.scheduled.retain(|unit, _| stays(unit)));
        }
    }
}
