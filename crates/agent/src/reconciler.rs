//! Makes what is here what should be here.
//!
//! Owns the mirror of this machine's part of the registry, the picture of what is here, and the
//! jobs on their way. Woken by the mirror, by jobs that end, by a new connection to systemd, and
//! by a tick; it ends when it is told to, between two passes. Its state outlives
//! [`Reconciler::run`], so that it can be run again.
//!
//! While the mirror isn't current nothing is done to systemd: an outage never stops a unit
//! (`cluster.md` 6).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use fleet_core::{JobState, Machine, UnitName};
use fleet_registry::{Mirror, Registry, RegistryError, Scope, Trouble, Unclear};
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    ManagerError, UnitManager,
    complaint::Complaint,
    desired::{Desired, Orders, desired},
    execute::{Done, execute},
    plan::{self, Current, Step, plan},
    presence::PresenceHandle,
    publish::{Obstacles, Standing, Standings, Troubles},
    runtime::RuntimeFile,
};

mod claims;
mod contents;
mod jobs;
mod names;
mod purge;
mod record;
mod release;
mod restarts;
mod returning;
mod scan;

use claims::Claims;
use jobs::Jobs;

/// The longest time between two passes (`cluster.md` 5).
const TICK: Duration = Duration::from_secs(5);
/// How often the files on disk are looked at, in case somebody else changed them (`units.md` 7.5).
const SCAN: Duration = Duration::from_secs(30);
/// The pause after a pass that failed as a whole.
const PAUSE: Duration = Duration::from_secs(1);
/// The first and the longest pause before the registry is tried again.
const FOLLOW: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// The most that is told of what went wrong, in characters.
const TROUBLE: usize = 500;
/// How long units that stop together are gathered, to be unloaded together.
const GATHER: Duration = Duration::from_millis(5);

