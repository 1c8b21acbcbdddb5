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
//! out of sight, and now and then, so that what somebody deleted comes back.

use std::{path::Path, sync::Arc, time::Duration};

use fleet_core::{Complaint, UnitName};
use fleet_registry::{Presence, Published, Registry, RegistryError};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{Changed, UnitManager};

mod board;
mod failures;
mod ledger;
mod pace;
mod sources;
mod units;

pub(crate) use board::Board;
pub(crate) use ledger::News;
pub(crate) use sources::{Obstacles, Sources, Standing, Standings, Troubles};

use board::{BoardKeeper, Part};
use units::UnitsHere;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Publisher {
    registry: Registry,
    manager: Arc<dyn UnitManager>,
    sources: Sources,
    units: UnitsHere,
    board: BoardKeeper,
    /// When the first state that is held back may be due.
    held_until: Option<Instant>,
    retry_at: Option<Instant>,
    ask_complaint: Complaint,
    publish_complaint: Complaint,
}

impl Publisher {
    /// One that publishes what comes from `sources`.
    pub(crate) fn new(
        registry: Registry,
        manager: Arc<dyn UnitManager>,
        sources: Sources,
        runtime_dir: &Path,
    ) -> Self {
        Self {
            registry,
            manager,
            sources,
            units: UnitsHere::new(),
            board: BoardKeeper::new(runtime_dir),
            held_until: None,
            retry_at: None,
            ask_complaint: Complaint::default(),
            publish_complaint: Complaint::default(),
        }
    }

    /// What is published, for whoever wants to look.
    pub(crate) fn board(&self) -> watch::Receiver<Board> {
        self.board.board().subscribe()
    }

    /// Publishes until `stop`.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        loop {
            let earlier =
                [self.retry_at, self.held_until, self.board.look_at()].into_iter().flatten();
            let due = earlier.fold(self.units.poll_at(), Instant::min);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.sources.standings.changed() => {}
                Ok(()) = self.sources.troubles.changed() => {}
                Ok(()) = self.sources.obstacles.changed() => {}
                Ok(()) = self.sources.presence.current.changed() => {}
                changed = self.manager.changed() => self.take_changed(changed),
                () = self.sources.refollowed.notified() => self.board.is_doubtful(),
                () = time::sleep_until(due) => {}
            }
            (self.retry_at, self.held_until) = (None, None);
            let standings = self.sources.standings.borrow_and_update().clone();
            if let Some(standings) = standings {
                self.units.take_standings(standings);
            }
            if Instant::now() >= self.units.poll_at() {
                self.units.all_may_have_changed();
            }
            self.publish().await;
        }
    }

    async fn publish(&mut self) {
        let troubles = self.ask().await;
        let states = match &troubles {
            Err(error) if error.is_unavailable() => Ok(()),
            _ => self.publish_states().await,
        };
        match troubles.and(states) {
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
            Changed::Units(units) => self.units.may_have_changed(units),
            Changed::Reloaded => {
                self.units.all_may_have_changed();
                self.sources.reloaded.notify_one();
            }
            Changed::All => {
                self.units.all_may_have_changed();
                self.sources.reconnected.notify_one();
            }
        }
    }

    /// Asks systemd about the units that may have changed. Troubles are told before that, and while
    /// it lasts: it may be systemd that they come from, and it may not answer.
    async fn ask(&mut self) -> Result<(), RegistryError> {
        let mut published = self.publish_obstacles().await.and(self.publish_troubles().await);
        if self.units.stale().is_empty() {
            return published;
        }
        let (manager, stale) = (Arc::clone(&self.manager), self.units.stale().clone());
        let mut answer = manager.states(&stale);
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer,
                Ok(()) = self.sources.troubles.changed() => published = self.publish_troubles().await,
                Ok(()) = self.sources.obstacles.changed() => published = self.publish_obstacles().await,
            }
        };
        match answer {
            Ok(states) => {
                self.units.take_states(states);
                self.ask_complaint.is_over();
            }
            Err(error) => {
                if self.ask_complaint.is_news(&error) {
                    error!("Failed fetching current unit states: {error}");
                }
                self.retry_at = Some(Instant::now() + PAUSE);
            }
        }
        published
    }

    async fn publish_troubles(&mut self) -> Result<(), RegistryError> {
        let now = Arc::clone(&self.sources.troubles.borrow_and_update());
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let is_there = |name: &UnitName| now.contains_key(name);
        let news = self.board.board().borrow().troubles.differences(&now, is_there);
        self.write(&presence, &news, |board| &mut board.troubles).await
    }

    /// Before anything else: the engine is to know where a unit can't be.
    async fn publish_obstacles(&mut self) -> Result<(), RegistryError> {
        let now = self.sources.obstacles.borrow_and_update().clone();
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let Some(now) = now else { return Ok(()) };
        let is_there = |name: &UnitName| now.contains_key(name);
        let news = self.board.board().borrow().obstacles.differences(&now, is_there);
        self.write(&presence, &news, |board| &mut board.obstacles).await
    }

    async fn publish_states(&mut self) -> Result<(), RegistryError> {
        let Some(presence) = self.recalled().await? else { return Ok(()) };
        let Some(here) = self.units.here().cloned() else { return Ok(()) };
        let (now, is_here) = (self.units.states(), |name: &UnitName| here.contains_key(name));
        let mut news = self.board.board().borrow().states.differences(&now, is_here);
        self.held_until =
            self.units.pace.hold_back(&mut news, self.board.board().borrow().states.known());
        if news.is_empty() {
            return Ok(());
        }
        self.units.failures.learn(&*self.manager, &mut news).await;
        self.write(&presence, &news, |board| &mut board.states).await
    }

    async fn write<T: Published + Clone + PartialEq>(
        &mut self,
        presence: &Presence,
        news: &News<T>,
        part: Part<T>,
    ) -> Result<(), RegistryError> {
        if news.is_empty() {
            return Ok(());
        }
        self.board.announce(news, part);
        self.registry.publish(presence, news).await?;
        self.board.written(part);
        Ok(())
    }

    /// The presence to publish under, once it is known what is there under it; `None` while there
    /// is nothing to publish.
    async fn recalled(&mut self) -> Result<Option<Presence>, RegistryError> {
        let presence = self.sources.presence.current.borrow_and_update().clone();
        let presence = presence.filter(|_| self.units.here().is_some());
        let Some(presence) = presence else { return Ok(None) };
        if let Some(states) = self.board.recall(&self.registry, &presence).await? {
            self.units.failures.recall(&states);
        }
        Ok(Some(presence))
    }

    fn not_published(&mut self, error: &RegistryError) {
        if self.publish_complaint.is_news(error) {
            warn!(%error, "unit states not published, will retry");
        }
        if let RegistryError::PresenceLost(_) = error {
            self.sources.presence.check();
        }
        if error.is_unavailable() {
            self.board.unanswered();
        }
        self.retry_at = Some(Instant::now() + PAUSE);
    }
}
