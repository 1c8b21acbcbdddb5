//! Finds out what is here: at the start, when something failed, and every now and then.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{JobState, UnitName};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Reconciler, SCAN};
use crate::{
    Listed, ManagerError,
    plan::{Here, adopted_claim},
};

impl Reconciler {
    /// Lists the unit files if that is due. Asks systemd only about units nobody remembers
    /// anything of, and about those that could not be started, so that it costs no call otherwise.
    /// Says whether it did.
    pub(super) async fn scan(&mut self) -> Result<bool, ManagerError> {
        if Instant::now() < self.scan_at {
            return Ok(false);
        }
        let listing = self.manager.units().await?;
        if !self.scanned {
            self.memory.recall(&mut self.current);
        }
        let Self { names, memory, current, manager, .. } = self;
        names.look(&**manager, current, &mut memory.claims).await?;
        let mut found = self.merge(&listing);
        let Self { memory, current, manager, .. } = self;
        memory.claims.hold(&**manager, current, &listing, &mut found).await?;
        self.adopt(&mut found).await?;
        if !self.scanned && !found.is_empty() {
            info!(units = found.len(), "units found here");
        }
        self.current.units = found;
        self.follow.look_again(); // what is taken may have changed
        self.contents.look_again(); // look once more: a change may have been lost
        self.scanned = true;
        self.scan_at = Instant::now() + SCAN;
        Ok(true)
    }

    /// What is listed, with what is known of it. A unit that was launched may run, or has finished,
    /// when its file is gone: it is still here.
    fn merge(&self, listing: &BTreeMap<UnitName, Listed>) -> BTreeMap<UnitName, Here> {
        let known = &self.current.units;
        let mut found = BTreeMap::new();
        for (unit, here) in known {
            let launched = here.claim == JobState::Launched && here.hash.is_some();
            if launched && !listing.contains_key(unit) {
                if !here.unfinished {
                    warn!(%unit, "unit file is gone");
                }
                found.insert(unit.clone(), Here { unfinished: true, ..here.clone() });
            }
        }
        for (name, Listed { hash, finished, .. }) in listing {
            let known = known.get(name).cloned().unwrap_or_default();
            found.insert(name.clone(), Here { hash: *hash, unfinished: !finished, ..known });
        }
        found
    }

    /// Gives units without a claim the one that their state speaks for, and forgets that a unit
    /// could not be started when somebody else has started it. What this agent could not load is
    /// nobody's: its state is of another time. What runs under a name of the host's isn't fleet's.
    async fn adopt(&self, found: &mut BTreeMap<UnitName, Here>) -> Result<(), ManagerError> {
        let unclaimed = |here: &Here| {
            here.claim == JobState::Inactive && here.busy.is_none() && !here.unfinished
        };
        let asked: BTreeSet<UnitName> = found
            .iter()
            .filter(|(_, here)| unclaimed(here) || here.not_started.is_some())
            .filter(|(unit, _)| self.current.taken.get(*unit).is_none_or(|taken| taken.runs_ours))
            .map(|(name, _)| name.clone())
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        for (name, state) in self.manager.states(&asked).await? {
            let Some(here) = found.get_mut(&name) else { continue };
            if unclaimed(here) {
                here.claim = adopted_claim(&state);
            }
            here.not_started = here.not_started.filter(|_| state.active != "active");
        }
        Ok(())
    }
}
