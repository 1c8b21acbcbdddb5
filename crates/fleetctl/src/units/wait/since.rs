//! Since when something has been seen of units.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

/// Since when, by name. Times are those that a wait has lasted.
#[derive(Debug, Default)]
pub(crate) struct Since(RefCell<BTreeMap<String, Duration>>);

impl Since {
    /// For how long it has been seen of `name`, which it is at `now`.
    pub(crate) fn lasts(&self, name: &str, now: Duration) -> Duration {
        let mut seen = self.0.borrow_mut();
        now.saturating_sub(*seen.entry(name.to_owned()).or_insert(now))
    }

    /// It isn't seen of `name` any more.
    pub(crate) fn forget(&self, name: &str) {
        self.0.borrow_mut().remove(name);
    }
}
