//! Why a unit isn't running where it should.
//!
//! Facts are gathered, judged and put into words, each in a file of its own:
//!
//! ```text
//! gather ─▶ Facts      reads what there is to know of this unit
//! judge  ─▶ Finding    a function: the one reason, and what each machine has to do with it
//! words                what that is called, for programs and for people
//! ```
//!
//! Costs nothing for a unit that runs where it should, two small reads for one that has a machine
//! or is global, and one with an explanation for one that nobody has. Only an engine can give that:
//! [`Explain`] is the seam to it.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use fleet_core::{MachineId, Obstacle, UnitName};
use tracing::debug;

use crate::{Registry, Unit};

mod gather;
mod judge;
mod words;

pub use judge::{Cause, Finding, Reason, Remark};

/// Machines that are named at most: an answer stays small in any cluster.
const NAMED: usize = 100;

/// Judges why a unit has no machine, at the moment it is asked.
pub trait Explain: Send + Sync {
    /// What there is to say of `unit`; `None` when it doesn't wait for a machine, or nothing is
    /// known. The caller bounds the time.
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a>;
}

/// An explanation on its way.
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Option<Explanation>> + Send + 'a>>;

/// Tells whether there is room for what would have to be written.
pub trait StoreSpace: Send + Sync {
    /// Whether the store takes nothing new. The caller bounds the time.
    fn is_exhausted(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// Why a unit has no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who decides.
    pub engine: Engine,
    /// Every machine that is there with what keeps it from taking the unit; `None` is nothing.
    pub machines: BTreeMap<MachineId, Option<Obstacle>>,
}

/// Whether anybody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An engine leads the cluster.
    Leads,
    /// None does.
    Missing,
}

/// What keeps `unit` from running; `None` when it is as it should be or nothing is known.
pub async fn pending(
    registry: &Registry,
    explain: Option<&dyn Explain>,
    room: Option<&dyn StoreSpace>,
    unit: &Unit,
) -> Option<Finding> {
    let facts = gather::facts(registry, explain, unit).await;
    // Only a remark is lost when this fails: the unit itself has been read.
    let facts = facts.inspect_err(|error| debug!(%error, "nothing is told of why a unit waits"));
    let finding = judge::judge(facts.ok()??)?;
    match room {
        Some(room) if room.is_exhausted().await => Some(Finding::OutOfSpace(Box::new(finding))),
        _ => Some(finding),
    }
}
