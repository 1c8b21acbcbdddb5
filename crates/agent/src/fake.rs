//! A scripted service manager: what a unit does is read from its content, and calls can be
//! refused. It ships beside the trait, like `MemoryStore`, for the tests of whoever uses one.
//!
//! Of a unit's content it understands: `ExecStart=/bin/sleep …` (runs, or when `Type=oneshot`
//! takes as long to start), `/bin/true` (finishes), `/bin/false` (fails, after its start when it is no
//! `oneshot`), `ExecStartPre=/bin/false` (fails before it), `ExecStartPre=/bin/sleep …` (takes as long to
//! start when it is no `oneshot`), `Restart=always` and `RestartSec=` (is started again when it failed), `RemainAfterExit=yes`, `ExecStop=/bin/sleep …` (takes as long to stop),
//! `TimeoutStopSec=` (says so). Time is tokio's, so tests may pause it.
//!
//! The host may have units of its own, and masks; a call that would touch one is refused.
//!
//! As systemd does, it keeps the content of a unit that is active or failed in memory, and runs
//! that, until it is told to reload.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fleet_core::{UnitFile, UnitHash, UnitName, UnitState};
use tokio::{sync::Notify, task::JoinSet, time};

use crate::{
    Changed, Job, Listed, ManagerError, Outcome, Taken, UnitManager,
    manager::{Moment, Past, Run},
};

mod behaviour;
mod host;
mod journal;
mod own;

pub use journal::Event;

use host::{Host, Later};

/// A call that was made, whether it was refused or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`UnitManager::units`].
    Units,
    /// [`UnitManager::taken`].
    Taken,
    /// [`UnitManager::load`].
    Load(BTreeSet<UnitName>),
    /// [`UnitManager::unload`].
    Unload(BTreeSet<UnitName>),
    /// [`UnitManager::reload_if_needed`].
    ReloadIfNeeded(BTreeSet<UnitName>),
    /// [`UnitManager::start`].
    Start(UnitName),
    /// [`UnitManager::restart`].
    Restart(UnitName),
    /// [`UnitManager::stop`].
    Stop(UnitName),
    /// [`UnitManager::stop_limit`].
    StopLimit(UnitName),
    /// [`UnitManager::outcome`].
    Outcome(UnitName),
    /// [`UnitManager::states`].
    States(BTreeSet<UnitName>),
    /// [`UnitManager::runs`].
    Runs(BTreeSet<UnitName>),
    /// [`UnitManager::past`].
    Past(BTreeSet<UnitName>),
}

/// What can be refused to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`UnitManager::load`].
    Load,
    /// [`UnitManager::unload`].
    Unload,
    /// [`UnitManager::reload_if_needed`], for all when one of them is refused.
    Reload,
    /// [`UnitManager::start`].
    Start,
    /// [`UnitManager::restart`].
    Restart,
    /// [`UnitManager::stop`].
    Stop,
}

