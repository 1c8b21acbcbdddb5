//! Tells the registry what systemd says of the units here (`cluster.md` 5, "Publishing").
//!
//! Follows what the reconciler has here, what the service manager tells of, and the machine's
//! presence; a slow poll is the safety net. One task, so for one unit nothing overlaps: while
//! it publishes, changes gather where they come from. It ends when it is told to; its state
//! outlives [`Publisher::run`], so that it can be run again.
//!
//! Beside states it tells what keeps units from being as they should: that is published for as long
//! as it goes wrong, so that `pending` of the API can say it.
//!
//! What keeps units off this machine is told too, wanted here or not: the engine goes by it.
//!
//! Only differences are written, in batches. What is there is looked at again after the registry was
//! out of sight, and now and then, so that what somebody deleted comes back. What this machine may
//! have published is remembered in a file: a fleetd that adopts the lease of one that was killed
//! withdraws what that one could no longer withdraw.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use fleet_core::{JobState, UnitHash, UnitName, UnitState};
use fleet_registry::{
    HostObstacle, Presence, PublishedState, Registry, RegistryError, Start, Trouble,
};
use fleet_store::LeaseId;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    Changed, UnitManager, complaint::Complaint, presence::PresenceHandle, runtime::RuntimeFile,
};

mod failures;
mod pace;

use failures::Failures;
use pace::Pace;

/// How often systemd is asked about all units, whatever it told (`units.md` 8.2).
const POLL: Duration = Duration::from_secs(30);
/// How often the registry is asked what is there of what was published. It costs a read of as many
/// keys, and only a hand in the registry makes it worth while.
const RECALL: Duration = Duration::from_secs(300);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How a unit stands with the agent that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The content it was loaded with.
    pub(crate) hash: UnitHash,
    /// What the agent has done.
    pub(crate) claim: JobState,
    /// How its last start went, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
}

/// The units here that have a state to publish.
pub(crate) type Standings = BTreeMap<UnitName, Standing>;

/// What keeps units from being as they should here.
pub(crate) type Troubles = BTreeMap<UnitName, Trouble>;

/// What keeps units off this machine, whether anything is to be here or not.
pub(crate) type Obstacles = BTreeMap<UnitName, HostObstacle>;

/// Where what is published comes from, besides the service manager.
pub(crate) struct Sources {
    pub(crate) standings: watch::Receiver<Option<Arc<Standings>>>,
    pub(crate) troubles: watch::Receiver<Arc<Troubles>>,
    /// `None` until they are known.
    pub(crate) obstacles: watch::Receiver<Option<Arc<Obstacles>>>,
    /// To be told when systemd has read its unit files again.
    pub(crate) reloaded: Arc<Notify>,
    /// Tells that what was published may be lost.
    pub(crate) refollowed: Arc<Notify>,
    pub(crate) presence: PresenceHandle,
}

/// What the registry holds of this machine's states, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Board {
    /// What was published, by unit; `None` where that isn't known for sure.
    pub(crate) published: BTreeMap<UnitName, Option<PublishedState>>,
    /// What is still to be published, or withdrawn (`None`).
    pub(crate) pending: BTreeMap<UnitName, Option<PublishedState>>,
    /// What was told of troubles, as in `published`.
    pub(crate) troubles: BTreeMap<UnitName, Option<Trouble>>,
    /// The same of obstacles.
    pub(crate) obstacles: BTreeMap<UnitName, Option<HostObstacle>>,
}

/// See the module.
pub(crate) struct Publisher {
    registry: Registry,
    manager: Arc<dyn UnitManager>,
    standings: watch::Receiver<Option<Arc<Standings>>>,
    troubles: watch::Receiver<Arc<Troubles>>,
    obstacles: watch::Receiver<Option<Arc<Obstacles>>>,
    presence: PresenceHandle,
    refollowed: Arc<Notify>,
    reconnected: Arc<Notify>,
    reloaded: Arc<Notify>,
    /// What the standings were when they were looked at last.
    here: Option<Arc<Standings>>,
    /// The same of the troubles.
    told: Arc<Troubles>,
    states: BTreeMap<UnitName, UnitState>,
    /// How units went wrong, where they did.
    failures: Failures,
    /// Units whose state is to be asked for.
    stale: BTreeSet<UnitName>,
    pace: Pace,
    /// When the first state that is held back may be due.
    held_until: Option<Instant>,
    board: watch::Sender<Board>,
    lease: Option<LeaseId>,
    /// Names of all units that may be published.
    names: RuntimeFile,
    poll_at: Instant,
    recall_at: Instant,
    retry_at: Option<Instant>,
    ask_complaint: Complaint,
    publish_complaint: Complaint,
}

