//! A fleetd's way to its service manager, where calls are slow, hang, or come to nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io::ErrorKind,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use fleet_agent::{
    Changed, Job, Listed, ManagerError, Outcome, Taken, UnitManager,
    manager::{Moment, Past, Run},
};
use fleet_core::{UnitFile, UnitName, UnitState};
use tokio::time;

use crate::{
    checks,
    life::Life,
    machine::{Machine, Systemd},
    world::{self, World},
};

/// A call is given up after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest a call takes when all is well, in milliseconds.
const WAY: u64 = 4;

/// See the module.
#[derive(Debug)]
pub struct Driver {
    world: World,
    machine: Arc<Machine>,
    life: Arc<Life>,
}

impl Driver {
    /// The one of a machine's fleetd in this life.
    #[must_use]
    pub fn new(world: World, machine: Arc<Machine>, life: Arc<Life>) -> Self {
        Self { world, machine, life }
    }

    /// Makes a call: `effect` is what the service manager does.
    async fn call<T>(
        &self,
        what: &str,
        changes: bool,
        effect: impl Future<Output = T>,
    ) -> Result<T, ManagerError> {
        let died = |side| world::died(&self.world, &self.machine, what, changes, side);
        let call = async {
            let systemd = self.machine.systemd();
            let hangs = matches!(systemd, Systemd::Hangs(percent) if self.world.happens(percent));
            if hangs && self.world.happens(50) {
                time::sleep(PATIENCE).await;
                return Err(hung());
            }
            time::sleep(self.way(systemd)).await;
            if let Some(unit) = what.strip_prefix("restart ") {
                checks::restarts(&self.world, &self.machine, unit);
            }
            let answer = effect.await;
            if changes {
                self.world.trace.note(&*self.machine, what);
            }
            checks::systemd_did(&self.world, &self.machine);
            if hangs {
                time::sleep(PATIENCE).await;
                return Err(hung());
            }
            Ok(answer)
        };
        self.life.around(changes, died, call).await
    }

    fn way(&self, systemd: Systemd) -> Duration {
        match systemd {
            Systemd::Slow(millis) => self.world.pause(0, millis),
            _ => self.world.pause(0, WAY),
        }
    }
}

fn hung() -> ManagerError {
    ManagerError::Unavailable("no answer in time".into())
}

/// The same for each unit.
fn for_each<'a>(
    units: impl Iterator<Item = &'a UnitName>,
) -> BTreeMap<UnitName, Result<(), ManagerError>> {
    units.map(|unit| (unit.clone(), Err(hung()))).collect()
}

#[async_trait]
impl UnitManager for Driver {
    async fn units(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError> {
        self.call("units", false, async { self.machine.fake().units().await }).await?
    }

    async fn taken(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError> {
        self.call("taken", false, async { self.machine.fake().taken(others).await }).await?
    }

    async fn load(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        let what = format!("load {:?}", names(units.keys()));
        if self.machine.is_full() {
            let full = |unit: &UnitName| ManagerError::File {
                path: unit.to_string(),
                source: ErrorKind::StorageFull.into(),
            };
            let each = units.keys().map(|unit| (unit.clone(), Err(full(unit))));
            let none = self.call(&what, false, async { each.collect() }).await;
            return none.unwrap_or_else(|_| for_each(units.keys()));
        }
        let load = self.call(&what, true, async { self.machine.fake().load(units).await });
        load.await.unwrap_or_else(|_| for_each(units.keys()))
    }

    async fn unload(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        let what = format!("unload {:?}", names(units.iter()));
        let unload = self.call(&what, true, async { self.machine.fake().unload(units).await });
        unload.await.unwrap_or_else(|_| for_each(units.iter()))
    }

    async fn reload_if_needed(&self, units: &BTreeSet<UnitName>) -> Result<bool, ManagerError> {
        let fake = self.machine.fake();
        self.call("reload", false, async { fake.reload_if_needed(units).await }).await?
    }

    async fn start(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let what = format!("start {unit}");
        self.call(&what, true, async { self.machine.fake().start(unit).await }).await?
    }

    async fn stop(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let what = format!("stop {unit}");
        self.call(&what, true, async { self.machine.fake().stop(unit).await }).await?
    }

    async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, ManagerError> {
        self.call("stop limit", false, async { self.machine.fake().stop_limit(unit).await }).await?
    }

    async fn restart(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let what = format!("restart {unit}");
        self.call(&what, true, async { self.machine.fake().restart(unit).await }).await?
    }

    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, UnitState>, ManagerError> {
        self.call("states", false, async { self.machine.fake().states(units).await }).await?
    }

    async fn runs(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, Run>, ManagerError> {
        self.call("runs", false, async { self.machine.fake().runs(units).await }).await?
    }

    async fn past(&self, since: &BTreeMap<UnitName, Moment>) -> BTreeMap<UnitName, Past> {
        let past = self.call("past", false, async { self.machine.fake().past(since).await });
        past.await
            .unwrap_or_else(|_| since.keys().map(|unit| (unit.clone(), Past::default())).collect())
    }

    async fn outcome(&self, unit: &UnitName) -> Result<Outcome, ManagerError> {
        self.call("outcome", false, async { self.machine.fake().outcome(unit).await }).await?
    }

    async fn ping(&self) -> Result<(), ManagerError> {
        self.call("ping", false, async { self.machine.fake().ping().await }).await?
    }

    async fn changed(&self) -> Changed {
        loop {
            let changed = self.machine.fake().changed().await;
            self.life.runs().await;
            let is_lost = match self.machine.systemd() {
                Systemd::Mute(percent) => self.world.happens(percent),
                _ => false,
            };
            if !is_lost {
                return changed;
            }
        }
    }
}

fn names<'a>(units: impl Iterator<Item = &'a UnitName>) -> Vec<&'a str> {
    units.map(UnitName::as_str).collect()
}