/// A host with a service manager, in memory. It outlives the fleetds that use it.
#[derive(Default)]
pub struct FakeManager {
    shared: Arc<Shared>,
    /// Ends jobs that take time.
    timers: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Shared {
    host: Mutex<Host>,
    told: Notify,
}

impl Shared {
    fn host(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeManager {
    /// A host without any unit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses `operation` for `unit` from now on, with this text.
    pub fn refuse(&self, unit: &UnitName, operation: Operation, text: &str) {
        self.shared.host().refusals.insert((unit.clone(), operation), text.to_owned());
    }

    /// Refuses nothing to `unit` any more.
    pub fn allow(&self, unit: &UnitName) {
        self.shared.host().refusals.retain(|(name, _), _| name != unit);
    }

    /// Plays a connection that is lost (`false`) or back (`true`).
    pub fn set_available(&self, available: bool) {
        let mut host = self.shared.host();
        host.unavailable = !available;
        host.tell_all();
        drop(host);
        self.shared.told.notify_one();
    }

    /// Plays a systemd that says nothing of states, nor that it is there: each question fails after
    /// this time.
    pub fn be_silent(&self, patience: Duration) {
        self.shared.host().silent = Some(patience);
    }

    /// Ends what [`be_silent`](Self::be_silent) began. What was asked before still fails.
    pub fn speak_again(&self) {
        self.shared.host().silent = None;
    }

    /// Plays a daemon-reload that somebody else asked for.
    pub fn reload(&self) {
        self.shared.host().tell_reloaded();
        self.shared.told.notify_one();
    }

    /// Lets systemd say something else of a unit, as after a crash of its process.
    pub fn set_state(&self, unit: &UnitName, active: &str, sub: &str) {
        self.shared.host().set_state(unit, active, sub);
        self.shared.told.notify_one();
    }

    /// Puts a file in place that can't be read.
    pub fn spoil_file(&self, unit: &UnitName) {
        self.shared.host().spoil_file(unit);
    }

    /// Takes away every unit file.
    pub fn lose_files(&self) {
        self.shared.host().lose_files();
    }

    /// Takes away a unit's link. Its file stays.
    pub fn unlink(&self, unit: &UnitName) {
        self.shared.host().unfinished.insert(unit.clone());
    }

    /// Plays a journal that is lost, and written no more.
    pub fn lose_journal(&self) {
        self.shared.host().journal.lose();
    }

    /// Gives the host a unit of its own, which runs, or (`None`) takes it away again. Fleet's file
    /// and link stay where there are some: so it is with what an earlier fleet has linked over it.
    pub fn have_own(&self, unit: &UnitName, active: Option<&str>) {
        self.shared.host().have_own(unit, active);
        self.shared.told.notify_one();
    }

    /// Masks a name, or takes the mask away. What runs goes on.
    pub fn mask(&self, unit: &UnitName, masked: bool) {
        self.shared.host().mask(unit, masked);
        self.shared.told.notify_one();
    }

    /// The calls made since this was asked last, oldest first.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared.host().calls).into()
    }

    /// The runs that have begun and the stops that were asked for since this was asked last, oldest
    /// first.
    #[must_use]
    pub fn take_events(&self) -> Vec<(UnitName, Event)> {
        std::mem::take(&mut self.shared.host().events).into()
    }

    /// The units that fleet has a file of here.
    #[must_use]
    pub fn files(&self) -> BTreeMap<UnitName, Listed> {
        self.shared.host().listing()
    }

    /// The units that systemd has in memory: active, failed, or on their way.
    #[must_use]
    pub fn in_memory(&self) -> BTreeSet<UnitName> {
        self.shared.host().in_memory()
    }

    /// What systemd says of a unit now.
    #[must_use]
    pub fn state_of(&self, unit: &UnitName) -> UnitState {
        self.shared.host().state_of(unit)
    }

    /// The content of a unit that is active: what really runs, not what is on disk.
    #[must_use]
    pub fn running(&self, unit: &UnitName) -> Option<UnitHash> {
        self.shared.host().running(unit)
    }

    /// How often a unit was really started.
    #[must_use]
    pub fn starts_of(&self, unit: &UnitName) -> usize {
        self.shared.host().starts.get(unit).copied().unwrap_or_default()
    }

    /// Notes a call; an error when the connection is lost.
    fn called(&self, call: Call) -> Result<MutexGuard<'_, Host>, ManagerError> {
        let mut host = self.shared.host();
        host.note(call);
        if host.unavailable { Err(unavailable()) } else { Ok(host) }
    }

    /// Sees to what a change started, and wakes the one who waits for changes.
    fn follow_up(&self, later: Option<Later>) {
        self.shared.told.notify_one();
        let Some(later) = later else { return };
        let shared = Arc::clone(&self.shared);
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        while timers.try_join_next().is_some() {}
        timers.spawn(async move {
            let mut next = Some(later);
            while let Some(later) = next {
                time::sleep(later.after).await;
                next = shared.host().end(&later);
                shared.told.notify_one();
            }
        });
    }
}

impl fmt::Debug for FakeManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeManager").finish_non_exhaustive()
    }
}

