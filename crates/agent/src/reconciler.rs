//! Makes what is here what should be here.
//!
//! Owns the mirror of this machine's part of the registry, the picture of what is here, and the
//! jobs on their way. Woken by the mirror, by jobs that end, by a new connection to systemd, and
//! by a tick; it ends when it is told to, between two passes. Its state outlives
//! [`Reconciler::run`], so that it can be run again.
//!
//! While the mirror isn't current nothing is done to systemd: an outage never stops a unit
//! (`cluster.md` 6).

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use fleet_core::{Complaint, Machine};
use fleet_registry::{Registry, RegistryError};
use fleet_runtime::exhibits::Exhibit;
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    ManagerError, UnitManager,
    desired::{Desired, desired},
    execute::{Done, execute},
    plan::{self, Current, Step, plan},
    presence::PresenceHandle,
    publish::{Obstacles, Standings, Troubles},
};

mod claims;
mod contents;
mod follow;
mod jobs;
mod memory;
mod names;
mod purge;
mod record;
mod release;
mod restarts;
mod returning;
mod scan;
mod shown;

use contents::Contents;
use follow::Follow;
use jobs::Jobs;
use memory::Memory;
use names::Names;
use shown::Shown;

/// The longest time between two passes (`cluster.md` 5).
const TICK: Duration = Duration::from_secs(5);
/// How often the files on disk are looked at, in case somebody else changed them (`units.md` 7.5).
const SCAN: Duration = Duration::from_secs(30);
/// The pause after a pass that failed as a whole.
const PAUSE: Duration = Duration::from_secs(1);
/// How long units that stop together are gathered, to be unloaded together.
const GATHER: Duration = Duration::from_millis(5);

pub(crate) struct Reconciler {
    registry: Registry,
    manager: Arc<dyn UnitManager>,
    machine: Machine,
    presence: Option<PresenceHandle>,
    reconnected: Arc<Notify>,
    /// What is ordered.
    follow: Follow,
    /// What follows from the orders.
    desired: Desired,
    contents: Contents,
    /// What is here.
    current: Current,
    jobs: Jobs,
    /// What the host has of its own, for the engine.
    names: Names,
    memory: Memory,
    shown: Shown,
    scanned: bool,
    scan_at: Instant,
    retry_at: Option<Instant>,
    complaint: Complaint,
}

