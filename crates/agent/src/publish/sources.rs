//! Where what is published comes from, besides the service manager.

use std::{collections::BTreeMap, sync::Arc};

use fleet_core::{JobState, UnitHash, UnitName};
use fleet_registry::{HostObstacle, Start, Trouble};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::presence::PresenceHandle;

/// How a unit stands with the agent that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The content it was loaded with.
    pub(crate) hash: UnitHash,
    /// What the agent has done.
    pub(crate) claim: JobState,
    /// How its last start went, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
}

/// The units here that have a state to publish.
pub(crate) type Standings = BTreeMap<UnitName, Standing>;

/// What keeps units from being as they should here.
pub(crate) type Troubles = BTreeMap<UnitName, Trouble>;

/// What keeps units off this machine, whether anything is to be here or not.
pub(crate) type Obstacles = BTreeMap<UnitName, HostObstacle>;

/// What the publisher follows, and whom it wakes.
pub(crate) struct Sources {
    pub(crate) standings: watch::Receiver<Option<Arc<Standings>>>,
    pub(crate) troubles: watch::Receiver<Arc<Troubles>>,
    /// `None` until they are known.
    pub(crate) obstacles: watch::Receiver<Option<Arc<Obstacles>>>,
    /// To be told when systemd has read its unit files again.
    pub(crate) reloaded: Arc<Notify>,
    /// To be told of new connections to the service manager.
    pub(crate) reconnected: Arc<Notify>,
    /// Tells that what was published may be lost.
    pub(crate) refollowed: Arc<Notify>,
    pub(crate) presence: PresenceHandle,
}
