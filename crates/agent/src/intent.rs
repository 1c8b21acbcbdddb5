//! What is about to be done to a unit, written down before systemd is told (decision 12).
//!
//! Who finds an intent that nobody has settled doesn't know how far its writer came: not at all, halfway,
//! or to the end. [`Intent::found`] holds it against what systemd has in memory and, where systemd has
//! forgotten the unit, against what is on record of it:
//!
//! ```text
//! intended ──systemd was told──▶ settled (it is claimed)
//!     └──fleetd ended──▶ found: Started │ Runs │ Stopped │ Ended │ NotStarted   settled by that
//!                               Unknown of a oneshot                            stays, and is said
//! ```

use fleet_core::JobState;
use serde::{Deserialize, Serialize};

use crate::{
    manager::{JobKind, Moment, Past, Run, RunId},
    plan::Action,
};

/// What is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The last that is done in the pass.
    pub(crate) act: Action,
    /// Whether the unit's file is written and linked before that.
    #[serde(default)]
    pub(crate) load: bool,
    /// What was claimed before.
    #[serde(default)]
    pub(crate) claim: JobState,
    /// The run that this is about: the last one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
    /// Whether that run went on when this was written.
    #[serde(default)]
    pub(crate) up: bool,
    /// When it was written.
    #[serde(flatten)]
    pub(crate) since: Moment,
    /// The revision of the request behind a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<i64>,
}

/// What has become of a unit that something was intended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It has been started since: what it is now is its own doing.
    Started,
    /// It runs as it did before.
    Runs,
    /// It was stopped as intended.
    Stopped,
    /// It doesn't run, and wasn't stopped as intended: it has finished, or failed.
    Ended,
    /// It was not started.
    NotStarted,
    /// It doesn't run, and nobody knows what happened.
    Unknown,
}

impl Intent {
    /// What has become of it, by what systemd has in memory of the unit now; `None` when that
    /// depends on what is on record of it, and that isn't given.
    pub(crate) fn found(&self, run: Option<&Run>, past: Option<&Past>) -> Option<Found> {
        match self.act {
            Action::Load => {
                let runs = run.is_some_and(Run::is_up);
                Some(if runs { Found::Runs } else { Found::NotStarted })
            }
            Action::Start | Action::Restart => self.found_start(run, past),
            Action::Stop | Action::Halt | Action::Unload => self.found_stop(run, past),
        }
    }

    fn found_start(&self, run: Option<&Run>, past: Option<&Past>) -> Option<Found> {
        let is_new = |id: &RunId| Some(id) != self.run.as_ref();
        if run.and_then(|run| run.id.as_ref()).is_some_and(is_new) {
            return Some(Found::Started);
        }
        match run {
            // It is about to be.
            Some(Run { job: Some(JobKind::Start | JobKind::Restart), .. }) => {
                return Some(Found::Started);
            }
            Some(run) if is_stopping(run) => return Some(Found::NotStarted),
            Some(run) if run.is_up() => return Some(Found::Runs),
            _ => {}
        }
        let past = past?;
        Some(match () {
            () if past.runs.iter().any(is_new) => Found::Started,
            () if !past.complete => Found::Unknown,
            // A restart that was never begun of what doesn't run.
            () if self.act == Action::Restart && !past.stopped => Found::Ended,
            () => Found::NotStarted,
        })
    }

    fn found_stop(&self, run: Option<&Run>, past: Option<&Past>) -> Option<Found> {
        match run {
            Some(run) if is_stopping(run) => return Some(Found::Stopped),
            Some(run) if run.is_up() => return Some(Found::Runs),
            // A user's stop of what doesn't run is done; one by fleet has done nothing to it.
            _ if !self.up && self.act == Action::Stop => return Some(Found::Stopped),
            _ if !self.up => return Some(Found::Ended),
            _ => {}
        }
        let past = past?;
        Some(match () {
            () if past.stopped => Found::Stopped,
            () if past.complete => Found::Ended,
            () => Found::Unknown,
        })
    }

    /// What is claimed of a unit that was found so. `once` is one that is not to be started when it
    /// may have run already.
    pub(crate) fn claim_when(&self, found: Found, once: bool) -> JobState {
        match found {
            Found::Started => JobState::Launched,
            Found::Runs if self.act == Action::Load => self.claim,
            Found::Runs => JobState::Launched,
            Found::Ended => self.claim,
            Found::Unknown if once => JobState::Launched,
            // It is loaded once more first.
            Found::NotStarted | Found::Unknown if self.load => self.claim.min(JobState::Loaded),
            Found::Stopped | Found::NotStarted | Found::Unknown => JobState::Loaded,
        }
    }

    /// Whether the unit's file, or its link, may be half written or half removed.
    pub(crate) fn leaves_file_open(&self, found: Found) -> bool {
        self.act == Action::Unload || (self.load && found != Found::Started)
    }

    /// The request for a restart that was carried out, or that nobody may carry out any more.
    pub(crate) fn told(&self, found: Found, once: bool) -> Option<i64> {
        let told = found == Found::Started || (found == Found::Unknown && once);
        self.request.filter(|_| told && self.act == Action::Restart)
    }
}

fn is_stopping(run: &Run) -> bool {
    run.job == Some(JobKind::Stop) || run.active == "deactivating"
}

#[cfg(test)]
mod tests;