/// Why a pass could not be made.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Manager(#[from] ManagerError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Reconciler {
    /// One for `machine` with its configured metadata. `reconnected` tells of a new connection
    /// to the service manager.
    pub(crate) fn new(
        registry: Registry,
        manager: Arc<dyn UnitManager>,
        machine: Machine,
        runtime_dir: &Path,
        reconnected: Arc<Notify>,
    ) -> Self {
        Self {
            follow: Follow::new(registry.clone(), machine.id.clone()),
            registry,
            manager,
            machine,
            presence: None,
            reconnected,
            desired: Desired::default(),
            contents: Contents::default(),
            current: Current::default(),
            jobs: Jobs::default(),
            names: Names::new(runtime_dir),
            memory: Memory::new(runtime_dir),
            shown: Shown::default(),
            scanned: false,
            scan_at: Instant::now(),
            retry_at: None,
            complaint: Complaint::default(),
        }
    }

    /// Tells `presence` what the machine's entry is.
    pub(crate) fn minding(self, presence: PresenceHandle) -> Self {
        Self { presence: Some(presence), ..self }
    }

    /// Looks at the registry with every tick, and follows no changes.
    pub(crate) fn polling(self) -> Self {
        Self { follow: self.follow.every(TICK), ..self }
    }

    /// What is here, for the publisher; `None` until that is known.
    pub(crate) fn standings(&self) -> watch::Receiver<Option<Arc<Standings>>> {
        self.shown.standings.subscribe()
    }

    /// What keeps units from being as they should, for the publisher.
    pub(crate) fn troubles(&self) -> watch::Receiver<Arc<Troubles>> {
        self.shown.troubles.subscribe()
    }

    /// What keeps units off this machine, for the publisher; `None` until that is known.
    pub(crate) fn obstacles(&self) -> watch::Receiver<Option<Arc<Obstacles>>> {
        self.shown.obstacles.subscribe()
    }

    /// Tells when somebody has let systemd read its unit files again.
    pub(crate) fn reloaded(&self) -> Arc<Notify> {
        Arc::clone(&self.names.reloaded)
    }

    /// Tells that the registry is followed from a new beginning: what it held may be lost.
    pub(crate) fn refollowed(&self) -> Arc<Notify> {
        Arc::clone(&self.follow.refollowed)
    }

    /// Reconciles until `stop`.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                is_new = self.follow.news() => {
                    if is_new {
                        self.mind_presence();
                    }
                }
                ended = self.jobs.next() => {
                    self.ended(ended);
                    if self.jobs.any_halts() {
                        time::sleep(GATHER).await;
                    }
                }
                () = self.reconnected.notified() => self.start_over(),
                () = self.names.reloaded.notified() => self.scan_at = Instant::now(),
                () = time::sleep_until(next) => {}
            }
            while let Some(ended) = self.jobs.try_next() {
                self.ended(ended);
            }
            next = self.next_pass().await;
        }
    }

    /// A lease that lives says nothing of an entry that somebody deleted, or that was replaced by an
    /// older one when the store was restored.
    fn mind_presence(&self) {
        if let Some(presence) = &self.presence
            && !(Exhibit::BackupsTrusted.is_shown() && self.follow.orders().entry.is_some())
        {
            presence.entry_is(self.follow.orders().entry.as_ref());
        }
    }

    /// Makes a pass if that is allowed now, and returns when the next is due.
    async fn next_pass(&mut self) -> Instant {
        let result = if self.follow.is_current() { self.pass().await } else { Ok(()) };
        // Nobody vouches for how long a unit stays stopped: it is stopped again next time.
        for here in self.current.units.values_mut() {
            here.stopped = false;
        }
        match result {
            Ok(()) => {
                self.complaint.is_over();
                let tick = Instant::now() + TICK;
                // Without a pass what is due stays so.
                let retry_at = self.retry_at.filter(|_| self.follow.is_current());
                retry_at.map_or(tick, |retry_at| retry_at.min(tick))
            }
            Err(error) => {
                if self.complaint.is_news(&error) {
                    warn!(%error, "pass failed, will retry");
                }
                Instant::now() + PAUSE
            }
        }
    }

    /// Takes no input: compares what should be here with what is here, and acts.
    async fn pass(&mut self) -> Result<(), PassError> {
        let scanned = self.scan().await?;
        self.decide();
        if scanned {
            let (registry, wanted) = (&self.registry, &self.desired.units);
            self.names.forget_destroyed(registry, wanted, &mut self.current).await?;
        }
        let clear_at = self.find_unclear().await?;
        let (registry, wanted) = (&self.registry, &self.desired.units);
        self.contents.fetch(registry, wanted, &mut self.current).await?;
        let plan = plan(wanted, &self.current, Instant::now());
        self.carry_out(plan).await;
        self.retry_at = self.retry_at.into_iter().chain(clear_at).min();
        self.acknowledge().await?;
        self.release().await?;
        Ok(())
    }

    async fn carry_out(&mut self, plan: plan::Plan) {
        self.retry_at = plan.retry_at;
        if !plan.steps.is_empty() {
            for done in self.intend_and_execute(plan.steps).await {
                self.record(done);
            }
            // What failed just now may be due before the next tick.
            self.retry_at = plan::plan(&self.desired.units, &self.current, Instant::now()).retry_at;
        }
        self.tidy();
        self.show();
    }

    /// What can't be written down beforehand isn't done.
    async fn intend_and_execute(&mut self, steps: Vec<Step>) -> Vec<Done> {
        let Self { memory, manager, desired, current, .. } = self;
        match memory.claims.intend(&**manager, &steps, &desired.units, current).await {
            Ok(()) => execute(&*self.manager, steps, &self.current.texts).await,
            Err(error) => none_done(steps, &error),
        }
    }

    fn decide(&mut self) {
        let Some(orders) = self.follow.changed_orders() else { return };
        self.contents.look_again();
        let desired = desired(orders, &self.machine, |unit| self.current.is_kept_off(unit));
        for (unit, reason) in &desired.refused {
            if self.desired.refused.get(unit) != Some(reason) {
                info!(%unit, %reason, "unit can't be here");
            }
        }
        for (unit, reason) in &desired.unclear {
            if self.desired.unclear.get(unit) != Some(reason) {
                error!(%unit, %reason, "order can't be understood, unit stays as it is");
            }
        }
        self.desired = desired;
    }

    /// Forgets contents and failures that nothing waits for.
    fn tidy(&mut self) {
        let (wanted, units) = (&self.desired.units, &self.current.units);
        self.current.texts.retain(|unit, text| {
            let as_wanted = wanted.get(unit).is_some_and(|wanted| wanted.hash == text.hash);
            let here = units.get(unit);
            as_wanted && here.is_none_or(|h| h.unfinished || !h.is_loaded(Some(text.hash)))
        });
        let open = plan::open(wanted, &self.current);
        self.current.retries.retain(|unit, retry| {
            let busy = units.get(unit).is_some_and(|here| here.busy.is_some());
            retry.wanted.as_ref() == wanted.get(unit) && (busy || open.contains(unit))
        });
    }

    /// Tells the publisher, and the fleetd after this one, what is here.
    fn show(&mut self) {
        self.memory.keep(&self.current);
        self.names.keep();
        self.shown.standings(&self.current);
        if self.scanned {
            self.shown.obstacles(&self.current);
        } // else what an earlier fleetd has found may still be so
        let (desired, orders) = (&self.desired, self.follow.orders());
        self.shown.troubles(desired, &self.current, orders, self.contents.wrong());
    }

    /// Tries everything again: the service manager is back.
    fn start_over(&mut self) {
        self.scan_at = Instant::now();
        self.current.retries.clear();
    }
}

/// Why nothing was done of `steps`, for the first of each unit.
fn none_done(steps: Vec<Step>, error: &ManagerError) -> Vec<Done> {
    let mut units = BTreeSet::new();
    let first = steps.into_iter().filter(|step| units.insert(step.unit.clone()));
    let text = error.source_text();
    first.map(|step| (step, Err(ManagerError::Untold(text.clone().into())))).collect()
}
