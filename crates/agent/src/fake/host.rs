//! The fake's files, memory and jobs. No time, no waiting.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use fleet_core::{UnitFile, UnitHash, UnitName, UnitState};
use tokio::sync::oneshot;

use super::{
    Call, Operation,
    behaviour::{Behaviour, Then, carries_install_info},
    journal::{Event, Journal},
};
use crate::{
    Changed, Exit, Job, JobResult, Listed, ManagerError, Outcome,
    manager::{JobKind, Run, RunId, has_failed, runs_once},
};

/// The number of calls that are remembered, so that a long run doesn't grow without end.
const MAX_CALLS: usize = 10_000;

/// The host.
#[derive(Default)]
pub(super) struct Host {
    /// `None` is a file that can't be read.
    pub(super) files: BTreeMap<UnitName, Option<UnitFile>>,
    /// Units that systemd wasn't told of.
    pub(super) unfinished: BTreeSet<UnitName>,
    /// What systemd has in memory: units that are active, failed, or on their way.
    memory: BTreeMap<UnitName, Known>,
    jobs: BTreeMap<UnitName, Queued>,
    last_job: u32,
    pub(super) starts: BTreeMap<UnitName, usize>,
    pub(super) refusals: BTreeMap<(UnitName, Operation), String>,
    /// The host's own units, with what systemd says of each.
    pub(super) own: BTreeMap<UnitName, String>,
    pub(super) masks: BTreeSet<UnitName>,
    pub(super) unavailable: bool,
    pub(super) silent: Option<Duration>,
    pub(super) calls: VecDeque<Call>,
    pub(super) events: VecDeque<(UnitName, Event)>,
    pub(super) pending: Option<Changed>,
    /// How many runs there have been.
    runs: u64,
    pub(super) journal: Journal,
}

struct Known {
    file: UnitFile,
    active: String,
    sub: String,
    run: Option<RunId>,
    restarts: u32,
    /// Its last job: what belongs to an earlier one is void.
    last_job: u32,
}

struct Queued {
    id: u32,
    kind: JobKind,
    /// Those who wait: a stop that is asked for again is the same job.
    waiting: Vec<oneshot::Sender<JobResult>>,
}

impl Queued {
    fn end(self, result: JobResult) {
        for waiting in self.waiting {
            let _ = waiting.send(result); // it may not wait any more
        }
    }
}

/// A job that ends later.
#[derive(Debug)]
pub(super) struct Later {
    unit: UnitName,
    /// The job.
    id: u32,
    /// Whether it has ended: then the unit is started again by itself.
    ended: bool,
    pub(super) after: Duration,
    then: Option<Then>,
}

type Started = Result<(Job, Option<Later>), ManagerError>;

