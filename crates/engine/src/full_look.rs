//! A look at everything, a stretch at a time: whether what has changed was all there was to look at.
//!
//! Where nothing is to be done, every unit judged for itself asks for nothing. So all can be looked at
//! bit by bit, on the picture as it is, and this shows the same as a plan from scratch: nothing, or
//! that no change told of something (`docs/decisions/0025`).

use std::time::Duration;

use fleet_core::UnitName;
use tracing::warn;

use crate::{
    cluster::{Cluster, Marks},
    plan::Plan,
};

/// The share of the time that it takes at most: one part of so many.
const SHARE: u32 = 256;

/// The most units of a stretch.
const STRETCH: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct FullLook {
    /// For each interval.
    time: Duration,
    /// Where the next stretch begins; at the first unit where nothing is said.
    from: Option<UnitName>,
    /// Where the one after it begins, if this one comes to its end.
    then: Option<UnitName>,
}

impl FullLook {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { time: interval / SHARE, from: None, then: None }
    }

    /// The time that a stretch may take.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// The next stretch.
    pub(crate) fn stretch(&mut self, cluster: &Cluster) -> Marks {
        let (marks, then) = cluster.stretch(self.from.as_ref(), STRETCH);
        self.then = then;
        marks
    }

    /// Takes in what became of a stretch, and says what it found but for units that are `held`.
    pub(crate) fn take_in(&mut self, plan: &Plan, is_held: impl Fn(&UnitName) -> bool) {
        self.from = plan.rest.units.first().cloned().or_else(|| self.then.take());
        let missed = plan.tasks.iter().filter(|task| !is_held(&task.unit)).count();
        if missed + plan.moot.len() > 0 {
            let first = plan.tasks.first().map(ToString::to_string).unwrap_or_default();
            let entries = plan.moot.len();
            warn!(
                tasks = missed,
                entries, first, "the full look found what no change had told of, it is done now"
            );
        }
    }
}
