//! The engine of one fleetd: follows the leader, and leads when it is its turn.
//!
//! One task, given by whoever awaits [`Engine::run`]. While it doesn't lead it has one watch, on
//! the lease. While it leads it follows the lease and reconciles, side by side, and another task renews
//! the lease; the first of them that ends ends the term. It ends when it is told to stop, never by itself.

use std::time::Duration;

use fleet_core::MachineId;
use fleet_registry::{Contact, LEASE_IN_INTERVALS, LeaderRecord, Registry};
use fleet_runtime::clock;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    EngineHandle, SharedMetrics,
    backoff::{backoff, sleep_until},
    contact::Touch,
    lead::{self, Deposed, Follower, Stance, Term, VERSION},
    reconciler::{FailureDetector, Reconciler},
    roll::Roll,
    status::Status,
};

/// The shortest interval there is; a timer can't have none.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What an engine is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The machine it runs on.
    pub machine: MachineId,
    /// `engine_reconcile_interval`: the leader reconciles at least that often.
    pub interval: Duration,
    /// `agent_ttl`: for how long machines may be silent.
    pub agent_ttl: Duration,
    /// This machine's touch with the store; absent machines count as dead only while it has
    /// lasted for a while, and only the engine of a machine that is present takes the lease.
    /// `None` before the machine is present.
    pub contact: watch::Receiver<Option<Contact>>,
    /// Look at the registry every `interval` only (`fleetd.md` 2.3).
    pub disable_watches: bool,
    /// Where it counts.
    pub metrics: SharedMetrics,
}

/// An engine that isn't running yet.
pub struct Engine {
    registry: Registry,
    me: LeaderRecord,
    interval: Duration,
    /// The time between looks at the registry, where nothing is watched.
    period: Option<Duration>,
    agent_ttl: Duration,
    touch: Touch,
    follower: Follower,
    status: watch::Sender<Status>,
}

/// Why a term ended.
enum End {
    Stopped,
    Outdated,
    Lost(String),
    /// This engine can't tell who is dead for too long.
    OutOfTouch,
}

impl Engine {
    /// An engine of this cluster.
    #[must_use]
    pub fn new(registry: Registry, config: Config) -> Self {
        let interval = config.interval.max(SHORTEST_INTERVAL);
        let me = LeaderRecord { machine: config.machine, version: VERSION };
        let period = config.disable_watches.then_some(interval);
        let follower = Follower::new(&registry, me.clone(), interval, period);
        let status = Status { metrics: config.metrics, ..Status::default() };
        let touch = Touch::new(config.contact, LEASE_IN_INTERVALS * interval);
        let (agent_ttl, status) = (config.agent_ttl, watch::Sender::new(status));
        Self { registry, me, interval, period, agent_ttl, touch, follower, status }
    }

    /// A view of the engine, for before and while it runs.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        EngineHandle::new(self.status.subscribe())
    }

    /// Runs until `stop`; then gives up the lease if it leads, so that another takes over at once.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(term) = self.await_turn(&stop).await {
            self.lead(term, &stop).await;
        }
    }

    /// Follows the leader until this engine has taken the lease; `None` when told to stop.
    async fn await_turn(&mut self, stop: &CancellationToken) -> Option<Term> {
        let mut backoff = backoff(self.interval);
        let (mut free_since, mut not_before) = (None::<Instant>, Instant::now());
        loop {
            let stance = self.follower.stance();
            let is_free = stance != Stance::Follow;
            if is_free || self.follower.is_current() {
                free_since = is_free.then(|| free_since.unwrap_or_else(Instant::now));
            }
            let turn = free_since.filter(|_| is_free).and_then(|since| self.touch.turn(since));
            // An earlier life's lease is nobody else's to take.
            let is_contested = !matches!(stance, Stance::Resume(_));
            let jitter = if is_contested { lead::wait(fastrand::f64()) } else { Duration::ZERO };
            let at = turn.map(|turn| turn.max(not_before).max(Instant::now()) + jitter);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.follower.news(&self.status) => {
                    not_before = Instant::now();
                    continue;
                }
                () = self.touch.news() => continue,
                () = sleep_until(at) => {}
            }
            // Not to be cut short: a lease that was granted has to be known, to be released.
            let taken =
                lead::take(&self.registry, &stance, &self.me, LEASE_IN_INTERVALS * self.interval);
            let pause = match taken.await {
                Ok(Some(term)) => return Some(term),
                // Another was faster; the news of it is on its way.
                Ok(None) => self.interval,
                Err(error) => {
                    warn!("Engine leadership acquisition failed: {error}");
                    backoff.pause()
                }
            };
            not_before = Instant::now() + pause;
        }
    }

    /// Leads for as long as it goes.
    async fn lead(&mut self, term: Term, stop: &CancellationToken) {
        info!("Engine leadership acquired");
        let since = clock::since_1970().as_secs();
        self.status.borrow().metrics.change(|metrics| metrics.leader_start_time = since);
        let end = self.govern(&term, stop).await;
        if let End::Lost(reason) = &end {
            error!("Engine leadership lost, renewal failed: {reason}");
        } else {
            if let End::OutOfTouch = end {
                warn!("no steady contact with etcd, the engine lease is given up");
            }
            if let Err(error) = self.registry.release_lead(term.lead).await {
                warn!(%error, "engine lease not released, it will expire");
            }
        }
        if let End::Lost(_) | End::OutOfTouch = end {
            // Let a healthier engine have it.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = time::sleep(self.interval) => {}
            }
        }
    }

    async fn govern(&mut self, term: &Term, stop: &CancellationToken) -> End {
        let Self { registry, interval, period, agent_ttl, touch, follower, status, .. } = self;
        // On its own: whatever else holds up this task, the lease is renewed.
        let mut keeping = JoinSet::new();
        let (asked, kept) = (registry.clone(), term.clone());
        keeping.spawn(async move { lead::keep(&asked, &kept).await });
        let reconcile = async {
            if !term.wait.is_zero() {
                let wait = term.wait;
                info!("Waiting {wait:?} for previous lease to expire before continuing");
                time::sleep(wait).await;
            }
            let detector = FailureDetector { touch: touch.clone(), roll: Roll::new(*agent_ttl) };
            let (lead, interval) = (&term.lead, *interval);
            Reconciler::new(registry, lead, interval, *period, detector, status).run().await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => End::Stopped,
            reason = end_of(&mut keeping) => End::Lost(reason),
            () = touch.clone().lost() => End::OutOfTouch,
            deposed = follower.deposed(status) => match deposed {
                Deposed::Outdated => End::Outdated,
                Deposed::LeaseGone => End::Lost("the lease is gone".to_owned()),
            },
            () = reconcile => End::Lost("a decision was refused: the lease is gone".to_owned()),
        }
    }
}

/// Waits until the lease can't be kept any more, and says why.
async fn end_of(keeping: &mut JoinSet<String>) -> String {
    match keeping.join_next().await.map(|end| end.map_err(JoinError::try_into_panic)) {
        Some(Ok(reason)) => reason,
        Some(Err(Ok(panic))) => std::panic::resume_unwind(panic),
        // The runtime ends, and everything with it.
        Some(Err(Err(_))) | None => std::future::pending().await,
    }
}
