//! The local service manager as the agent needs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use fleet_core::{UnitFile, UnitHash, UnitName, UnitState};
use tokio::sync::oneshot;

#[cfg(feature = "testing")]
pub mod contract;
mod moment;
mod outcome;
mod run;

pub use moment::{Moment, Uptime};
pub(crate) use outcome::has_failed;
pub use outcome::{Exit, Outcome};
pub use run::{JobKind, Past, Run, RunId};

/// Drives the units of fleet on this machine (`units.md` 7).
///
/// Every method is idempotent and bounded in time. Methods that take many units answer for each:
/// a failure costs only its own unit.
///
/// A host has units of its own, and what is called as one of those isn't fleet's: none of these
/// methods links over it, starts, stops, restarts, unmasks or resets it, whatever files of fleet's
/// there are. What would is refused ([`ManagerError::Taken`]), but for unloading, which takes away
/// what is fleet's.
#[async_trait]
pub trait UnitManager: Send + Sync + 'static {
    /// Fleet's unit files on this machine. An error when it can't be told of one of them what it
    /// is: whoever asks would take it for another.
    async fn units(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError>;

    /// Which names are not fleet's to use here: of the units with a file of fleet's, and of `others`,
    /// each with the other names that it would have.
    async fn taken(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError>;

    /// Writes the files, links them into systemd, and enables those with `[Install]` options.
    async fn load(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>>;

    /// Disables, unlinks and forgets units and removes their files. The units have stopped.
    async fn unload(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> BTreeMap<UnitName, Result<(), ManagerError>>;

    /// Lets systemd read its unit files again if one of `units` needs it, and says whether it did.
    ///
    /// Units that were unloaded since the last call count as concerned too: systemd keeps those
    /// in memory that another refers to, and would start what was removed. So this is worth
    /// calling, with an empty set, after a pass that only unloaded.
    async fn reload_if_needed(&self, units: &BTreeSet<UnitName>) -> Result<bool, ManagerError>;

    /// Asks systemd to start a unit; returns once the job is queued.
    async fn start(&self, unit: &UnitName) -> Result<Job, ManagerError>;

    /// Asks systemd to stop a unit; returns once the job is queued. A unit that systemd doesn't
    /// know, or that isn't running, is a job that is done; one that is being stopped is the job
    /// that is on its way.
    async fn stop(&self, unit: &UnitName) -> Result<Job, ManagerError>;

    /// How long a unit may take to stop, by its own configuration; `None` is without end.
    async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, ManagerError>;

    /// Asks systemd to restart a unit, or to start it if it doesn't run; returns once the job is
    /// queued.
    async fn restart(&self, unit: &UnitName) -> Result<Job, ManagerError>;

    /// What systemd says of each of `units`; units it doesn't know are `not-found`.
    async fn states(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, UnitState>, ManagerError>;

    /// What systemd has in memory of each of `units`. Those it hasn't are left out.
    async fn runs(
        &self,
        units: &BTreeSet<UnitName>,
    ) -> Result<BTreeMap<UnitName, Run>, ManagerError>;

    /// What is on record of units, of each since its moment: what can still be told of those that
    /// systemd has forgotten. Where nothing can be found out, nothing is on record.
    async fn past(&self, since: &BTreeMap<UnitName, Moment>) -> BTreeMap<UnitName, Past>;

    /// What systemd says of a unit's run, beyond its state. It costs some calls: for a unit that has
    /// just been started, or that failed.
    async fn outcome(&self, unit: &UnitName) -> Result<Outcome, ManagerError>;

    /// Asks the service manager for nothing but an answer, which must be its own.
    async fn ping(&self) -> Result<(), ManagerError>;

    /// Waits until the state of some unit may have changed since the last call. Cancel-safe;
    /// for one caller. Bursts of signals are gathered for a few milliseconds.
    async fn changed(&self) -> Changed;
}

/// A unit file of fleet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The hash of what is on disk; `None` for what is no file that may be read, or doesn't lex.
    pub hash: Option<UnitHash>,
    /// Whether systemd was told of it, as far as is known. Otherwise it must be loaded once more,
    /// whatever its hash.
    pub finished: bool,
    /// Whether it does something once and is done (`Type=oneshot`): starting it again is doing it
    /// twice.
    pub once: bool,
}

impl Listed {
    /// One whose file is `file`, and which systemd was told of.
    #[must_use]
    pub fn of(file: &UnitFile) -> Self {
        Self { hash: Some(file.hash()), finished: true, once: runs_once(file) }
    }
}

/// A service that names neither type nor command is a oneshot too (systemd.service(5)).
#[must_use]
pub fn runs_once(file: &UnitFile) -> bool {
    let in_service = || file.options().iter().filter(|option| option.section == "Service");
    match in_service().rfind(|option| option.name == "Type" && !option.value.is_empty()) {
        Some(kind) => kind.value.trim() == "oneshot",
        None => {
            in_service().next().is_some() && !in_service().any(|option| option.name == "ExecStart")
        }
    }
}

/// A name that isn't fleet's to use on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Who has it, in words.
    pub why: String,
    /// Whether what runs under the unit's name, if anything does, is fleet's all the same: it was
    /// started before the name was taken, or the name that is taken is only an alias. It may be
    /// stopped.
    pub runs_ours: bool,
    /// The other names that the unit has, to ask again when its file is gone.
    pub aliases: BTreeSet<String>,
}

/// Whose state may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These units'. They need not be fleet's.
    Units(BTreeSet<UnitName>),
    /// Anybody's: systemd has read its unit files again, whoever asked it to.
    Reloaded,
    /// Anybody's: signals were lost, or the connection is new.
    All,
}

/// A queued job of the service manager.
#[derive(Debug)]
pub struct Job {
    /// Its number; 0 when there was nothing to do.
    pub id: u32,
    done: oneshot::Receiver<JobResult>,
}

impl Job {
    /// A job and the end that says how it ended.
    #[must_use]
    pub fn new(id: u32) -> (oneshot::Sender<JobResult>, Self) {
        let (tell, done) = oneshot::channel();
        (tell, Self { id, done })
    }

    /// A job that is done already.
    #[must_use]
    pub fn done() -> Self {
        let (tell, job) = Self::new(0);
        let _ = tell.send(JobResult::Done);
        job
    }

    /// Waits for the job to end. The caller bounds the time.
    pub async fn wait(self) -> JobResult {
        self.done.await.unwrap_or(JobResult::Lost)
    }
}

/// How a job ended (`JobRemoved`, org.freedesktop.systemd1(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// As asked.
    Done,
    /// The unit failed.
    Failed,
    /// What the unit needs could not be started.
    Dependency,
    /// Another job took its place.
    Canceled,
    /// It was given up after its time (`JobTimeoutSec=`).
    TimedOut,
    /// The unit itself said that it is not to run now (`ExecCondition=`).
    Skipped,
    /// It was not run, for some other reason.
    NotRun,
    /// The connection broke before the end was seen.
    Lost,
}

