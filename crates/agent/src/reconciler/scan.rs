//! Finds out what is here: at the start, when something failed, and every now and then.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{JobState, UnitHash, UnitName};
use tokio::time::Instant;
use tracing::info;

use super::{Reconciler, SCAN};
use crate::{
    ManagerError,
    plan::{Here, adopted_claim},
    publish::Standings,
};

impl Reconciler {
    /// Lists the unit files if that is due. Asks systemd only about units nobody remembers
    /// anything of, and about those that could not be started, so that it costs no call otherwise.
    pub(super) async fn scan(&mut self) -> Result<(), ManagerError> {
        if Instant::now() < self.scan_at {
            return Ok(());
        }
        let listing = self.manager.units().await?;
        let remembered = if self.scanned { BTreeMap::new() } else { self.remembered_claims() };
        if !self.scanned {
            self.current.restarts = self.told.recall();
        }
        let mut found = self.merge(listing, &remembered);
        self.adopt(&mut found).await?;
        if !self.scanned && !found.is_empty() {
            info!(units = found.len(), "units found here");
        }
        self.current.units = found;
        self.missing.clear(); // look once more: a change may have been lost
        self.scanned = true;
        self.scan_at = Instant::now() + SCAN;
        Ok(())
    }

    fn merge(
        &self,
        listing: BTreeMap<UnitName, Option<UnitHash>>,
        remembered: &BTreeMap<UnitName, JobState>,
    ) -> BTreeMap<UnitName, Here> {
        let here = |(name, hash): (UnitName, Option<UnitHash>)| {
            let known = self.current.units.get(&name).cloned().unwrap_or_else(|| Here {
                claim: remembered.get(&name).copied().unwrap_or_default(),
                ..Here::default()
            });
            (name, Here { hash, ..known })
        };
        listing.into_iter().map(here).collect()
    }

    /// Gives units without a claim the one that their state speaks for, and forgets that a unit
    /// could not be started when somebody else has started it.
    async fn adopt(&self, found: &mut BTreeMap<UnitName, Here>) -> Result<(), ManagerError> {
        let unclaimed = |here: &Here| here.claim == JobState::Inactive && here.busy.is_none();
        let asked: BTreeSet<UnitName> = found
            .iter()
            .filter(|(_, here)| unclaimed(here) || here.not_started.is_some())
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

    /// What the fleetd before this one claimed.
    fn remembered_claims(&self) -> BTreeMap<UnitName, JobState> {
        self.claims.read().unwrap_or_default()
    }

    pub(super) fn remember_claims(&mut self, standings: &Standings) {
        let claims: BTreeMap<&UnitName, JobState> =
            standings.iter().map(|(name, standing)| (name, standing.claim)).collect();
        self.claims.write(&claims);
    }
}
