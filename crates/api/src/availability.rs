//! Whether the API can answer at all (`api.md` 1.2).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A switch that fleetd holds: while it is off every request is answered 503. Clones are the
/// same switch.
#[derive(Clone, Debug, Default)]
pub struct Availability(Arc<AtomicBool>);

impl Availability {
    /// A switch that is off, as from the start until the machine is registered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it on (`true`) or off.
    pub fn set(&self, available: bool) {
        self.0.store(available, Ordering::Release);
    }

    /// Whether it is on.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
