//! The fake's journal: what outlives systemd's memory of a unit.

use std::time::Duration;

use fleet_core::{UnitHash, UnitName};
use fleet_runtime::clock;

use crate::manager::{Moment, Past, RunId};

/// The number of lines that are kept, so that a long run doesn't grow without end.
const MAX_LINES: usize = 10_000;

/// What was written of units, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: Vec<Line>,
    lost: bool,
}

#[derive(Debug)]
struct Line {
    /// The time since the boot.
    at: Duration,
    unit: UnitName,
    what: Event,
}

/// What is written of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A run has begun, of this content.
    Begun(RunId, UnitHash),
    /// A job stops the unit.
    Stopped,
}

impl Journal {
    pub(super) fn write(&mut self, unit: &UnitName, what: Event) {
        if self.lines.len() < MAX_LINES && !self.lost {
            let at = clock::since_boot();
            self.lines.push(Line { at, unit: unit.clone(), what });
        }
    }

    /// Plays one that is lost, and can't be written any more.
    pub(super) fn lose(&mut self) {
        self.lines.clear();
        self.lost = true;
    }

    pub(super) fn past(&self, unit: &UnitName, since: &Moment) -> Past {
        let Some(since) = since.since_boot() else { return Past::default() };
        let complete = !self.lost && self.lines.len() < MAX_LINES;
        let mut past = Past { complete, ..Past::default() };
        for line in self.lines.iter().filter(|line| line.unit == *unit && line.at >= since) {
            match &line.what {
                Event::Begun(run, _) => drop(past.runs.insert(run.clone())),
                Event::Stopped => past.stopped = true,
            }
        }
        past
    }
}