impl Publisher {
    /// One that tells `reconnected` of new connections to the service manager.
    pub(crate) fn new(
        registry: Registry,
        manager: Arc<dyn UnitManager>,
        Sources { standings, troubles, obstacles, reloaded, refollowed, presence }: Sources,
        runtime_dir: &Path,
        reconnected: Arc<Notify>,
    ) -> Self {
        let names = RuntimeFile::new(runtime_dir, "published");
        let earlier: BTreeSet<UnitName> = names.read().unwrap_or_default();
        let board = Board {
            troubles: earlier.iter().map(|name| (name.clone(), None)).collect(),
            obstacles: earlier.iter().map(|name| (name.clone(), None)).collect(),
            published: earlier.into_iter().map(|name| (name, None)).collect(),
            ..Board::default()
        };
        Self {
            registry,
            manager,
            standings,
            troubles,
            obstacles,
            presence,
            refollowed,
            reconnected,
            reloaded,
            here: None,
            told: Arc::default(),
            states: BTreeMap::new(),
            failures: Failures::default(),
            stale: BTreeSet::new(),
            pace: Pace::default(),
            held_until: None,
            board: watch::Sender::new(board),
            lease: None,
            names,
            poll_at: Instant::now() + POLL,
            recall_at: Instant::now(),
            retry_at: None,
            ask_complaint: Complaint::default(),
            publish_complaint: Complaint::default(),
        }
    }

    /// What is published, for whoever wants to look.
    pub(crate) fn board(&self) -> watch::Receiver<Board> {
        self.board.subscribe()
    }

