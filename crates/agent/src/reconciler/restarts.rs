//! Restarts that were asked for: remembers which systemd was told of, and acknowledges them.

use std::collections::BTreeMap;

use fleet_core::UnitName;
use fleet_registry::RegistryError;
use fleet_runtime::{RuntimeFile, exhibits::Exhibit};
use fleet_store::Revision;

use super::Reconciler;
use crate::plan::settled;

/// The requests that systemd was told of, in a file: a fleetd that ends before it could
/// acknowledge one has a successor that doesn't restart the unit again.
pub(super) struct SentRestarts {
    file: RuntimeFile,
    kept: BTreeMap<UnitName, Revision>,
}

impl SentRestarts {
    pub(super) fn new(file: RuntimeFile) -> Self {
        Self { file, kept: BTreeMap::new() }
    }

    /// What the fleetd before this one told systemd of.
    pub(super) fn recall(&mut self) -> BTreeMap<UnitName, Revision> {
        if Exhibit::RestartsForgotten.is_shown() {
            return BTreeMap::new();
        }
        let numbers: BTreeMap<UnitName, i64> = self.file.read().unwrap_or_default();
        self.kept = numbers.into_iter().map(|(unit, at)| (unit, Revision(at))).collect();
        self.kept.clone()
    }

    /// Keeps `requests` for the fleetd after this one.
    pub(super) fn keep(&mut self, requests: &BTreeMap<UnitName, Revision>) {
        if self.kept == *requests && !self.file.is_failing() {
            return;
        }
        self.kept.clone_from(requests);
        let numbers: BTreeMap<&UnitName, i64> =
            requests.iter().map(|(unit, at)| (unit, at.0)).collect();
        self.file.write(&numbers);
    }
}

impl Reconciler {
    /// Acknowledges the requests that are settled, and forgets those that are gone.
    pub(super) async fn acknowledge(&mut self) -> Result<(), RegistryError> {
        let requests = &self.follow.orders().restarts;
        self.current.restarts.retain(|unit, at| requests.get(unit) == Some(at));
        let settled = settled(requests, &self.desired.units, &self.current);
        if settled.is_empty() {
            return Ok(());
        }
        self.registry.acknowledge_restarts(&self.machine.id, &settled).await?;
        // What the watch will say as well, so that no pass until then acknowledges again.
        let is_settled = |unit: &UnitName, at: &Revision| settled.get(unit) == Some(at);
        self.follow.amend(|orders| orders.restarts.retain(|unit, at| !is_settled(unit, at)));
        Ok(())
    }
}
