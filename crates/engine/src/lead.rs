//! The engine lease: who has it, when it is ours to take, and how we keep it (`cluster.md` 3).
//!
//! ```text
//!             free, or held by an older engine,
//!             or by ourselves in an earlier life
//!  following ────────────────────────────────────▶ leading
//!      ▲                                              │
//!      └──── lost, deposed, or a newer engine came ───┘
//! ```

use std::time::Duration;

use fleet_core::MachineId;
use fleet_registry::{
    Event, Followed, LeaderRecord, Leadership, Mirror, Model, Registry, RegistryError, Scope,
    Versioned,
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tracing::{debug, info, warn};

use crate::{
    backoff::{backoff, pauses},
    status::Status,
};

/// The version of this engine. One of a higher version takes the lease from those below.
pub const VERSION: u64 = 1;

/// How often the lease is renewed within its time to live: one lost answer must not end it.
const RENEWALS: u32 = 3;

/// The longest the leader is without having asked the store for something: what it waits for comes
/// over the same connection, and only a call without an answer tells soon that nothing will.
const PROBE: Duration = Duration::from_secs(1);

/// Stores tell the time a lease has left in whole seconds, rounded down.
const ROUNDING: Duration = Duration::from_secs(1);

/// What the lease's mirror knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeadView {
    leader: Option<Versioned<LeaderRecord>>,
    /// The cluster's engine version.
    version: u64,
}

impl Model for LeadView {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Leader(leader) => self.leader = leader,
            Event::EngineVersion(version) => self.version = version,
            _ => {}
        }
    }
}

/// What an engine that doesn't lead should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// Leave the lease alone.
    Follow,
    /// Take the lease: it is free.
    Acquire,
    /// Take the lease from an older engine, and wait out what remains of it.
    Steal(Versioned<LeaderRecord>),
    /// Take over the lease of an earlier life of this engine. It is dead, so there is no wait:
    /// machine ids are exclusive, and there is one engine on a machine.
    Resume(Versioned<LeaderRecord>),
}

impl LeadView {
    fn stance(&self, me: &LeaderRecord) -> Stance {
        match &self.leader {
            _ if self.version > me.version => Stance::Follow,
            None => Stance::Acquire,
            Some(leader) if leader.value.version < me.version => Stance::Steal(leader.clone()),
            Some(leader) if leader.value == *me => Stance::Resume(leader.clone()),
            Some(_) => Stance::Follow,
        }
    }
}

/// A time in which this engine leads.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) lead: Leadership,
    /// When the lease was asked for: by our own clock it runs out no later than counted from here.
    pub(crate) since: Instant,
    /// How long not to act: what remained of a stolen lease.
    pub(crate) wait: Duration,
}

/// The longest that engines wait before they take a lease that has gone free.
const SPREAD: Duration = Duration::from_millis(100);

/// How much more likely an engine is to wait long than not at all, as a power of e: about as many
/// engines as there may be.
const STEEPNESS: f64 = 7.0;

/// For how long an engine waits whose lot, from 0 to 1, is this. Long waits are far more likely than
/// short ones, so that of many engines as of few there is one that is first by more than it takes to
/// tell the others: with equal chances a thousand of them would all ask.
pub(crate) fn wait(lot: f64) -> Duration {
    SPREAD.mul_f64((lot * STEEPNESS.exp_m1()).ln_1p() / STEEPNESS)
}

/// Takes the engine lease as `stance` says; `None` when it isn't ours to take.
pub(crate) async fn take(
    registry: &Registry,
    stance: &Stance,
    me: &LeaderRecord,
    ttl: Duration,
) -> Result<Option<Term>, RegistryError> {
    let since = Instant::now();
    let term = |lead, wait| Term { lead, since, wait };
    // A look costs etcd less than a lease that nobody needs, and many may ask at once.
    if *stance == Stance::Acquire && registry.has_leader().await? {
        return Ok(None);
    }
    if *stance != Stance::Follow {
        registry.raise_engine_version(me.version).await?;
    }
    Ok(match stance {
        Stance::Follow => None,
        Stance::Acquire => {
            registry.acquire_lead(me, ttl).await?.map(|lead| term(lead, Duration::ZERO))
        }
        Stance::Steal(seen) => {
            let stolen = registry.steal_lead(seen, me, ttl).await?;
            stolen.map(|(lead, remaining)| {
                info!("Stole engine leadership from Machine({})", seen.value.machine);
                term(lead, remaining + ROUNDING)
            })
        }
        Stance::Resume(seen) => {
            let resumed = registry.steal_lead(seen, me, ttl).await?;
            resumed.map(|(lead, _)| term(lead, Duration::ZERO))
        }
    })
}

/// Renews the lease until that fails for as long as the lease lives, and says why it did. In between
/// it probes the store. A lease that is renewed no more often than it has to be ends sooner when its
/// engine dies.
///
/// Time is counted from before each request, so the lease lives at least as long as we believe.
pub(crate) async fn keep(registry: &Registry, term: &Term) -> String {
    let ttl = term.lead.ttl;
    let (pause, probe) = (ttl / RENEWALS, PROBE.min(ttl / RENEWALS));
    let mut deadline = term.since + ttl;
    let mut renewal = term.since + pause;
    let mut next = term.since + probe;
    let mut backoff = backoff(probe);
    let mut reason = "no answer in time".to_owned();
    loop {
        time::sleep_until(next.min(renewal).min(deadline)).await;
        let asked = Instant::now();
        let renews = asked >= renewal;
        let call = async {
            if renews { registry.renew_lead(&term.lead).await } else { registry.probe().await }
        };
        match time::timeout_at(deadline, call).await {
            _ if asked >= deadline => return reason,
            Ok(Ok(())) => {
                if renews {
                    (deadline, renewal) = (asked + ttl, asked + pause);
                }
                next = asked + probe;
                backoff.reset();
            }
            Ok(Err(error @ RegistryError::LeadershipLost)) => return error.to_string(),
            Ok(Err(error)) => {
                debug!(%error, renews, "the store does not answer the leader, will retry");
                reason = error.to_string();
                next = Instant::now() + backoff.pause();
                renewal = next;
            }
            Err(_) => return reason,
        }
    }
}

