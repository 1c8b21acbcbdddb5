//! The [`UnitManager`] over D-Bus.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fleet_agent::manager::{
    Changed, Job, Listed, ManagerError, Moment, Outcome, Past, Run, Taken, UnitManager,
};
use fleet_core::{UnitFile, UnitName, UnitState, error_text::plain};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    task::{self, AbortHandle, JoinSet},
    time::Instant,
};
use tracing::{debug, error, info};

use crate::{
    bus::{CallError, Limits},
    calls::{Calls, Verb},
    config::{Config, ConnectError},
    dial::dial,
    directory::Directory,
    journal::Journal,
    outcome,
    owned::Owned,
    reload::{Link, ReloadState},
    session::{self, Session},
    signals::Signals,
    states,
};

/// Calls of one operation at the same time, where units are dealt with one by one. Below the
/// limit of the connection, so that a state can be asked for meanwhile.
pub(crate) const AT_ONCE: usize = 32;

/// Drives fleet's units through systemd.
///
/// It follows systemd by signals and reconnects by itself when the bus goes away; meanwhile every
/// method fails with [`ManagerError::Unavailable`]. Its one task ends when it is dropped.
#[derive(Debug)]
pub struct SystemdManager {
    pub(crate) directory: Arc<Directory>,
    pub(crate) calls: Calls,
    pub(crate) signals: Arc<Signals>,
    pub(crate) session: Arc<Session>,
    /// What is before the paths of systemd's directories.
    pub(crate) root: PathBuf,
    pub(crate) owned: Mutex<Owned>,
    reload: Mutex<ReloadState>,
    journal: Journal,
    follower: AbortHandle,
    _tasks: JoinSet<()>,
}

impl SystemdManager {
    /// Makes the units directory and connects to systemd.
    ///
    /// # Errors
    /// When the directory can't be made, or systemd isn't reached at any of the endpoints.
    pub async fn connect(config: Config) -> Result<Self, ConnectError> {
        let path = config.units_directory.clone();
        let unmade = |reason| ConnectError::Directory { path: path.clone(), reason };
        let to_open = path.clone();
        let directory = blocking(move || Directory::open(to_open)).await;
        let directory = directory.map_err(|error| unmade(error.to_string()))?;
        let directory = directory.map_err(|error| unmade(plain(&error)))?;

        let (session, messages) = Session::new(dial(&config).await?);
        let (session, signals) = (Arc::new(session), Arc::new(Signals::default()));
        let limits = Limits::new(config.call_timeout, config.wake_socket.clone());
        let journal = config.journal.clone();
        let root = config.root.clone();
        let mut tasks = JoinSet::new();
        let follower = tasks.spawn(session::follow(
            Arc::clone(&session),
            Arc::clone(&signals),
            config,
            messages,
        ));
        Ok(Self {
            directory: Arc::new(directory),
            calls: Calls::new(Arc::clone(&session), limits),
            signals,
            session,
            root,
            owned: Mutex::default(),
            reload: Mutex::default(),
            journal,
            follower,
            _tasks: tasks,
        })
    }

    /// Since when systemd has been out of reach; `None` while it isn't. A fleetd that can't drive
    /// its units for longer than `agent_ttl` should give way (`fleetd.md` 6).
    ///
    /// # Panics
    /// Nobody takes in what systemd says any more (decision 21).
    #[must_use]
    pub fn lost_since(&self) -> Option<Instant> {
        assert!(!self.follower.is_finished(), "who takes in what systemd says goes on for ever");
        self.session.lost_since()
    }

    /// Queues a job and says so, in the words of `units.md` 7.3.
    async fn trigger(&self, verb: Verb, unit: &UnitName) -> Result<Job, ManagerError> {
        // What wasn't told for certain is known to be undone.
        self.session.live().map_err(|error| ManagerError::Untold(error.into()))?;
        self.check_owner(verb, unit).await.map_err(|error| match error {
            ManagerError::Unavailable(error) => ManagerError::Untold(error),
            other => other,
        })?;
        let job = self.queue(verb, unit).await?;
        if verb != Verb::Stop {
            self.check_loaded(unit).await?;
        }
        Ok(job)
    }

    async fn queue(&self, verb: Verb, unit: &UnitName) -> Result<Job, ManagerError> {
        let expected = self.signals.expect_job();
        match self.calls.queue(verb, unit).await {
            Ok(id) => {
                info!("Triggered systemd unit {unit} {}: job={id}", verb.as_str());
                Ok(expected.is(id))
            }
            Err(error) if verb == Verb::Stop && error.is_no_possible_unit() => {
                debug!(%unit, "nothing to stop");
                Ok(Job::done())
            }
            Err(error) => {
                error!("Failed to trigger systemd unit {unit} {}: {error}", verb.as_str());
                Err(error.into())
            }
        }
    }

