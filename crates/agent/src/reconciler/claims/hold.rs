//! Holds what was intended against what has become of it.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{JobState, UnitName};
use fleet_runtime::exhibits::Exhibit;
use fleet_store::Revision;
use tracing::{info, warn};

use super::{Claims, MAY_HAVE_RUN};
use crate::{
    Listed, ManagerError, UnitManager,
    intent::{Found, Intent},
    manager::{Moment, Past, Run},
    plan::{Action, Current, Here},
};

impl Claims {
    /// Finds out what has become of what was intended and isn't settled.
    pub(in crate::reconciler) async fn hold(
        &mut self,
        manager: &dyn UnitManager,
        current: &mut Current,
        listing: &BTreeMap<UnitName, Listed>,
        found: &mut BTreeMap<UnitName, Here>,
    ) -> Result<(), ManagerError> {
        let open = self.open(current);
        if open.is_empty() {
            return Ok(());
        }
        let runs = manager.runs(&open).await?;
        let past = self.past(manager, &open, &runs).await;
        for unit in open {
            let Some(intent) = self.intents.get(&unit).cloned() else { continue };
            let past = past.get(&unit).cloned().unwrap_or_default();
            let Some(is) = intent.found(runs.get(&unit), Some(&past)) else { continue };
            let listed = listing.get(&unit);
            let once = listed.is_some_and(|listed| listed.once);
            info!(%unit, intended = ?intent.act, found = ?is, once, "found out what became of a unit");
            let here = found.remove(&unit).or_else(|| current.units.get(&unit).cloned());
            let here = here.unwrap_or_default();
            if let Some(request) = intent.told(is, once)
                && !Exhibit::RestartsForgotten.is_shown()
            {
                current.restarts.insert(unit.clone(), Revision(request));
            }
            found.extend(self.settled(&unit, &intent, is, listed, here).map(|here| (unit, here)));
        }
        Ok(())
    }

    /// What was intended with units that nothing is under way with, and isn't settled.
    fn open(&self, current: &Current) -> BTreeSet<UnitName> {
        let is_open = |unit: &&UnitName| {
            let here = current.units.get(*unit);
            let is_idle = here.is_none_or(|here| here.busy.is_none() && !here.stopped);
            is_idle && !self.unknown.contains(*unit)
        };
        self.intents.keys().filter(is_open).cloned().collect()
    }

    /// Asks what is on record only of those that systemd's memory doesn't tell of.
    async fn past(
        &self,
        manager: &dyn UnitManager,
        open: &BTreeSet<UnitName>,
        runs: &BTreeMap<UnitName, Run>,
    ) -> BTreeMap<UnitName, Past> {
        let doubtful = |unit: &UnitName| {
            let intent = self.intents.get(unit)?;
            intent
                .found(runs.get(unit), None)
                .is_none()
                .then(|| (unit.clone(), intent.since.clone()))
        };
        let doubtful: BTreeMap<UnitName, Moment> = open.iter().filter_map(doubtful).collect();
        match doubtful.is_empty() {
            true => BTreeMap::new(),
            false => manager.past(&doubtful).await,
        }
    }

    /// Takes in what has become of a unit, and returns it as it is here; `None` when it isn't.
    fn settled(
        &mut self,
        unit: &UnitName,
        intent: &Intent,
        is: Found,
        listed: Option<&Listed>,
        here: Here,
    ) -> Option<Here> {
        let once = listed.is_some_and(|listed| listed.once);
        if is == Found::Unknown && once {
            warn!(%unit, "{MAY_HAVE_RUN}");
            self.unknown.insert(unit.clone());
        } else {
            self.settle(unit);
        }
        let claim = intent.claim_when(is, once);
        // Its file is gone, as it was to be or by somebody's hand. What runs is here all the same.
        let stays = match intent.act {
            Action::Unload => is == Found::Runs,
            _ => claim == JobState::Launched,
        };
        if listed.is_none() && !stays {
            self.settle(unit);
            return None;
        }
        let unfinished = here.unfinished || listed.is_none() || intent.leaves_file_open(is);
        let hash = listed.map_or(here.hash, |listed| listed.hash);
        let not_started = (is == Found::Unknown && once).then_some(MAY_HAVE_RUN);
        Some(Here { hash, claim, unfinished, not_started, ..here })
    }
}
