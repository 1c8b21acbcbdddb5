//! What is said of why a unit waits, to programs and to people (`docs/api-v1.md`).

use std::fmt;

use fleet_core::{MachineStanding, Obstacle, eligibility::Refusal};
use fleet_store::StoreError;

use super::judge::{Cause, Finding, Reason, Remark};

impl Finding {
    /// The reason for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::OneMachine(remark) => remark.word(),
            Self::Cluster(reason, _) => reason.word(),
            Self::OutOfSpace(_) => "out-of-space",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneMachine(Remark { machine, cause, trouble, .. }) => {
                match cause {
                    Cause::Leaving { is_present: true } => {
                        write!(f, "it is leaving machine {machine}, where it still stops")
                    }
                    Cause::Leaving { is_present: false } => {
                        write!(f, "it is leaving machine {machine}, which is not present")
                    }
                    cause => write!(f, "machine {machine} {cause}"),
                }?;
                because(f, trouble.as_deref())
            }
            Self::Cluster(reason, _) => reason.fmt(f),
            Self::OutOfSpace(finding) => write!(f, "{} ({finding})", StoreError::OutOfSpace),
        }
    }
}

impl Remark {
    /// The reason for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.cause.word()
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        because(f, self.trouble.as_deref())
    }
}

/// What the machine says of why it isn't so yet.
fn because(f: &mut fmt::Formatter<'_>, trouble: Option<&str>) -> fmt::Result {
    trouble.map_or(Ok(()), |trouble| write!(f, ": {trouble}"))
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
                let (active, sub) = (&state.active, &state.sub);
                write!(f, "started it, and systemd reports {active} ({sub})")?;
                return because(f, Some(&**failure).filter(|how| !how.is_empty()));
            }
            Self::Restarting(failure) => {
                f.write_str("started it, and it is in a restart loop")?;
                return because(f, Some(&**failure).filter(|how| !how.is_empty()));
            }
            Self::Failing(error) => error,
        })
    }
}
