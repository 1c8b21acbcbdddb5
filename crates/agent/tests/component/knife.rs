//! A fleetd that is cut off at any of its calls, to systemd or to the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use fleet_agent::{
    Agent, Changed, Job, Listed, ManagerError, Outcome, Taken, UnitManager,
    fake::FakeManager,
    manager::{Moment, Past, Run},
};
use fleet_core::{UnitFile, UnitName, UnitState};
use fleet_registry::{Keys, Registry};
use fleet_testkit::{Knife, Knifed};

use crate::world::{Cluster, Daemon, Host};

/// A service manager whose calls a knife can cut. Waiting for changes is no call.
struct KnifedManager {
    manager: Arc<FakeManager>,
    knife: Knife,
}

#[async_trait]
impl UnitManager for KnifedManager {
    async fn units(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError> {
        self.knife.around(self.manager.units()).await
    }

    async fn taken(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError> {
        self.knife.around(self.manager.taken(others)).await
    }

    async fn load(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        self.knife.around(self.manager.load(units)).await
    }

    async fn unload(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        self.knife.around(self.manager.unload(units)).await
    }

    async fn reload_if_needed(&self, units: &BTreeSet<UnitName>) -> Result<bool, ManagerError> {
        self.knife.around(self.manager.reload_if_needed(units)).await
    }

    async fn start(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.knife.around(self.manager.start(unit)).await
    }

    async fn stop(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.knife.around(self.manager.stop(unit)).await
    }

    async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, ManagerError> {
        self.knife.around(self.manager.stop_limit(unit)).await
    }

    async fn restart(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.knife.around(self.manager.restart(unit)).await
    }

    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, UnitState>, ManagerError> {
        self.knife.around(self.manager.states(units)).await
    }

    async fn runs(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, Run>, ManagerError> {
        self.knife.around(self.manager.runs(units)).await
    }

    async fn past(&self, since: &BTreeMap<UnitName, Moment>) -> BTreeMap<UnitName, Past> {
        self.knife.around(self.manager.past(since)).await
    }

    async fn outcome(&self, unit: &UnitName) -> Result<Outcome, ManagerError> {
        self.knife.around(self.manager.outcome(unit)).await
    }

    /// It changes nothing, so there is nothing to cut.
    async fn ping(&self) -> Result<(), ManagerError> {
        self.manager.ping().await
    }

    async fn changed(&self) -> Changed {
        self.manager.changed().await
    }
}

impl Host {
    /// An agent that `knife` can cut off.
    pub(crate) fn knifed_agent(&self, cluster: &Cluster, knife: &Knife) -> Agent {
        let store = Knifed { store: cluster.store.clone(), knife: knife.clone() };
        let registry = Registry::new(Arc::new(store), Keys::new("/fleet").unwrap());
        let manager = KnifedManager { manager: Arc::clone(&self.manager), knife: knife.clone() };
        Agent::new(registry, Arc::new(manager), self.config())
    }

    /// Starts a fleetd that `knife` can cut off. Returns when it is present.
    pub(crate) async fn boot_knifed(&self, cluster: &Cluster, knife: &Knife) -> Daemon {
        let daemon = Daemon::start(self.knifed_agent(cluster, knife));
        daemon.is_present().await;
        daemon
    }
}
