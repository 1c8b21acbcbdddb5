//! What is said of why a unit waits, to programs and to people (`docs/api-v1.md`).

use std::fmt;

use fleet_core::{MachineId, MachineStanding, Obstacle, eligibility::Refusal};
use fleet_store::StoreError;

use super::judge::{Cause, Finding, Reason, Remark};

/// What keeps a unit from being what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// A word for machines (`api-v1.md`).
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// What single machines have to do with it, in order.
    pub machines: Vec<Said>,
}

/// What is to be said of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The machine.
    pub machine: MachineId,
    /// A word for machines.
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// Whether its service manager refuses the unit's content as things are.
    pub refused: bool,
}

impl Pending {
    /// The same, of a store that has no room: nobody can write down what would change it.
    #[must_use]
    pub fn out_of_space(self) -> Self {
        let message = format!("{} ({})", StoreError::OutOfSpace, self.message);
        Self { reason: "out-of-space", message, ..self }
    }
}

impl From<Finding> for Pending {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::OneMachine(remark) => Self {
                reason: remark.cause.word(),
                message: remark.of_unit(),
                machines: vec![remark.into()],
            },
            Finding::Cluster(reason, remarks) => Self {
                reason: reason.word(),
                message: reason.to_string(),
                machines: remarks.into_iter().map(Said::from).collect(),
            },
        }
    }
}

impl From<Remark> for Said {
    fn from(remark: Remark) -> Self {
        let (reason, message) =
            (remark.cause.word(), remark.with_trouble(remark.cause.to_string()));
        Self { machine: remark.machine, reason, message, refused: remark.refused }
    }
}

impl Remark {
    /// What is said of a unit that has to do with this machine alone.
    fn of_unit(&self) -> String {
        let Self { machine, cause, .. } = self;
        self.with_trouble(match cause {
            Cause::Leaving { is_present: true } => {
                format!("it is leaving machine {machine}, where it still stops")
            }
            Cause::Leaving { is_present: false } => {
                format!("it is leaving machine {machine}, which is not present")
            }
            cause => format!("machine {machine} {cause}"),
        })
    }

    /// What isn't so yet, and what the machine says of why.
    fn with_trouble(&self, message: String) -> String {
        match &self.trouble {
            Some(trouble) => format!("{message}: {trouble}"),
            None => message,
        }
    }
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::ContentDiffers { .. } => "content-differs",
            Self::NoMachine => "no-machine",
            Self::Refused => "refused",
            Self::NoEngine => "no-engine",
            Self::Unscheduled => "unscheduled",
            Self::NotLoaded => "not-loaded",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContentDiffers { content, recorded } => {
                return write!(f, "its content has the hash {content}, its record says {recorded}");
            }
            Self::NoMachine => "no machine is present",
            Self::Refused => "no machine takes it",
            Self::NoEngine => "no engine leads the cluster",
            Self::Unscheduled => "the engine has not given it a machine yet",
            Self::NotLoaded => "machines that take it have not loaded it yet",
            Self::Failing => "some machines can't make it what it should be",
        })
    }
}

impl Cause {
    fn word(&self) -> &'static str {
        match self {
            Self::TakesIt => "eligible",
            Self::Unable(obstacle) => refusal(obstacle),
            Self::Leaving { .. } => "stopping",
            Self::Absent => "machine-absent",
            Self::NotLoaded(_) => "not-loaded",
            Self::NotLaunched => "not-launched",
            Self::NotStarted => "not-started",
            Self::Failed(..) => "failed",
            Self::Restarting(_) => "restarting",
            Self::Failing(_) => "failing",
        }
    }
}

fn refusal(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Replaced(_) => "replaced",
        Obstacle::Unclear => "machine-unclear",
        Obstacle::Refused(refusal) => match refusal {
            Refusal::OtherMachine { .. } => "other-machine",
            Refusal::Metadata => "metadata",
            Refusal::PeerAbsent(_) => "peer-absent",
            Refusal::Conflict(_) => "conflict",
            Refusal::Leaving => "leaving",
            Refusal::Silent => "silent",
            Refusal::NameTaken(_) => "name-taken",
            Refusal::Excess(_) => "excess",
        },
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = |failure: &str| match failure {
            "" => String::new(),
            failure => format!(": {failure}"),
        };
        f.write_str(match self {
            Self::TakesIt => "takes it",
            Self::Unable(obstacle) => return obstacle.fmt(f),
            Self::Leaving { is_present: true } => "still stops it",
            Self::Leaving { is_present: false } => "is not present, and may still have it",
            Self::Absent => "is not present",
            Self::NotLoaded(MachineStanding::InService) => "has not loaded it yet",
            Self::NotLoaded(MachineStanding::Leaving) => "is leaving and will not load it",
            Self::NotLoaded(MachineStanding::Silent) => {
                "has not loaded it yet, its systemd does not answer"
            }
            Self::NotLaunched => "has not started it yet",
            Self::NotStarted => "could not start it",
            Self::Failed(state, failure) => {
                let (active, sub, how) = (&state.active, &state.sub, how(failure));
                return write!(f, "started it, and systemd reports {active} ({sub}){how}");
            }
            Self::Restarting(failure) => {
                return write!(f, "started it, and it is in a restart loop{}", how(failure));
            }
            Self::Failing(error) => error,
        })
    }
}