/// See the module.
pub(crate) struct Reconciler {
    registry: Registry,
    manager: Arc<dyn UnitManager>,
    machine: Machine,
    mirror: Mirror<Orders>,
    orders_changed: bool,
    desired: Desired,
    current: Current,
    jobs: Jobs,
    /// What is claimed and intended, for the fleetd after this one.
    claims: Claims,
    /// Which restarts systemd was told of, for the same.
    told: restarts::Memory,
    scanned: bool,
    scan_at: Instant,
    retry_at: Option<Instant>,
    /// Contents that were looked for in vain since something changed last.
    missing: BTreeSet<UnitName>,
    /// What is wrong with contents that can't be what is wanted.
    wrong: BTreeMap<UnitName, String>,
    standings: watch::Sender<Option<Arc<Standings>>>,
    troubles: watch::Sender<Arc<Troubles>>,
    reconnected: Arc<Notify>,
    refollowed: Arc<Notify>,
    presence: Option<PresenceHandle>,
    complaint: Complaint,
    /// What the host has of its own, for the engine.
    names: names::Names,
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
            mirror: Mirror::new(registry.clone(), Scope::Machine(machine.id.clone())),
            registry,
            manager,
            machine,
            orders_changed: true,
            desired: Desired::default(),
            current: Current::default(),
            jobs: Jobs::default(),
            claims: Claims::new(RuntimeFile::new(runtime_dir, "claims")),
            told: restarts::Memory::new(runtime_dir),
            scanned: false,
            scan_at: Instant::now(),
            retry_at: None,
            missing: BTreeSet::new(),
            wrong: BTreeMap::new(),
            standings: watch::Sender::new(None),
            troubles: watch::Sender::default(),
            reconnected,
            refollowed: Arc::default(),
            presence: None,
            complaint: Complaint::default(),
            names: names::Names::new(runtime_dir),
        }
    }

    /// Tells `presence` when the machine's entry is gone.
    pub(crate) fn minding(self, presence: PresenceHandle) -> Self {
        Self { presence: Some(presence), ..self }
    }

    /// Looks at the registry with every tick, and follows no changes.
    pub(crate) fn polling(self) -> Self {
        Self { mirror: self.mirror.every(Some(TICK)), ..self }
    }

    /// What is here, for the publisher; `None` until that is known.
    pub(crate) fn standings(&self) -> watch::Receiver<Option<Arc<Standings>>> {
        self.standings.subscribe()
    }

    /// What keeps units from being as they should, for the publisher.
    pub(crate) fn troubles(&self) -> watch::Receiver<Arc<Troubles>> {
        self.troubles.subscribe()
    }

    /// What keeps units off this machine, for the publisher; `None` until that is known.
    pub(crate) fn obstacles(&self) -> watch::Receiver<Option<Arc<Obstacles>>> {
        self.names.obstacles.subscribe()
    }

    /// Tells when somebody has let systemd read its unit files again.
    pub(crate) fn reloaded(&self) -> Arc<Notify> {
        Arc::clone(&self.names.reloaded)
    }

    /// Tells that the registry is followed from a new beginning: what it held may be lost.
    pub(crate) fn refollowed(&self) -> Arc<Notify> {
        Arc::clone(&self.refollowed)
    }

    /// Reconciles until `stop`.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        let mut next = Instant::now();
        let mut follow = Follow::default();
        loop {
            let was_current = self.mirror.is_current();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                followed = follow.changed(&mut self.mirror) => {
                    if follow.note(followed) {
                        self.orders_changed = true;
                        self.mind_presence();
                        if !was_current {
                            self.refollowed.notify_one();
                        }
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

    /// A lease that lives says nothing of an entry that somebody deleted.
    fn mind_presence(&self) {
        if let Some(presence) = &self.presence
            && !self.mirror.model().present
        {
            presence.entry_is_gone();
        }
    }

    /// Makes a pass if that is allowed now, and returns when the next is due.
    async fn next_pass(&mut self) -> Instant {
        let result = if self.mirror.is_current() { self.pass().await } else { Ok(()) };
        // Nobody vouches for how long a unit stays stopped: it is stopped again next time.
        for here in self.current.units.values_mut() {
            here.stopped = false;
        }
        match result {
            Ok(()) => {
                self.complaint.is_over();
                let tick = Instant::now() + TICK;
                // Without a pass what is due stays so.
                let retry_at = self.retry_at.filter(|_| self.mirror.is_current());
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
            self.forget_destroyed().await?;
        }
        let clear_at = self.find_unclear().await?;
        self.fetch().await?;
        let plan = plan(&self.desired.units, &self.current, Instant::now());
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
        match self.intend(&steps).await {
            Ok(()) => execute(&*self.manager, steps, &self.current.texts).await,
            Err(error) => none_done(steps, &error),
        }
    }

    fn decide(&mut self) {
        if !std::mem::take(&mut self.orders_changed) {
            return;
        }
        self.missing.clear();
        let desired = desired(self.mirror.model(), &self.machine);
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
        let foreign =
            |unit: &UnitName| self.current.taken.get(unit).is_some_and(|taken| !taken.runs_ours);
        let claimed = |(unit, here): (&UnitName, &plan::Here)| {
            if foreign(unit) {
                return None;
            }
            let start = here.start.clone().filter(|_| here.claim == JobState::Launched);
            let standing = Standing { hash: here.hash?, claim: here.claim, start };
            (here.claim != JobState::Inactive).then(|| (unit.clone(), standing))
        };
        let now: Standings = self.current.units.iter().filter_map(claimed).collect();
        // Which restarts were told of comes first: that they were intended is forgotten then.
        self.told.keep(&self.current.restarts);
        self.remember();
        if self.standings.borrow().as_deref() != Some(&now) {
            self.standings.send_replace(Some(Arc::new(now)));
        }
        self.show_taken();
        let now = troubles(&self.desired, &self.current, self.mirror.model(), &self.wrong);
        self.troubles.send_if_modified(|troubles| {
            let changed = **troubles != now;
            if changed {
                *troubles = Arc::new(now);
            }
            changed
        });
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

/// What went wrong for units that should be here, or may have to, or are to be elsewhere once they
/// are gone.
fn troubles(
    desired: &Desired,
    current: &Current,
    orders: &Orders,
    wrong: &BTreeMap<UnitName, String>,
) -> Troubles {
    let launched = |unit| desired.units.get(unit).is_some_and(|w| w.state == JobState::Launched);
    let not_started = current.units.iter().filter(|(unit, _)| launched(*unit));
    let not_started =
        not_started.filter_map(|(unit, here)| Some((unit, here.not_started?.to_owned())));
    let failed = current
        .retries
        .iter()
        .filter(|(unit, retry)| retry.wanted.is_some() || orders.lets_go(unit));
    let failed = failed.map(|(unit, retry)| {
        let refused = retry.wanted.map(|wanted| wanted.hash).filter(|_| retry.refused);
        (unit, Trouble { error: short(&retry.error), refused })
    });
    let plain = |error: String| Trouble { error, ..Trouble::default() };
    let not_started = not_started.map(|(unit, error)| (unit, plain(error)));
    let taken = current.taken.iter().filter(|(unit, _)| desired.units.contains_key(*unit));
    let taken = taken.map(|(unit, taken)| (unit, plain(short(&taken.why))));
    let unclear = desired.unclear.iter().map(|(unit, Unclear(why))| (unit, plain(short(why))));
    let wrong = wrong.iter().map(|(unit, why)| (unit, plain(short(why))));
    let all = not_started.chain(failed).chain(wrong).chain(taken).chain(unclear); // the last of a unit counts
    all.map(|(unit, trouble)| (unit.clone(), trouble)).collect()
}

/// The beginning of a text that may be of any length.
fn short(text: &str) -> String {
    match text.char_indices().nth(TROUBLE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Follows the mirror with growing pauses while the registry is out of reach.
#[derive(Debug, Default)]
struct Follow {
    resume: Option<(Instant, Duration)>,
    complaint: Complaint,
}

impl Follow {
    /// Cancel-safe, as the mirror is.
    async fn changed(&self, mirror: &mut Mirror<Orders>) -> Result<(), RegistryError> {
        if let Some((at, _)) = self.resume {
            time::sleep_until(at).await;
        }
        mirror.changed().await
    }

    /// Takes in how that went, and returns whether there is something new.
    fn note(&mut self, followed: Result<(), RegistryError>) -> bool {
        match followed {
            Ok(()) => {
                self.resume = None;
                if self.complaint.is_over() {
                    info!("registry is followed again");
                }
                true
            }
            Err(error) => {
                let pause = self.resume.map_or(FOLLOW.0, |(_, pause)| (pause * 2).min(FOLLOW.1));
                self.resume = Some((Instant::now() + pause, pause));
                if self.complaint.is_news(&error) {
                    warn!(%error, "registry can't be followed, units stay as they are");
                }
                false
            }
        }
    }
}