impl Host {
    pub(super) fn note(&mut self, call: Call) {
        if self.calls.len() == MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    fn check(&self, unit: &UnitName, operation: Operation) -> Result<(), ManagerError> {
        match self.refusals.get(&(unit.clone(), operation)) {
            Some(text) => Err(ManagerError::Refused(text.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn listing(&self) -> BTreeMap<UnitName, Listed> {
        let listed = |(name, file): (&UnitName, &Option<UnitFile>)| {
            let hash = file.as_ref().map(UnitFile::hash);
            let once = file.as_ref().is_some_and(runs_once);
            (name.clone(), Listed { hash, finished: !self.unfinished.contains(name), once })
        };
        self.files.iter().map(listed).collect()
    }

    pub(super) fn in_memory(&self) -> BTreeSet<UnitName> {
        self.memory.keys().cloned().collect()
    }

    pub(super) fn load(&mut self, unit: &UnitName, file: &UnitFile) -> Result<(), ManagerError> {
        self.check(unit, Operation::Load)?;
        self.check_free(unit, &file.aliases(unit))?;
        if file.has_install() && !carries_install_info(file) {
            self.files.remove(unit);
            return Err(ManagerError::Refused(format!(
                "Failed to enable systemd unit {unit}: unit has no installation information"
            )));
        }
        self.files.insert(unit.clone(), Some(file.clone()));
        self.unfinished.remove(unit);
        Ok(())
    }

    pub(super) fn unload(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.check(unit, Operation::Unload)?;
        self.files.remove(unit);
        self.unfinished.remove(unit);
        if self.own.contains_key(unit) {
            return Ok(());
        }
        if self.memory.get(unit).is_some_and(|known| known.active == "failed") {
            self.memory.remove(unit);
        }
        Ok(())
    }

    pub(super) fn spoil_file(&mut self, unit: &UnitName) {
        self.files.insert(unit.clone(), None);
    }

    pub(super) fn lose_files(&mut self) {
        self.files.clear();
        self.unfinished.clear();
    }

    pub(super) fn reload_if_needed(
        &mut self,
        units: &BTreeSet<UnitName>,
    ) -> Result<bool, ManagerError> {
        units.iter().try_for_each(|unit| self.check(unit, Operation::Reload))?;
        let outdated = |name: &UnitName| match (self.memory.get(name), self.files.get(name)) {
            (Some(known), Some(Some(file))) => known.file != *file,
            _ => false,
        };
        if !units.iter().any(outdated) {
            return Ok(false);
        }
        for (name, known) in &mut self.memory {
            if let Some(Some(file)) = self.files.get(name) {
                known.file = file.clone();
            }
        }
        Ok(true)
    }

    pub(super) fn state_of(&self, unit: &UnitName) -> UnitState {
        if let Some(active) = self.own.get(unit) {
            return UnitState { load: "loaded".into(), active: active.clone(), sub: "own".into() };
        }
        let load = if self.files.contains_key(unit) || self.memory.contains_key(unit) {
            "loaded"
        } else {
            "not-found"
        };
        let (active, sub) = self
            .memory
            .get(unit)
            .map_or(("inactive", "dead"), |known| (known.active.as_str(), known.sub.as_str()));
        UnitState { load: load.into(), active: active.into(), sub: sub.into() }
    }

    pub(super) fn outcome_of(&self, unit: &UnitName) -> Outcome {
        let state = self.state_of(unit);
        let restarts = self.memory.get(unit).map_or(0, |known| known.restarts);
        let run = Outcome { state, restarts, ..Outcome::default() };
        if !has_failed(&run.state) {
            return run;
        }
        Outcome { result: "exit-code".into(), exit: Some(Exit::Status(1)), ..run }
    }

    pub(super) fn running(&self, unit: &UnitName) -> Option<UnitHash> {
        let known = self.memory.get(unit)?;
        (known.active == "active").then(|| known.file.hash())
    }

    pub(super) fn set_state(&mut self, unit: &UnitName, active: &str, sub: &str) {
        self.tell(unit);
        if active == "inactive" {
            self.memory.remove(unit); // systemd forgets what is idle
            return;
        }
        let on_disk = || self.files.get(unit).cloned().flatten().unwrap_or_default();
        let known = self.memory.entry(unit.clone()).or_insert_with(|| Known {
            file: on_disk(),
            active: String::new(),
            sub: String::new(),
            run: None,
            restarts: 0,
            last_job: 0,
        });
        active.clone_into(&mut known.active);
        sub.clone_into(&mut known.sub);
    }

    /// What is in memory of a unit.
    pub(super) fn run_of(&self, unit: &UnitName) -> Option<Run> {
        let known = self.memory.get(unit)?;
        let job = self.jobs.get(unit).map(|queued| queued.kind);
        Some(Run { id: known.run.clone(), active: known.active.clone(), job })
    }

    /// A run of a unit begins.
    fn begin_run(&mut self, unit: &UnitName) {
        self.runs += 1;
        let run = RunId(format!("{:032x}", self.runs));
        if let Some(known) = self.memory.get_mut(unit) {
            known.run = Some(run.clone());
            let hash = known.file.hash();
            self.happened(unit, Event::Begun(run, hash));
        }
    }

    /// Something has happened that is written down.
    fn happened(&mut self, unit: &UnitName, what: Event) {
        if self.events.len() == MAX_CALLS {
            self.events.pop_front();
        }
        self.events.push_back((unit.clone(), what.clone()));
        self.journal.write(unit, what);
    }

    fn tell(&mut self, unit: &UnitName) {
        match self.pending.get_or_insert_with(|| Changed::Units(BTreeSet::new())) {
            Changed::Units(units) => {
                units.insert(unit.clone());
            }
            Changed::Reloaded | Changed::All => {}
        }
    }

    pub(super) fn tell_reloaded(&mut self) {
        if self.pending != Some(Changed::All) {
            self.pending = Some(Changed::Reloaded);
        }
    }

    pub(super) fn tell_all(&mut self) {
        self.pending = Some(Changed::All);
    }

    pub(super) fn start(&mut self, unit: &UnitName) -> Started {
        self.check(unit, Operation::Start)?;
        self.check_startable(unit)?;
        let file = self.known_file(unit)?;
        let (id, job) = self.queue(unit, JobKind::Start);
        if self.state_of(unit).active == "active" {
            self.finish(unit, id, JobResult::Done);
            return Ok((job, None));
        }
        self.begin(unit, &file, id, job, Duration::ZERO)
    }

    /// While it stops, a unit that is restarted counts as `activating` here.
    pub(super) fn restart(&mut self, unit: &UnitName) -> Started {
        self.check(unit, Operation::Restart)?;
        self.check_startable(unit)?;
        let file = self.known_file(unit)?;
        let runs = self.state_of(unit).active == "active";
        let stop_takes = if runs { Behaviour::of(&file).stop_takes } else { Duration::ZERO };
        if runs {
            self.happened(unit, Event::Stopped);
        }
        let (id, job) = self.queue(unit, JobKind::Restart);
        self.begin(unit, &file, id, job, stop_takes)
    }

    fn known_file(&self, unit: &UnitName) -> Result<UnitFile, ManagerError> {
        let in_memory = self.memory.get(unit).map(|known| known.file.clone());
        let file = in_memory.or_else(|| self.files.get(unit).cloned().flatten());
        file.ok_or_else(|| ManagerError::Refused(format!("Unit {unit} not found.")))
    }

    /// Starts a unit that doesn't run, or won't after this time.
    fn begin(
        &mut self,
        unit: &UnitName,
        file: &UnitFile,
        id: u32,
        job: Job,
        stop_takes: Duration,
    ) -> Started {
        *self.starts.entry(unit.clone()).or_default() += 1;
        let behaviour = Behaviour::of(file);
        self.set_state(unit, "activating", "start");
        self.begin_run(unit);
        if let Some(known) = self.memory.get_mut(unit) {
            (known.restarts, known.last_job) = (0, id);
        }
        let later = |after| Later {
            unit: unit.clone(),
            id,
            ended: false,
            after,
            then: Some(behaviour.then),
        };
        match behaviour.start_takes.map(|takes| takes.saturating_add(stop_takes)) {
            Some(Duration::ZERO) => {
                let next = self.end(&later(Duration::ZERO));
                Ok((job, next))
            }
            Some(after) => Ok((job, Some(later(after)))),
            None => Ok((job, None)),
        }
    }

    pub(super) fn stop(&mut self, unit: &UnitName) -> Started {
        self.check(unit, Operation::Stop)?;
        self.check_stoppable(unit)?;
        let Some(known) = self.memory.get(unit) else { return Ok((Job::done(), None)) };
        let takes = match known.active.as_str() {
            "active" | "deactivating" => Behaviour::of(&known.file).stop_takes,
            "failed" => return Ok((Job::done(), None)),
            _ => Duration::ZERO,
        };
        if let (true, Some(queued)) = (known.active == "deactivating", self.jobs.get_mut(unit)) {
            let (done, job) = Job::new(queued.id);
            queued.waiting.push(done);
            return Ok((job, None));
        }
        self.happened(unit, Event::Stopped);
        let (id, job) = self.queue(unit, JobKind::Stop);
        let later = Later { unit: unit.clone(), id, ended: false, after: takes, then: None };
        if takes.is_zero() {
            let next = self.end(&later);
            return Ok((job, next));
        }
        self.set_state(unit, "deactivating", "stop");
        Ok((job, Some(later)))
    }

    pub(super) fn stop_limit(&self, unit: &UnitName) -> Option<Duration> {
        let known = self.memory.get(unit);
        known.map_or(Some(Duration::ZERO), |known| Behaviour::of(&known.file).stop_limit)
    }

    /// Queues a job in place of the one that is there.
    fn queue(&mut self, unit: &UnitName, kind: JobKind) -> (u32, Job) {
        self.last_job += 1;
        let (done, job) = Job::new(self.last_job);
        let queued = Queued { id: self.last_job, kind, waiting: vec![done] };
        if let Some(old) = self.jobs.insert(unit.clone(), queued) {
            old.end(JobResult::Canceled);
        }
        (self.last_job, job)
    }

    /// Ends a job and puts its unit into the state that follows, unless another took its place.
    /// Returns what follows by itself.
    pub(super) fn end(&mut self, later: &Later) -> Option<Later> {
        if later.ended {
            return self.start_again(later);
        }
        if self.jobs.get(&later.unit).is_none_or(|queued| queued.id != later.id) {
            return None;
        }
        let behaviour = self.memory.get(&later.unit).map(|known| Behaviour::of(&known.file));
        let (active, sub, result) = match later.then {
            Some(Then::Runs) => ("active", "running", JobResult::Done),
            Some(Then::Stays) => ("active", "exited", JobResult::Done),
            Some(Then::Finished) | None => ("inactive", "dead", JobResult::Done),
            Some(Then::Failed) if behaviour.is_some_and(|it| it.fails_later) => {
                ("failed", "failed", JobResult::Done)
            }
            Some(Then::Failed) => ("failed", "failed", JobResult::Failed),
        };
        self.set_state(&later.unit, active, sub);
        self.finish(&later.unit, later.id, result);
        let after = behaviour.and_then(|it| it.restart_after).filter(|_| active == "failed")?;
        self.set_state(&later.unit, "activating", "auto-restart");
        Some(Later { unit: later.unit.clone(), ended: true, after, ..*later })
    }

    /// A unit that failed is started once more, and fails again: it runs for as long as it waits.
    fn start_again(&mut self, later: &Later) -> Option<Later> {
        let known = self.memory.get_mut(&later.unit).filter(|known| known.last_job == later.id)?;
        match &*known.sub {
            "auto-restart" => {
                known.restarts += 1;
                *self.starts.entry(later.unit.clone()).or_default() += 1;
                self.set_state(&later.unit, "activating", "start");
            }
            "start" if !self.jobs.contains_key(&later.unit) => {
                self.set_state(&later.unit, "activating", "auto-restart");
            }
            _ => return None,
        }
        Some(Later { unit: later.unit.clone(), ..*later })
    }

    fn finish(&mut self, unit: &UnitName, id: u32, result: JobResult) {
        if let Some(queued) = self.jobs.remove(unit).filter(|queued| queued.id == id) {
            queued.end(result);
        }
    }
}
