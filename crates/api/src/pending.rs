//! Why a unit isn't running where it should, as clients read it. The registry tells; who else is asked
//! for it, is asked within bounds.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_registry::{
    Registry, Unit,
    why::{self, Explain, Explaining, Finding, Remark, StoreSpace},
};
use fleet_schema as schema;
use tokio::{sync::Semaphore, time};

/// How many explanations are sought at a time. Whoever comes beyond that gets none.
const AT_ONCE: usize = 4;
/// The longest an answer waits for what is only a remark.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who is asked why a unit waits.
pub(crate) struct Reasons {
    pub(crate) explain: Option<Arc<dyn Explain>>,
    pub(crate) room: Option<Arc<dyn StoreSpace>>,
    pub(crate) slots: Semaphore,
}

impl Reasons {
    /// What keeps `unit` from running where it should; empty when there is nothing to say.
    pub(crate) async fn of(&self, registry: &Registry, unit: &Unit) -> schema::Pending {
        let finding = why::pending(registry, Some(self), Some(self), unit).await;
        finding.as_ref().map(entity).unwrap_or_default()
    }
}

impl Default for Reasons {
    fn default() -> Self {
        Self { explain: None, room: None, slots: Semaphore::new(AT_ONCE) }
    }
}

impl Explain for Reasons {
    /// An explanation, if there is one soon.
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a> {
        Box::pin(async {
            let explain = self.explain.as_ref()?;
            let _slot = self.slots.try_acquire().ok()?;
            time::timeout(PATIENCE, explain.explain(unit)).await.ok().flatten()
        })
    }
}

impl StoreSpace for Reasons {
    /// Whether that is known soon.
    fn is_exhausted(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async {
            let Some(room) = &self.room else { return false };
            time::timeout(PATIENCE, room.is_exhausted()).await.unwrap_or(false)
        })
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reasons").field("slots", &self.slots).finish_non_exhaustive()
    }
}

fn entity(finding: &Finding) -> schema::Pending {
    let machine = |remark: &Remark| schema::PendingMachine {
        machine_id: remark.machine.to_string(),
        message: remark.to_string(),
        reason: remark.word().to_owned(),
        refused: remark.refused,
    };
    schema::Pending {
        machines: finding.remarks().iter().map(machine).collect(),
        message: finding.to_string(),
        reason: finding.word().to_owned(),
    }
}