/// Follows who leads, and tells.
pub(crate) struct Follower {
    me: LeaderRecord,
    mirror: Mirror<LeadView>,
    /// The last leader that was logged.
    announced: Option<MachineId>,
    is_outdated: bool,
}

/// Why a term ends, as seen in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deposed {
    /// The lease is gone or another engine's.
    LeaseGone,
    /// The cluster's engine version is higher than ours.
    Outdated,
}

impl Follower {
    /// One that pauses for `most` at most while the registry is out of reach, and looks at it
    /// every `period` if it mustn't watch it.
    pub(crate) fn new(
        registry: &Registry,
        me: LeaderRecord,
        most: Duration,
        period: Option<Duration>,
    ) -> Self {
        let mirror = Mirror::new(registry.clone(), Scope::Lead).every(period).pausing(pauses(most));
        Self { me, mirror, announced: None, is_outdated: false }
    }

    /// What to do, as things are known.
    pub(crate) fn stance(&self) -> Stance {
        if self.mirror.is_current() { self.mirror.model().stance(&self.me) } else { Stance::Follow }
    }

    /// Whether what is known is so now.
    pub(crate) fn is_current(&self) -> bool {
        self.mirror.is_current()
    }

    /// Waits until something may have changed. Cancel-safe.
    pub(crate) async fn news(&mut self, status: &watch::Sender<Status>) {
        if self.mirror.follow().await != Followed::Lost {
            self.tell(status);
        }
    }

    /// Waits until the registry shows that our term is over. Cancel-safe.
    pub(crate) async fn deposed(&mut self, status: &watch::Sender<Status>) -> Deposed {
        let mut was_ours = false;
        loop {
            let view = self.mirror.model();
            let is_ours = view.leader.as_ref().is_some_and(|leader| leader.value == self.me);
            if view.version > self.me.version {
                return Deposed::Outdated;
            }
            // Until our own writing shows, the mirror is behind us.
            if was_ours && !is_ours {
                return Deposed::LeaseGone;
            }
            was_ours |= is_ours;
            self.news(status).await;
        }
    }

    fn tell(&mut self, status: &watch::Sender<Status>) {
        let view = self.mirror.model();
        let leader = view.leader.as_ref().map(|leader| leader.value.machine.clone());
        if let Some(leader) = &leader
            && self.announced.as_ref() != Some(leader)
        {
            match &self.announced {
                None => info!("Engine leader is {leader}"),
                Some(announced) => info!("Engine leadership changed from {announced} to {leader}"),
            }
            self.announced = Some(leader.clone());
        }
        let is_outdated = view.version > self.me.version;
        if is_outdated && !self.is_outdated {
            let (ours, theirs) = (self.me.version, view.version);
            warn!(ours, theirs, "the cluster's engine version is higher than ours: never leading");
        }
        self.is_outdated = is_outdated;
        status.send_if_modified(|status| {
            let is_news = status.leader != leader;
            status.leader = leader;
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use fleet_store::Revision;

    use super::*;

    /// What it takes to be granted the lease and to tell the others.
    const TOLD: Duration = Duration::from_millis(15);

    #[test]
    fn of_many_engines_as_of_few_hardly_any_ask_beside_the_first() {
        for engines in [1, 2, 3, 30, 300, 1000, 5000] {
            let lots = (0..engines).map(|engine| (f64::from(engine) + 0.5) / f64::from(engines));
            let waits: Vec<Duration> = lots.map(wait).collect();
            assert!(waits.iter().all(|wait| *wait <= SPREAD));
            let asking = waits.iter().filter(|wait| **wait <= waits[0] + TOLD).count();
            let most = if engines > 1000 { 12 } else { 4 };
            assert!(asking <= most, "{asking} of {engines}");
        }
    }

    fn record(machine: &str, version: u64) -> LeaderRecord {
        LeaderRecord { machine: machine.parse().unwrap(), version }
    }

    fn held(machine: &str, version: u64) -> Versioned<LeaderRecord> {
        let revision = Revision(7);
        Versioned { value: record(machine, version), revision, created: revision }
    }

    #[test]
    fn lease_is_taken_only_where_it_may_be() {
        let me = record("me", 2);
        for (leader, version, expected) in [
            (None, 0, Stance::Acquire),
            (None, 2, Stance::Acquire),
            (None, 3, Stance::Follow),
            (Some(held("other", 2)), 2, Stance::Follow),
            (Some(held("other", 3)), 2, Stance::Follow),
            (Some(held("other", 1)), 1, Stance::Steal(held("other", 1))),
            (Some(held("other", 1)), 3, Stance::Follow),
            (Some(held("me", 2)), 2, Stance::Resume(held("me", 2))),
            (Some(held("me", 1)), 2, Stance::Steal(held("me", 1))),
            (Some(held("me", 2)), 3, Stance::Follow),
        ] {
            let view = LeadView { leader, version };
            assert_eq!(view.stance(&me), expected, "{view:?}");
        }
    }
}