    /// Publishes until `stop`.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        loop {
            let due = [self.retry_at, self.held_until].into_iter().flatten().min();
            let due = due.map_or(self.poll_at, |due| due.min(self.poll_at));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.standings.changed() => {}
                Ok(()) = self.troubles.changed() => {}
                Ok(()) = self.obstacles.changed() => {}
                Ok(()) = self.presence.current.changed() => {}
                changed = self.manager.changed() => self.take_changed(changed),
                () = self.refollowed.notified() => self.recall_at = Instant::now(),
                () = time::sleep_until(due) => {}
            }
            (self.retry_at, self.held_until) = (None, None);
            self.take_standings();
            if Instant::now() >= self.poll_at {
                self.all_stale();
            }
            self.publish().await;
        }
    }

    async fn publish(&mut self) {
        let told = self.ask().await;
        let shown = match &told {
            Err(error) if error.is_unavailable() => Ok(()),
            _ => self.publish_states().await,
        };
        match told.and(shown) {
            Ok(()) => {
                if self.publish_complaint.is_over() {
                    info!("unit states are published again");
                }
            }
            Err(error) => self.not_published(&error),
        }
    }

    fn take_changed(&mut self, changed: Changed) {
        match changed {
            Changed::Units(units) => self.stale.extend(units),
            Changed::Reloaded => {
                self.all_stale();
                self.reloaded.notify_one();
            }
            Changed::All => {
                self.all_stale();
                self.reconnected.notify_one();
            }
        }
    }

    fn all_stale(&mut self) {
        if let Some(here) = &self.here {
            self.stale.extend(here.keys().cloned());
        }
        self.poll_at = Instant::now() + POLL;
    }

    /// Takes in what the reconciler has here. Units that are new or were dealt with are asked for.
    fn take_standings(&mut self) {
        let Some(now) = self.standings.borrow_and_update().clone() else { return };
        let before = self.here.replace(Arc::clone(&now));
        let dealt_with = now
            .iter()
            .filter(|(name, standing)| before.as_ref().and_then(|b| b.get(*name)) != Some(standing))
            .map(|(name, _)| name.clone());
        self.stale.extend(dealt_with);
        self.stale.retain(|name| now.contains_key(name));
        self.states.retain(|name, _| now.contains_key(name));
        self.failures.retain(&now);
        self.pace.retain(&now);
    }

    /// Asks systemd about the units that may have changed. Troubles are told before that, and while
    /// it lasts: it may be systemd that they come from, and it may not answer.
    async fn ask(&mut self) -> Result<(), RegistryError> {
        let mut told = self.publish_obstacles().await.and(self.publish_troubles().await);
        if self.stale.is_empty() {
            return told;
        }
        let (manager, stale) = (Arc::clone(&self.manager), self.stale.clone());
        let mut answer = manager.states(&stale);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Ok(()) = self.troubles.changed() => told = self.publish_troubles().await,
                Ok(()) = self.obstacles.changed() => told = self.publish_obstacles().await,
            }
        };
        match answer {
            Ok(states) => {
                for (name, state) in &states {
                    self.pace.saw(name, state);
                }
                self.states.extend(states);
                self.stale.clear();
                self.ask_complaint.is_over();
            }
            Err(error) => {
                if self.ask_complaint.is_news(&error) {
                    error!("Failed fetching current unit states: {error}");
                }
                self.retry_at = Some(Instant::now() + PAUSE);
            }
        }
        told
    }

    async fn publish_troubles(&mut self) -> Result<(), RegistryError> {
        self.told = Arc::clone(&self.troubles.borrow_and_update());
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let is_told = |name: &UnitName| self.told.contains_key(name);
        let pending = differences(&self.told, is_told, &self.board.borrow().troubles);
        if pending.is_empty() {
            return Ok(());
        }
        self.announce(&pending, |board| &mut board.troubles);
        self.registry.publish_troubles(&presence, &pending).await?;
        self.published(pending, |board| &mut board.troubles);
        Ok(())
    }

    /// Before anything else: the engine is to know where a unit can't be.
    async fn publish_obstacles(&mut self) -> Result<(), RegistryError> {
        let now = self.obstacles.borrow_and_update().clone();
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let Some(now) = now else { return Ok(()) };
        let is_there = |name: &UnitName| now.contains_key(name);
        let pending = differences(&now, is_there, &self.board.borrow().obstacles);
        if pending.is_empty() {
            return Ok(());
        }
        self.announce(&pending, |board| &mut board.obstacles);
        self.registry.publish_obstacles(&presence, &pending).await?;
        self.published(pending, |board| &mut board.obstacles);
        Ok(())
    }

    async fn publish_states(&mut self) -> Result<(), RegistryError> {
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let Some(here) = self.here.clone() else { return Ok(()) };
        let now = states_of(&here, &self.states, &self.failures);
        let is_here = |name: &UnitName| here.contains_key(name);
        let mut pending = differences(&now, is_here, &self.board.borrow().published);
        self.held_until = self.pace.hold_back(&mut pending, &self.board.borrow().published);
        if pending.is_empty() {
            return Ok(());
        }
        self.failures.learn(&*self.manager, &mut pending).await;
        self.announce(&pending, |board| &mut board.published);
        self.board.send_modify(|board| board.pending.clone_from(&pending));
        self.registry.publish(&presence, &pending).await?;
        self.board.send_modify(|board| board.pending.clear());
        self.published(pending, |board| &mut board.published);
        Ok(())
    }

    /// The presence to publish under, once it is known what is there under it; `None` while there
    /// is nothing to publish.
    async fn recalled(&mut self) -> Result<Option<Presence>, RegistryError> {
        let presence = self.presence.current.borrow_and_update().clone();
        let Some(presence) = presence.filter(|_| self.here.is_some()) else { return Ok(None) };
        if self.lease != Some(presence.lease) || Instant::now() >= self.recall_at {
            self.recall(&presence).await?;
        }
        Ok(Some(presence))
    }

    /// Finds out what is there under the lease. What hung on another is gone, or will be; what the
    /// fleetd before this one has published under this one needn't be again.
    async fn recall(&mut self, presence: &Presence) -> Result<(), RegistryError> {
        let Board { published, troubles, obstacles, .. } = self.board.borrow().clone();
        let (machine, lease) = (&presence.machine, Some(presence.lease));
        let states = self.registry.published(machine, lease, published.keys()).await?;
        let troubles = self.registry.published_troubles(machine, lease, troubles.keys()).await?;
        self.failures.recall(&states);
        let names = obstacles.keys();
        let obstacles = self.registry.published_obstacles(machine, lease, names).await?;
        self.board.send_modify(|board| {
            found(&mut board.published, states);
            found(&mut board.troubles, troubles);
            found(&mut board.obstacles, obstacles);
        });
        self.lease = lease;
        self.recall_at = Instant::now() + RECALL;
        Ok(())
    }

    /// Notes what is about to be published: until that has worked, anything may be there.
    fn announce<T>(&mut self, news: &News<T>, known: fn(&mut Board) -> &mut News<T>) {
        let mut all_known = true;
        self.board.send_modify(|board| {
            let known = known(board);
            all_known = news.keys().all(|name| known.contains_key(name));
            known.extend(news.keys().map(|name| (name.clone(), None)));
        });
        if !all_known || self.names.is_failing() {
            self.remember_names();
        }
    }

    fn published<T>(&mut self, news: News<T>, known: fn(&mut Board) -> &mut News<T>) {
        let withdrawn = news.values().any(Option::is_none);
        self.board.send_modify(|board| note(known(board), news));
        if withdrawn {
            self.remember_names();
        }
    }

    fn not_published(&mut self, error: &RegistryError) {
        if self.publish_complaint.is_news(error) {
            warn!(%error, "unit states not published, will retry");
        }
        if let RegistryError::PresenceLost(_) = error {
            self.presence.check();
        }
        self.retry_at = Some(Instant::now() + PAUSE);
    }

    fn remember_names(&mut self) {
        let names: BTreeSet<UnitName> = {
            let board = self.board.borrow();
            let told = board.troubles.keys().chain(board.obstacles.keys());
            board.published.keys().chain(told).cloned().collect()
        };
        self.names.write(&names);
    }
}

