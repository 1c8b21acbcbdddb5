//! Names that aren't fleet's to use here: the host has a unit of its own called so.
//!
//! A unit that is to be loaded under such a name, or was by an earlier fleet, has an obstacle here. That
//! outlives the order that found it, or the unit would be sent back and forth: it stays until the name
//! is free or the unit destroyed, which is looked at with every scan, and at once when systemd has read
//! its unit files again. A file keeps it for the fleetd after this one, which looks before it tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use fleet_core::UnitName;
use fleet_registry::{Registry, RegistryError};
use fleet_runtime::RuntimeFile;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::claims::Claims;
use crate::{
    ManagerError, Taken, UnitManager,
    desired::Wanted,
    plan::{Current, Step},
};

/// A unit's other names.
type Aliases = BTreeSet<String>;

/// What is known of taken names, beside what plans need.
pub(super) struct Names {
    /// Units that an obstacle was found for, with the other names that they would have.
    minded: BTreeMap<UnitName, Aliases>,
    file: RuntimeFile,
    /// What `file` says.
    kept: BTreeMap<UnitName, Aliases>,
    pub(super) reloaded: Arc<Notify>,
}

impl Names {
    pub(super) fn new(runtime_dir: &Path) -> Self {
        let file = RuntimeFile::new(runtime_dir, "taken");
        let minded: BTreeMap<UnitName, Aliases> = file.read().unwrap_or_default();
        let reloaded = Arc::default();
        Self { kept: minded.clone(), minded, file, reloaded }
    }

    /// Finds out which names are taken, of the units here and of those that were found to be.
    pub(super) async fn look(
        &mut self,
        manager: &dyn UnitManager,
        current: &mut Current,
        claims: &mut Claims,
    ) -> Result<(), ManagerError> {
        // Also of what is remembered to be here, or to have been about to come: the host's may run.
        let mut asked = self.minded.clone();
        for unit in current.units.keys().chain(claims.intended()) {
            asked.entry(unit.clone()).or_default();
        }
        let now = manager.taken(&asked).await?;
        for (unit, Taken { why, runs_ours, .. }) in &now {
            if !current.taken.contains_key(unit) {
                warn!(%unit, why, runs_ours, "unit can't be here");
            }
        }
        for unit in current.taken.keys().filter(|unit| !now.contains_key(*unit)) {
            info!(%unit, "nothing is in the way of this unit any more");
        }
        let names = now.iter().map(|(unit, taken)| (unit.clone(), taken.aliases.clone()));
        self.minded = names.collect();
        for (unit, _) in now.iter().filter(|(_, taken)| !taken.runs_ours) {
            claims.settle(unit); // what became of it says nothing of fleet's
        }
        current.taken = now;
        Ok(())
    }

    /// Forgets the obstacles of units that are gone from the cluster. Costs nothing where there is
    /// none, and is asked only after a scan.
    pub(super) async fn forget_destroyed(
        &mut self,
        registry: &Registry,
        wanted: &BTreeMap<UnitName, Wanted>,
        current: &mut Current,
    ) -> Result<(), RegistryError> {
        let here = &current.units;
        let idle = |unit: &&UnitName| !wanted.contains_key(*unit) && !here.contains_key(*unit);
        let idle: BTreeSet<UnitName> = current.taken.keys().filter(idle).cloned().collect();
        if idle.is_empty() {
            return Ok(());
        }
        let there = registry.unit_records(&idle).await?;
        for unit in idle.iter().filter(|unit| !there.contains_key(*unit)) {
            current.taken.remove(unit);
            self.minded.remove(unit);
        }
        Ok(())
    }

    /// Takes in that a step could not be done since the name is taken.
    pub(super) fn is_taken(&mut self, current: &mut Current, step: &Step, why: &str) {
        let text = current.texts.get(&step.unit);
        let aliases = text.map(|text| text.file.aliases(&step.unit)).unwrap_or_default();
        self.minded.insert(step.unit.clone(), aliases.clone());
        if !current.units.contains_key(&step.unit) {
            warn!(unit = %step.unit, why, "unit can't be here");
            let taken = Taken { why: why.to_owned(), runs_ours: false, aliases };
            current.taken.insert(step.unit.clone(), taken);
        }
    }

    /// Keeps them for the fleetd after this one.
    pub(super) fn keep(&mut self) {
        if self.kept != self.minded || self.file.is_failing() {
            self.kept.clone_from(&self.minded);
            self.file.write(&self.minded);
        }
    }
}
