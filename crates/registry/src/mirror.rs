//! Follows a part of the registry: one consistent snapshot, then watches from the next revision;
//! or, where watching is switched off, one snapshot after the other.
//!
//! A mirror has one owner, usually a reconciler, which awaits [`Mirror::follow`] among its other
//! wake-ups and plans on [`Mirror::model`]. No lock, and a task only while a snapshot is read: so
//! a reading that takes longer than its owner waits at a time goes on, instead of beginning anew.
//!
//! While the registry is out of reach it tries again and again, and says so once:
//!
//! ```text
//!            ┌── Changed ──┐
//!            ▼             │       the watch breaks
//! begins ─ Anew ──▶ is current ──────── Lost ────────▶ pauses, is not current ──┐
//!            ▲                                          ▲                       │
//!            └────────── a snapshot could be read ──────┼───────────────────────┤
//!                                                       └── Lost: could not ────┘
//! ```

use std::{panic, time::Duration};

use fleet_core::{MachineId, Pauses};
use fleet_store::{Change, Changes, KeyValue, Range, StoreError};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};
use tracing::debug;

use crate::{Event, Keys, Registry, RegistryError};

mod outage;

use outage::Outage;

/// The pauses while the registry is out of reach, where the owner names none.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(50), Duration::from_secs(2));

/// What a mirror keeps. The default is an empty registry.
pub trait Model: Default + Send {
    /// Takes in one change.
    fn apply(&mut self, event: Event);
}

/// Which part of the registry a mirror follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What decisions rest on: units, where destroyed ones still are, machines, dynamic metadata, what is
    /// in the way on machines.
    Cluster,
    /// What one machine obeys: its schedule, global units, restarts asked of it, its own entry
    /// and metadata, and nothing that changes elsewhere.
    Machine(MachineId),
    /// Who leads, and the cluster's engine version.
    Lead,
}

impl Scope {
    /// What it is, in words for the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Cluster => "the cluster",
            Self::Machine(_) => "what this machine is to do",
            Self::Lead => "the engine lease",
        }
    }

    fn ranges(&self, keys: &Keys) -> Vec<Range> {
        match self {
            Self::Cluster => [
                keys.machines(),
                keys.all_metadata(),
                keys.all_leaving(),
                keys.units(),
                keys.obstacles(),
            ]
            .iter()
            .map(Range::prefix)
            .collect(),
            Self::Machine(me) => vec![
                Range::key(keys.machine(me.as_str())),
                Range::prefix(&keys.metadata_of(me)),
                Range::prefix(&keys.schedules_of(me)),
                Range::prefix(&keys.globals()),
                Range::prefix(&keys.restarts_of(me)),
            ],
            Self::Lead => vec![Range::key(keys.leader()), Range::key(keys.engine_version())],
        }
    }
}

impl Registry {
    /// Reads once what a mirror of `scope` would keep, at one revision.
    ///
    /// # Errors
    /// The store failed.
    pub async fn picture<M: Model>(&self, scope: &Scope) -> Result<M, RegistryError> {
        let (kvs, _) = self.scan(&scope.ranges(&self.keys)).await?;
        let mut model = M::default();
        for kv in kvs {
            Event::of(&self.keys, &Change::Put(kv)).into_iter().for_each(|e| model.apply(e));
        }
        Ok(model)
    }
}

/// A part of the registry, kept up to date in place by its one owner.
#[derive(Debug)]
pub struct Mirror<M> {
    registry: Registry,
    ranges: Vec<Range>,
    model: M,
    /// The time between two snapshots, where nothing is watched.
    period: Option<Duration>,
    following: Option<Following>,
    outage: Outage,
    /// The reading of a snapshot that is under way.
    reading: JoinSet<Result<Reading, RegistryError>>,
}

/// What has become of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Followed {
    /// Something has changed.
    Changed,
    /// It was read from a new beginning: the first time, or after it was lost.
    Anew,
    /// The registry is out of reach. What was known last is known still, and isn't current.
    Lost,
}

/// A snapshot, and how to go on from it.
type Reading = (Vec<KeyValue>, Following);

/// How a mirror whose model is current stays so.
#[derive(Debug)]
enum Following {
    Watch(Changes),
    /// Reading everything anew at this time.
    Poll(Instant),
}