    /// Asks systemd about each of `units`, until one needs a reload.
    async fn any_needs_reload(&self, units: &BTreeSet<UnitName>) -> Result<bool, CallError> {
        let questions: Vec<_> = units.iter().map(|unit| self.calls.needs_reload(unit)).collect();
        let mut answers = stream::iter(questions).buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // A unit that can't be loaded at all is no reason to reload the others.
                Err(error) if !error.is_unavailable() => debug!(%error, "no answer on reload"),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn reload(
        &self,
        due: &ReloadState,
        units: &BTreeSet<UnitName>,
    ) -> Result<bool, CallError> {
        let needed = due.certain(self.calls.version()?)
            || self.any_link_matters(due.links()).await?
            || self.any_needs_reload(&due.doubtful(units)).await?;
        if needed {
            info!("Instructing systemd to reload units");
            self.calls.reload().await?;
        }
        Ok(needed)
    }

    /// Whether some link that was made changes what systemd has in memory, and that matters before it
    /// is read anew for another reason.
    async fn any_link_matters(&self, links: &BTreeSet<Link>) -> Result<bool, CallError> {
        for link in links {
            let name = match link {
                Link::Alias(_) => return Ok(true), // it would be a unit of its own for systemd
                Link::WantedBy(name) | Link::NeededBy(name) => name,
            };
            let Some(found) = self.calls.in_memory(name).await? else { continue };
            let matters = match link {
                _ if found.load == "not-found" => false, // it is looked for anew
                Link::WantedBy(_) if found.active != "inactive" && found.active != "failed" => {
                    false
                }
                Link::WantedBy(_) => !self.calls.has_job(name).await?,
                _ => true,
            };
            if matters {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn lock_reload(&self) -> MutexGuard<'_, ReloadState> {
        // A panic leaves it whole; at worst there is one reload too many.
        self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl UnitManager for SystemdManager {
    async fn units(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError> {
        let directory = Arc::clone(&self.directory);
        let units = blocking(move || directory.list()).await??;
        self.signals.follow_only(units.keys());
        Ok(units)
    }

    async fn taken(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError> {
        self.taken_names(others).await
    }

    async fn load(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        self.load_units(units).await
    }

    async fn unload(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>> {
        self.unload_units(units).await
    }

    /// Units unloaded since the last call count as concerned too: systemd may have kept them.
    async fn reload_if_needed(&self, units: &BTreeSet<UnitName>) -> Result<bool, ManagerError> {
        let due = self.lock_reload().take();
        let reloaded = self.reload(&due, units).await;
        if reloaded.is_err() {
            self.lock_reload().put_back(due);
        }
        Ok(reloaded?)
    }

    async fn start(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.trigger(Verb::Start, unit).await
    }

    async fn stop(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.trigger(Verb::Stop, unit).await
    }

    async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, ManagerError> {
        Ok(self.calls.stop_limit(unit).await?)
    }

    async fn restart(&self, unit: &UnitName) -> Result<Job, ManagerError> {
        self.trigger(Verb::Restart, unit).await
    }

    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, UnitState>, ManagerError> {
        Ok(states::states(&self.calls, units).await?)
    }

    async fn runs(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, Run>, ManagerError> {
        let questions: Vec<_> = units
            .iter()
            .map(|unit| async move {
                match self.calls.run(unit).await {
                    Ok(run) => Ok(run.map(|run| (unit.clone(), run))),
                    Err(error) if error.is_unavailable() => Err(error),
                    Err(error) => {
                        debug!(%unit, %error, "no answer on its run");
                        Ok(None)
                    }
                }
            })
            .collect();
        let answers = stream::iter(questions).buffer_unordered(AT_ONCE);
        let answers: Vec<_> = answers.try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn past(&self, since: &BTreeMap<UnitName, Moment>) -> BTreeMap<UnitName, Past> {
        let mut past = self.journal.past(since).await;
        let quiet = past.iter_mut().filter(|(unit, _)| self.directory.may_be_quiet(unit));
        quiet.for_each(|(_, past)| past.complete = false);
        past
    }

    async fn outcome(&self, unit: &UnitName) -> Result<Outcome, ManagerError> {
        Ok(outcome::outcome(&self.calls, unit).await?)
    }

    async fn ping(&self) -> Result<(), ManagerError> {
        Ok(self.calls.ping().await?)
    }

    async fn changed(&self) -> Changed {
        self.signals.changed().await
    }
}

/// Runs what blocks on the file system where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    let done = task::spawn_blocking(act).await;
    done.map_err(|error| CallError::Unavailable(format!("file system task: {error}")))
}