/// What is to be published of units, or withdrawn (`None`); and what was, or isn't known (`None`).
type News<T> = BTreeMap<UnitName, Option<T>>;

/// Takes what is there into what is known to be there.
fn found<T>(known: &mut News<T>, mut found: BTreeMap<UnitName, T>) {
    known.iter_mut().for_each(|(name, value)| *value = found.remove(name));
}

/// Takes what was written into what is known to be there.
fn note<T>(known: &mut News<T>, written: News<T>) {
    for (name, value) in written {
        match value {
            Some(value) => known.insert(name, Some(value)),
            None => known.remove(&name),
        };
    }
}

/// What there is to publish of the units that are here and that systemd has said something of.
fn states_of(
    here: &Standings,
    states: &BTreeMap<UnitName, UnitState>,
    failures: &Failures,
) -> BTreeMap<UnitName, PublishedState> {
    let state = |(name, standing): (&UnitName, &Standing)| {
        let Standing { hash, claim, start } = standing.clone();
        let systemd = states.get(name)?.clone();
        let failure = failures.of(name, &systemd);
        Some((name.clone(), PublishedState { systemd, hash, claim, start, failure }))
    };
    here.iter().filter_map(state).collect()
}

/// Returns what must be written so that the registry says what is so: what is `now`, and the units
/// to withdraw: those that aren't here. `published` is as in [`Board`].
fn differences<T: Clone + PartialEq>(
    now: &BTreeMap<UnitName, T>,
    is_here: impl Fn(&UnitName) -> bool,
    published: &BTreeMap<UnitName, Option<T>>,
) -> News<T> {
    let changed = now
        .iter()
        .filter(|(name, state)| published.get(*name).and_then(Option::as_ref) != Some(state))
        .map(|(name, state)| (name.clone(), Some(state.clone())));
    let gone = published.keys().filter(|name| !is_here(name));
    changed.chain(gone.map(|name| (name.clone(), None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    fn standing(claim: JobState) -> Standing {
        Standing { hash: UnitHash::of(b"x"), claim, start: None }
    }

    fn running() -> UnitState {
        UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() }
    }

    fn state(claim: JobState) -> PublishedState {
        PublishedState::new(running(), UnitHash::of(b"x"), claim)
    }

    fn shown(
        here: &Standings,
        states: &BTreeMap<UnitName, UnitState>,
    ) -> BTreeMap<UnitName, PublishedState> {
        states_of(here, states, &Failures::default())
    }

    type Published = Option<Option<PublishedState>>;

    #[test]
    fn only_differences_are_published() {
        use JobState::{Launched, Loaded};
        let (old, new) = (state(Loaded), state(Launched));
        let rows: [(&str, bool, Published, Published); 7] = [
            ("here, not published", true, None, Some(Some(new.clone()))),
            ("here, unknown", true, Some(None), Some(Some(new.clone()))),
            ("here, published", true, Some(Some(new.clone())), None),
            ("here, published otherwise", true, Some(Some(old.clone())), Some(Some(new))),
            ("gone, published", false, Some(Some(old)), Some(None)),
            ("gone, unknown", false, Some(None), Some(None)),
            ("gone, not published", false, None, None),
        ];
        let unit = name("a.service");
        for (row, here, published, expected) in rows {
            let here = here.then(|| (unit.clone(), standing(Launched))).into_iter().collect();
            let states = BTreeMap::from([(unit.clone(), running())]);
            let published = published.map(|p| (unit.clone(), p)).into_iter().collect();
            let found =
                differences(&shown(&here, &states), |name| here.contains_key(name), &published);
            let expected = expected.map(|e| (unit.clone(), e)).into_iter().collect();
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn a_unit_systemd_said_nothing_of_yet_is_neither_published_nor_withdrawn() {
        let here = BTreeMap::from([(name("a.service"), standing(JobState::Loaded))]);
        let published = BTreeMap::from([(name("a.service"), None)]);
        let now = shown(&here, &BTreeMap::new());
        let found = differences(&now, |name| here.contains_key(name), &published);
        assert_eq!(found, BTreeMap::new());
    }
}