impl<M: Model> Mirror<M> {
    /// An empty mirror. Nothing is read yet.
    #[must_use]
    pub fn new(registry: Registry, scope: Scope) -> Self {
        let ranges = scope.ranges(&registry.keys);
        let outage = Outage::new(scope.name(), PAUSES);
        let (model, reading) = (M::default(), JoinSet::new());
        Self { registry, ranges, model, period: None, following: None, outage, reading }
    }

    /// With these pauses while the registry is out of reach.
    #[must_use]
    pub fn pausing(self, pauses: Pauses) -> Self {
        Self { outage: Outage::new(self.outage.of, pauses), ..self }
    }

    /// With a `period` it watches nothing and takes a new snapshot that often instead, whether
    /// anything has changed or not (`disable_watches`, `fleetd.md` 2.3).
    #[must_use]
    pub fn every(self, period: Option<Duration>) -> Self {
        Self { period, ..self }
    }

    /// Waits until something is new, be it that the registry is out of reach. Waits for longer and
    /// longer then, and says so once. Cancel-safe.
    pub async fn follow(&mut self) -> Followed {
        self.outage.pause().await;
        let was_current = self.is_current();
        match self.changed().await {
            Ok(()) => {
                self.outage.is_over();
                if was_current { Followed::Changed } else { Followed::Anew }
            }
            Err(error) => {
                self.outage.goes_on(&error);
                Followed::Lost
            }
        }
    }

    /// Waits until something has changed, and has taken in all that is here. The first call, and
    /// the first after an error, takes a new snapshot and returns when it is there. Cancel-safe: a
    /// snapshot that is being read is there for the next call.
    ///
    /// # Errors
    /// The store can't be reached, or the watch broke. Until a later call succeeds the model is
    /// what was known last, and [`is_current`](Self::is_current) is false.
    pub async fn changed(&mut self) -> Result<(), RegistryError> {
        match &mut self.following {
            Some(Following::Watch(watch)) => {
                let mut next = Some(watch.next().await);
                loop {
                    match next {
                        Some(Ok(changes)) => take(&self.registry.keys, &mut self.model, &changes),
                        Some(Err(StoreError::Compacted(revision))) => {
                            let revision = revision.0;
                            debug!(revision, "watch is behind compaction, reading anew");
                            break;
                        }
                        Some(Err(error)) => {
                            self.following = None;
                            return Err(error.into());
                        }
                        None => return Ok(()),
                    }
                    next = watch.try_next();
                }
                self.following = None;
            }
            Some(Following::Poll(at)) => time::sleep_until(*at).await,
            None => {}
        }
        match self.reading().await {
            Ok((kvs, following)) => {
                self.model = M::default();
                let changes: Vec<Change> = kvs.into_iter().map(Change::Put).collect();
                take(&self.registry.keys, &mut self.model, &changes);
                self.following = Some(following);
                Ok(())
            }
            Err(error) => {
                self.following = None;
                Err(error)
            }
        }
    }

    /// Goes on with the reading that is under way, or begins one. Cancel-safe.
    async fn reading(&mut self) -> Result<Reading, RegistryError> {
        loop {
            match self.reading.join_next().await {
                Some(Ok(read)) => return read,
                Some(Err(error)) => {
                    if let Ok(panic) = error.try_into_panic() {
                        panic::resume_unwind(panic);
                    }
                }
                None => {
                    let (registry, ranges) = (self.registry.clone(), self.ranges.clone());
                    self.reading.spawn(read(registry, ranges, self.period));
                }
            }
        }
    }

    /// Whether a snapshot has been taken and its watches still run, or the last one could be
    /// taken where nothing is watched.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.following.is_some()
    }

    /// What is known.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// What is known, to take in at once what the owner has itself written.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }
}

/// Reads a snapshot, and begins to watch what follows it.
async fn read(
    registry: Registry,
    ranges: Vec<Range>,
    period: Option<Duration>,
) -> Result<Reading, RegistryError> {
    let (kvs, revision) = registry.scan(&ranges).await?;
    let following = match period {
        Some(period) => Following::Poll(Instant::now() + period),
        None => Following::Watch(registry.store.watch(&ranges, revision.next()).await?),
    };
    Ok((kvs, following))
}

fn take<M: Model>(keys: &Keys, model: &mut M, changes: &[Change]) {
    for event in changes.iter().filter_map(|change| Event::of(keys, change)) {
        model.apply(event);
    }
}
