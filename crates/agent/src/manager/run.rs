//! What a service manager can tell of a unit's runs, now and before.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// systemd's id of one run of a unit (`InvocationID`), as it is written: in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the service manager has in memory of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its run, or the last one where it doesn't run; `None` when that isn't known.
    pub id: Option<RunId>,
    /// Its active state, as systemd writes it.
    pub active: String,
    /// The job that waits or is carried out.
    pub job: Option<JobKind>,
}

impl Run {
    /// Whether it runs, or is on its way up or down.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// It starts the unit.
    Start,
    /// It stops the unit.
    Stop,
    /// It stops the unit if need be, and starts it.
    Restart,
    /// Something else.
    Other,
}

/// What is on record of a unit since some moment. By itself: nothing, and that proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Its runs that are spoken of.
    pub runs: BTreeSet<RunId>,
    /// Whether a job stopped it, or began to.
    pub stopped: bool,
    /// Whether what isn't on record hasn't happened.
    pub complete: bool,
}