fn unavailable() -> ManagerError {
    ManagerError::Unavailable("the fake plays a lost connection".into())
}

/// The same error for each unit: what a batch answers when the connection is lost.
fn for_each<'a>(
    names: impl Iterator<Item = &'a UnitName>,
) -> BTreeMap<UnitName, Result<(), ManagerError>> {
    names.map(|name| (name.clone(), Err(unavailable()))).collect()
}

#[async_trait]
impl UnitManager for FakeManager {
    async fn units(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError> {
        Ok(self.called(Call::Units)?.listing())
    }

    async fn taken(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError> {
        Ok(self.called(Call::Taken)?.taken_of(others))
    }

    async fn load(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        match self.called(Call::Load(units.keys().cloned().collect())) {
            Ok(mut host) => {
                units.iter().map(|(name, file)| (name.clone(), host.load(name, file))).collect()
            }
            Err(_) => for_each(units.keys()),
        }
    }

    async fn unload(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        match self.called(Call::Unload(units.clone())) {
            Ok(mut host) => units.iter().map(|name| (name.clone(), host.unload(name))).collect(),
            Err(_) => for_each(units.iter()),
        }
    }

    async fn reload_if_needed(&self, units: &BTreeSet<UnitName>) -> Result<bool, ManagerError> {
        self.called(Call::ReloadIfNeeded(units.clone()))?.reload_if_needed(units)
    }

    async fn start(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let (job, later) = self.called(Call::Start(unit.clone()))?.start(unit)?;
        self.follow_up(later);
        Ok(job)
    }

    async fn stop(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let (job, later) = self.called(Call::Stop(unit.clone()))?.stop(unit)?;
        self.follow_up(later);
        Ok(job)
    }

    async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, ManagerError> {
        Ok(self.called(Call::StopLimit(unit.clone()))?.stop_limit(unit))
    }

    async fn restart(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        let (job, later) = self.called(Call::Restart(unit.clone()))?.restart(unit)?;
        self.follow_up(later);
        Ok(job)
    }

    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, UnitState>, ManagerError> {
        let silent = self.called(Call::States(units.clone()))?.silent;
        if let Some(patience) = silent {
            time::sleep(patience).await;
            return Err(unavailable());
        }
        let host = self.shared.host();
        Ok(units.iter().map(|name| (name.clone(), host.state_of(name))).collect())
    }

    async fn runs(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, Run>, ManagerError> {
        let host = self.called(Call::Runs(units.clone()))?;
        Ok(units.iter().filter_map(|name| Some((name.clone(), host.run_of(name)?))).collect())
    }

    async fn past(&self, since: &BTreeMap<UnitName, Moment>) -> BTreeMap<UnitName, Past> {
        let mut host = self.shared.host();
        host.note(Call::Past(since.keys().cloned().collect()));
        let past = |(name, at): (&UnitName, &Moment)| (name.clone(), host.journal.past(name, at));
        since.iter().map(past).collect()
    }

    async fn outcome(&self, unit: &UnitName) -> Result<Outcome, ManagerError> {
        Ok(self.called(Call::Outcome(unit.clone()))?.outcome_of(unit))
    }

    /// No call that is noted: it does nothing.
    async fn ping(&self) -> Result<(), ManagerError> {
        let (silent, is_lost) = {
            let host = self.shared.host();
            (host.silent, host.unavailable)
        };
        if let Some(patience) = silent {
            time::sleep(patience).await;
        }
        if silent.is_some() || is_lost { Err(self::unavailable()) } else { Ok(()) }
    }

    async fn changed(&self) -> Changed {
        loop {
            let pending = self.shared.host().pending.take();
            if let Some(changed) = pending {
                return changed;
            }
            self.shared.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::contract;

    #[tokio::test(start_paused = true)]
    async fn the_fake_keeps_the_contract() {
        let (fake, own) = (FakeManager::new(), "own.service".parse().unwrap());
        contract::all(&fake, "contract").await;
        fake.have_own(&own, Some("active"));
        contract::a_unit_of_the_hosts_is_left_alone(&fake, "contract", &own).await;
    }
}
