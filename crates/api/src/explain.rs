//! The seam to whoever can judge why a unit has no machine: the API knows no engine.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use fleet_core::{MachineId, UnitName, eligibility::Refusal};
use tokio::{sync::Semaphore, time};

/// How many explanations are sought at a time. Whoever comes beyond that gets none.
const AT_ONCE: usize = 4;
/// The longest an answer waits for an explanation.
const PATIENCE: Duration = Duration::from_secs(1);

/// Judges why a unit has no machine, at the moment it is asked.
pub trait Explain: Send + Sync {
    /// What there is to say of `unit`; `None` when it doesn't wait for a machine, or nothing is
    /// known. The caller bounds the time.
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a>;
}

/// An explanation on its way.
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Option<Explanation>> + Send + 'a>>;

/// Why a unit has no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who decides.
    pub engine: Engine,
    /// Every present machine with what keeps it from taking the unit; `None` is nothing.
    pub machines: BTreeMap<MachineId, Option<Objection>>,
}

/// Whether anybody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An engine leads the cluster.
    Leads,
    /// None does.
    Missing,
}

/// What keeps a machine from taking a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It refuses it.
    Refused(Refusal),
    /// This unit there pushes it off (`cluster.md` 4).
    Replaced(UnitName),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Replaced(by) => write!(f, "found replace with locally-scheduled Unit({by})"),
        }
    }
}

/// An [`Explain`] within bounds.
pub(crate) struct Explainer {
    explain: Arc<dyn Explain>,
    slots: Semaphore,
}

impl Explainer {
    pub(crate) fn new(explain: Arc<dyn Explain>) -> Self {
        Self { explain, slots: Semaphore::new(AT_ONCE) }
    }

    /// An explanation, if there is one soon.
    pub(crate) async fn explain(&self, unit: &UnitName) -> Option<Explanation> {
        let _slot = self.slots.try_acquire().ok()?;
        time::timeout(PATIENCE, self.explain.explain(unit)).await.ok().flatten()
    }
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer").field("slots", &self.slots).finish_non_exhaustive()
    }
}
