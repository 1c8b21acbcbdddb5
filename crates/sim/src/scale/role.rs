//! The processes of a run: what they are told at their beginning and while they run.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::workload::Workload;

/// The prefix of all keys.
pub(super) const PREFIX: &str = "/fleet/";

/// What a process is told at its beginning, as JSON in an argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Where etcd is.
    pub(super) endpoint: String,
    /// For what it keeps.
    pub(super) folder: PathBuf,
    /// From which machines are drawn.
    pub(super) seed: u64,
    /// How many machines there are.
    pub(super) machines: usize,
    /// `agent_ttl`, in seconds.
    pub(super) ttl: u64,
    /// The number of the machine that has the engine and the API.
    pub(super) leader: usize,
}

impl Setup {
    /// The units and machines of the run.
    pub(super) fn workload(&self) -> Workload {
        Workload { seed: self.seed, machines: self.machines }
    }

    /// `agent_ttl`.
    pub(super) fn agent_ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    /// The lease that is asked for, as fleetd does.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(if self.ttl < 5 { self.ttl } else { self.ttl - 1 })
    }

    /// Where the API is served.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join(format!("api-{}.sock", self.leader))
    }
}

impl std::str::FromStr for Setup {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// What a process is asked on a line of its input; it answers with a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Switch these machines on. Answered with nothing.
    Start(Vec<usize>),
    /// Cut their power: their agents end, and so do their units. Answered with nothing.
    Kill(Vec<usize>),
    /// How often a service manager was told something: a [`Told`].
    Told,
    /// How many machines are in touch with etcd: their beats succeed.
    InTouch,
    /// Which units run where: pairs of their names and the machines' numbers.
    Running,
}

/// How often service managers were told something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// To start a unit, or to restart it.
    pub(super) starts: u64,
    /// To stop one.
    pub(super) stops: u64,
}
