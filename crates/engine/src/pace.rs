//! The time a pass may think, and what it is at: shared by the thread that thinks and the task that
//! waits for it.
//!
//! A pass that takes longer than that carries out what it has decided so far, and the next goes on
//! where it was: so whatever units ask for, those before and behind them in the row have their turn.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleet_core::UnitName;
use tokio::time::Instant;

use crate::plan::{Pace, Sweep};

/// The most tasks that a sweep makes in a pass. They are written before anything else is looked at.
const MOST_TASKS: usize = 4096;

/// Where a pass is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    unit: Mutex<Option<UnitName>>,
    is_abandoned: AtomicBool,
}

impl Progress {
    /// The unit that is being judged.
    pub(crate) fn unit(&self) -> Option<UnitName> {
        self.unit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that nobody waits for the plan any more.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

/// Half of the time for each sweep, so that neither starves the other.
pub(crate) struct Bounded {
    time: Duration,
    /// When each sweep began.
    leaving: Option<Instant>,
    placing: Option<Instant>,
    progress: Arc<Progress>,
}

impl Bounded {
    pub(crate) fn new(time: Duration, progress: Arc<Progress>) -> Self {
        Self { time, leaving: None, placing: None, progress }
    }
}

impl Pace for Bounded {
    fn has_time(&mut self, sweep: Sweep, unit: &UnitName) -> bool {
        let began = match sweep {
            Sweep::Leaving => &mut self.leaving,
            Sweep::Placing => &mut self.placing,
        };
        // The first of a sweep is judged in any case, or none would ever be.
        let now = Instant::now();
        let time = now.duration_since(*began.get_or_insert(now));
        let mut at = self.progress.unit.lock().unwrap_or_else(PoisonError::into_inner);
        *at = Some(unit.clone());
        time < self.time / 2 && !self.progress.is_abandoned.load(Ordering::Relaxed)
    }

    fn most_tasks(&self) -> usize {
        MOST_TASKS
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_sweep_has_its_half_and_an_abandoned_plan_none() {
        let unit: UnitName = "a.service".parse().unwrap();
        let progress = Arc::new(Progress::default());
        let mut pace = Bounded::new(Duration::from_secs(2), Arc::clone(&progress));
        assert!(pace.has_time(Sweep::Leaving, &unit));
        advance(Duration::from_millis(999)).await;
        assert!(pace.has_time(Sweep::Leaving, &unit));
        advance(Duration::from_millis(1)).await;
        assert!(!pace.has_time(Sweep::Leaving, &unit));
        assert!(pace.has_time(Sweep::Placing, &unit), "its own half begins");
        assert_eq!(progress.unit(), Some(unit.clone()));
        progress.abandon();
        assert!(!pace.has_time(Sweep::Placing, &unit));
    }
}
