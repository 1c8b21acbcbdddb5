//! Keeps questions about why a unit has no machine within bounds.

use std::{fmt, sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_registry::why::{Explain, Explaining};
use tokio::{sync::Semaphore, time};

/// How many explanations are sought at a time. Whoever comes beyond that gets none.
const AT_ONCE: usize = 4;
/// The longest an answer waits for an explanation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// An [`Explain`] within bounds.
pub(crate) struct Explainer {
    explain: Arc<dyn Explain>,
    slots: Semaphore,
}

impl Explainer {
    pub(crate) fn new(explain: Arc<dyn Explain>) -> Self {
        Self { explain, slots: Semaphore::new(AT_ONCE) }
    }
}

impl Explain for Explainer {
    /// An explanation, if there is one soon.
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a> {
        Box::pin(async {
            let _slot = self.slots.try_acquire().ok()?;
            time::timeout(PATIENCE, self.explain.explain(unit)).await.ok().flatten()
        })
    }
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer").field("slots", &self.slots).finish_non_exhaustive()
    }
}
