//! Which of all reasons it is that keeps a unit from being what it should be.

use std::{collections::BTreeMap, slice};

use fleet_core::{JobState, MachineId, MachineStanding, Obstacle, UnitHash, UnitState};

use super::{
    Engine, Explanation, NAMED,
    gather::{Entry, Facts, Progress, Troubles},
};
use crate::{PublishedState, Trouble};

/// What keeps a unit from being what it should be: all there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It has to do with this machine alone.
    OneMachine(Remark),
    /// It has to do with the unit itself, or with all these machines.
    Cluster(Reason, Vec<Remark>),
    /// Nobody can write down what would change this.
    OutOfSpace(Box<Self>),
}

impl Finding {
    /// What single machines have to do with it, in order.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        match self {
            Self::OneMachine(remark) => slice::from_ref(remark),
            Self::Cluster(_, remarks) => remarks,
            Self::OutOfSpace(finding) => finding.remarks(),
        }
    }
}

/// What keeps a unit as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No machine takes a content that isn't the one its record speaks of: the two are written
    /// together, so somebody else wrote one of them.
    ContentDiffers {
        /// The hash of its content.
        content: UnitHash,
        /// The one in its record.
        recorded: UnitHash,
    },
    /// There is no machine.
    NoMachine,
    /// No machine takes it.
    Refused,
    /// Nobody decides.
    NoEngine,
    /// Nobody has decided yet.
    Unscheduled,
    /// It is global, and no machine has loaded it yet.
    NotLoaded,
    /// It is global, and not what it should be on these machines.
    Failing,
}

/// What one machine has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The machine.
    pub machine: MachineId,
    /// What is so there.
    pub cause: Cause,
    /// What the machine says of why.
    pub trouble: Option<String>,
    /// Whether its service manager refuses the unit's content as things are.
    pub refused: bool,
}

/// What is so on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It takes the unit.
    TakesIt,
    /// It doesn't.
    Unable(Obstacle),
    /// It may still have the unit that is to go.
    Leaving {
        /// Whether it is there.
        is_present: bool,
    },
    /// It isn't there.
    Absent,
    /// It hasn't loaded the unit.
    NotLoaded(MachineStanding),
    /// It hasn't started the unit.
    NotLaunched,
    /// systemd didn't start it.
    NotStarted,
    /// It was started, and failed.
    Failed(UnitState, String),
    /// It was started, and fails again and again.
    Restarting(String),
    /// It can't make a global unit what it should be, in its own words.
    Failing(String),
}

impl Remark {
    fn on(machine: MachineId, cause: Cause) -> Self {
        Self { machine, cause, trouble: None, refused: false }
    }

    /// The same, with what the machine says of why.
    fn because(self, trouble: Option<Trouble>) -> Self {
        Self { trouble: trouble.map(|said| said.error), ..self }
    }
}

/// What keeps a unit from being what it should be; `None` when nothing does.
pub(super) fn judge(facts: Facts) -> Option<Finding> {
    match facts {
        Facts::Contradictory { content, recorded } => {
            Some(Finding::Cluster(Reason::ContentDiffers { content, recorded }, Vec::new()))
        }
        Facts::Global { troubles, states, explanation: None } => failing(troubles, &states),
        Facts::Global { troubles, explanation: Some(explanation), .. } => {
            let is_taken = explanation.machines.values().any(Option::is_none);
            Some(if is_taken { not_loaded(explanation, troubles) } else { unplaced(explanation) })
        }
        Facts::Unplaced(explanation) => Some(unplaced(explanation)),
        Facts::Leaving { machine, is_present, trouble } => {
            let remark = Remark::on(machine, Cause::Leaving { is_present });
            Some(Finding::OneMachine(remark.because(trouble)))
        }
        Facts::Placed { machine, hash, progress, trouble } => {
            of_placed(machine, hash, progress, trouble).map(Finding::OneMachine)
        }
    }
}

/// A global unit that machines report waits where one has trouble with it or its process has failed.
fn failing(troubles: Troubles, states: &BTreeMap<MachineId, PublishedState>) -> Option<Finding> {
    if states.is_empty() {
        return None; // and nobody could explain
    }
    let mut causes: BTreeMap<MachineId, Cause> =
        troubles.into_iter().map(|(id, trouble)| (id, Cause::Failing(trouble.error))).collect();
    let launched = states.iter().filter(|(_, state)| state.claim == JobState::Launched);
    // What systemd reports says more than that a start failed.
    causes.extend(launched.filter_map(|(id, state)| Some((id.clone(), failure(state)?))));
    let remarks: Vec<Remark> =
        causes.into_iter().map(|(id, cause)| Remark::on(id, cause)).collect();
    (!remarks.is_empty()).then_some(Finding::Cluster(Reason::Failing, remarks))
}

/// A global unit that some machine takes, and none reports.
fn not_loaded(explanation: Explanation, mut troubles: Troubles) -> Finding {
    let remarks = explanation.machines.into_iter().take(NAMED).map(|(machine, obstacle)| {
        let Some(obstacle) = obstacle else {
            let trouble = troubles.remove(&machine);
            let cause = Cause::NotLoaded(MachineStanding::InService);
            return Remark::on(machine, cause).because(trouble);
        };
        Remark::on(machine, Cause::Unable(obstacle))
    });
    Finding::Cluster(Reason::NotLoaded, remarks.collect())
}

/// A unit that nobody has.
fn unplaced(Explanation { engine, machines }: Explanation) -> Finding {
    let is_taken = machines.values().any(Option::is_none);
    let reason = match (machines.is_empty(), is_taken, engine) {
        (true, ..) => Reason::NoMachine,
        (_, false, _) => Reason::Refused,
        (_, true, Engine::Missing) => Reason::NoEngine,
        (_, true, Engine::Leads) => Reason::Unscheduled,
    };
    let remarks = machines.into_iter().take(NAMED).map(|(machine, obstacle)| {
        Remark::on(machine, obstacle.map_or(Cause::TakesIt, Cause::Unable))
    });
    Finding::Cluster(reason, remarks.collect())
}

/// A unit goes with its machine. One that was started may have failed, and may never have begun to
/// run; one that ran and ended well is as it should be.
fn of_placed(
    machine: MachineId,
    hash: UnitHash,
    progress: Progress,
    trouble: Option<Trouble>,
) -> Option<Remark> {
    let cause = match progress {
        Progress::Launched(state) => {
            return match (failure(&state), trouble) {
                (Some(cause), _) => Some(Remark::on(machine, cause)),
                (None, None) => None,
                (None, trouble) => Some(Remark::on(machine, Cause::NotStarted).because(trouble)),
            };
        }
        Progress::NotLaunched => Cause::NotLaunched,
        Progress::NotLoaded(Entry::Present(standing)) => Cause::NotLoaded(standing),
        Progress::NotLoaded(Entry::Absent) => Cause::Absent,
        Progress::NotLoaded(Entry::Unclear) => Cause::Unable(Obstacle::Unclear),
    };
    let refused = trouble.as_ref().is_some_and(|said| said.refused == Some(hash));
    Some(Remark { refused, ..Remark::on(machine, cause).because(trouble) })
}

/// How a unit that was started has failed, for good or until systemd tries again.
fn failure(state: &PublishedState) -> Option<Cause> {
    let failure = state.failure.clone();
    if state.has_failed() {
        Some(Cause::Failed(state.systemd.clone(), failure))
    } else {
        state.is_in_restart_loop().then_some(Cause::Restarting(failure))
    }
}

#[cfg(test)]
mod tests;
