//! Carries out steps, without opinions.
//!
//! Writing and removing files and the reload are one call each for all units of a pass. Stops
//! and starts are asked for concurrently; this waits until systemd has queued their jobs, never
//! for their end.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{UnitFile, UnitName};
use futures::{StreamExt, stream};
use tracing::info;

use crate::{
    Job, ManagerError, UnitManager,
    plan::{Action, Reason, Step, Text},
};

/// How many calls are on their way at once. dbus-daemon refuses more than 128 (`units.md` 7.1),
/// and the publisher makes some as well.
const IN_FLIGHT: usize = 64;

/// What a step that worked has led to.
#[derive(Debug)]
pub(crate) enum Effect {
    /// It is done.
    Finished,
    /// A job is on its way.
    Queued(Job),
}

/// What became of a step. The steps that follow a failed one of the same unit aren't tried.
pub(crate) type Done = (Step, Result<Effect, ManagerError>);

/// Carries out `steps`, which are in execution order, with the contents of what they load.
pub(crate) async fn execute(
    manager: &dyn UnitManager,
    steps: Vec<Step>,
    texts: &BTreeMap<UnitName, Text>,
) -> Vec<Done> {
    let mut pass = Pass { manager, done: Vec::with_capacity(steps.len()) };
    let phase = |action| -> Vec<Step> {
        steps.iter().filter(|step| step.action == action).cloned().collect()
    };
    let (halts, unloads, loads) = (phase(Action::Halt), phase(Action::Unload), phase(Action::Load));
    let stops = phase(Action::Stop);
    let starts = [phase(Action::Restart), phase(Action::Start)].concat();
    pass.jobs(halts).await;
    let unloaded = pass.unload(unloads).await;
    let loaded = pass.load(loads, texts).await;
    pass.reload(unloaded, loaded, &starts).await;
    pass.jobs(stops).await;
    pass.jobs(starts).await;
    pass.done
}

struct Pass<'a> {
    manager: &'a dyn UnitManager,
    done: Vec<Done>,
}

impl Pass<'_> {
    /// Leaves out steps of units that something failed for.
    fn possible(&self, steps: Vec<Step>) -> Vec<Step> {
        let failed: BTreeSet<&UnitName> =
            self.done.iter().filter(|(_, r)| r.is_err()).map(|(step, _)| &step.unit).collect();
        steps.into_iter().filter(|step| !failed.contains(&step.unit)).collect()
    }

    async fn jobs(&mut self, steps: Vec<Step>) {
        let manager = self.manager;
        let jobs = self.possible(steps).into_iter().map(|step| async move {
            let queued = match step.action {
                Action::Start => manager.start(&step.unit).await,
                Action::Restart => manager.restart(&step.unit).await,
                _ => manager.stop(&step.unit).await,
            };
            (step, queued.map(Effect::Queued))
        });
        let mut jobs = stream::iter(jobs).buffered(IN_FLIGHT);
        while let Some(done) = jobs.next().await {
            self.done.push(done);
        }
    }

    /// Returns whether anything was to be unloaded.
    async fn unload(&mut self, steps: Vec<Step>) -> bool {
        if steps.is_empty() {
            return false;
        }
        let answers = self.manager.unload(&names(&steps)).await;
        self.answered(steps, answers);
        true
    }

    /// Returns what was loaded.
    async fn load(
        &mut self,
        steps: Vec<Step>,
        texts: &BTreeMap<UnitName, Text>,
    ) -> BTreeSet<UnitName> {
        let steps = self.possible(steps);
        let file = |step: &Step| Some((step.unit.clone(), texts.get(&step.unit)?.file.clone()));
        let mut files: BTreeMap<UnitName, UnitFile> = steps.iter().filter_map(file).collect();
        let steps = self.readable(steps, &mut files);
        if files.is_empty() {
            return BTreeSet::new();
        }
        let answers = self.manager.load(&files).await;
        let loaded = answers.iter().filter(|(_, answer)| answer.is_ok());
        let loaded = loaded.map(|(name, _)| name.clone()).collect();
        self.answered(steps, answers);
        loaded
    }

    /// Leaves out what systemd would read otherwise than it was submitted, which the API takes no
    /// longer but an earlier one did: a hidden line could be a command. It is that unit's trouble.
    fn readable(
        &mut self,
        steps: Vec<Step>,
        files: &mut BTreeMap<UnitName, UnitFile>,
    ) -> Vec<Step> {
        let mut left = Vec::with_capacity(steps.len());
        for step in steps {
            match files.get(&step.unit).map_or(Ok(()), UnitFile::check_reading) {
                Ok(()) => left.push(step),
                Err(misread) => {
                    files.remove(&step.unit);
                    self.done.push((step, Err(ManagerError::Refused(misread.to_string()))));
                }
            }
        }
        left
    }

    fn answered(
        &mut self,
        steps: Vec<Step>,
        mut answers: BTreeMap<UnitName, Result<(), ManagerError>>,
    ) {
        for step in steps {
            let answer = answers.remove(&step.unit).unwrap_or_else(|| {
                Err(ManagerError::Refused("the unit manager gave no answer".to_owned()))
            });
            self.done.push((step, answer.map(|()| Effect::Finished)));
        }
    }

    /// Without a reload that is needed old contents would be started, so when it fails nothing is.
    /// Also without one, systemd itself might start what was unloaded: where another unit refers to
    /// it, it is still in memory.
    async fn reload(&mut self, unloaded: bool, loaded: BTreeSet<UnitName>, starts: &[Step]) {
        let starts = self.possible(starts.to_vec());
        let mut concerned = loaded;
        concerned.extend(names(&starts));
        if concerned.is_empty() && !unloaded {
            return;
        }
        let (task, reason) = ("ReloadUnitFiles", Reason::Reload);
        match self.manager.reload_if_needed(&concerned).await {
            Ok(true) => {
                info!("AgentReconciler completed task: type={task} job=N/A reason=\"{reason}\"");
            }
            Ok(false) => {}
            Err(error) => {
                info!(
                    "AgentReconciler task failed: type={task} job=N/A reason=\"{reason}\" err={error}"
                );
                // Not a refusal: what can't be reloaded now can be later.
                let text = format!("unit files not reloaded: {error}");
                let failed = |step| (step, Err(ManagerError::Untold(text.clone().into())));
                self.done.extend(starts.into_iter().map(failed));
            }
        }
    }
}

fn names(steps: &[Step]) -> BTreeSet<UnitName> {
    steps.iter().map(|step| step.unit.clone()).collect()
}