/// What can go wrong with the service manager.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// It can't be reached, or didn't answer in time: what it was told it may do all the same.
    #[error("systemd is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It can't be reached, and so was told nothing.
    #[error("systemd is unavailable: {0}")]
    Untold(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The name isn't fleet's to use on this machine; the text says who has it.
    #[error("{0}")]
    Taken(String),
    /// It refused; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// A unit file could not be written, read or removed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl ManagerError {
    /// The text without what says of which kind it is.
    pub(crate) fn source_text(&self) -> String {
        match self {
            Self::Unavailable(source) | Self::Untold(source) => source.to_string(),
            Self::Taken(_) | Self::Refused(_) | Self::File { .. } => self.to_string(),
        }
    }

    /// Whether it is certain that nothing was done of what was asked for.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Unavailable(_) => false,
            Self::Untold(_) | Self::Taken(_) | Self::Refused(_) | Self::File { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_once_is_a_oneshot() {
        for (text, once) in [
            ("[Service]\nType=oneshot\nExecStart=/bin/true\n", true),
            ("[Service]\nType=oneshot\nType=\nExecStart=/bin/true\n", true),
            ("[Service]\nType=simple\nType=oneshot\nExecStart=/bin/true\n", true),
            ("[Service]\nType=oneshot\nType=simple\nExecStart=/bin/true\n", false),
            ("[Service]\nExecStart=/bin/true\n", false),
            ("[Service]\nExecStop=/bin/true\n", true),
            ("[X-Fleet]\nType=oneshot\n", false),
            ("[Timer]\nOnActiveSec=1\n", false),
        ] {
            let file = UnitFile::parse(text.as_bytes()).unwrap();
            assert_eq!(runs_once(&file), once, "{text}");
        }
    }
}
