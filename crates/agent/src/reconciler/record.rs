//! Keeps book: what steps and jobs that have ended mean for what is here.

use fleet_core::JobState;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Reconciler;
use super::jobs::Ended;
use crate::{
    JobResult, ManagerError,
    execute::{Done, Effect},
    plan::{Action, Busy, Here, Retry, Step},
    settle::why_not_started,
};

impl Reconciler {
    /// Takes in what became of a step.
    pub(super) fn record(&mut self, (step, result): Done) {
        match result {
            Ok(effect) => {
                if step.action != Action::Halt {
                    let (task, unit, reason) = (step.action.task(), &step.unit, step.reason);
                    info!(
                        "AgentReconciler completed task: type={task} job={unit} reason=\"{reason}\""
                    );
                }
                // A stop is settled when it has ended, halting when the unit is unloaded.
                let is_last = self.memory.claims.ends_with(&step.unit, step.action);
                if is_last && !matches!(step.action, Action::Halt | Action::Stop) {
                    self.memory.claims.settle(&step.unit);
                }
                self.worked(step, effect);
            }
            Err(ManagerError::Taken(why)) if !self.current.units.contains_key(&step.unit) => {
                self.memory.claims.settle(&step.unit);
                self.follow.look_again(); // it is in nobody's way any more
                self.names.is_taken(&mut self.current, &step, &why);
            }
            Err(error) => {
                if error.is_certain() {
                    self.memory.claims.settle_failed(&step.unit);
                } // else it is found out: systemd may do it all the same
                if let ManagerError::Taken(why) = &error {
                    self.names.is_taken(&mut self.current, &step, why);
                }
                let refused = matches!(error, ManagerError::Refused(_));
                let text = error.to_string();
                if step.action == Action::Restart && refused {
                    self.note_restart_sent(&step); // asking again would get the same answer
                    if let Some(here) = self.current.units.get_mut(&step.unit) {
                        here.start_refused(&text);
                    }
                }
                self.scan_at = Instant::now(); // what is on disk may be half done
                if let Some(here) = self.current.units.get_mut(&step.unit) {
                    here.stopped = false;
                }
                let says = self.failed(&step, &text);
                if let Some(retry) = self.current.retries.get_mut(&step.unit) {
                    retry.refused = refused;
                }
                if says && step.action == Action::Halt {
                    warn!("TriggerStop on systemd unit {} returned: {error}", step.unit);
                }
            }
        }
    }

    fn worked(&mut self, step: Step, effect: Effect) {
        let units = &mut self.current.units;
        match step.action {
            Action::Unload => {
                units.remove(&step.unit);
            }
            Action::Load => {
                let hash = self.current.texts.get(&step.unit).map(|text| text.hash);
                let again = units.remove(&step.unit).filter(|here| here.is_loaded(hash));
                let anew = Here { hash, claim: JobState::Loaded, ..Here::default() };
                let here = again.map_or(anew, |here| Here { unfinished: false, ..here });
                units.insert(step.unit.clone(), here);
            }
            Action::Halt | Action::Stop => {
                if let Some(here) = units.get_mut(&step.unit) {
                    here.claim = JobState::Loaded;
                    here.busy = Some(Busy::Stopping);
                    here.not_started = None;
                    here.start = None;
                }
            }
            Action::Restart => {
                if let Some(here) = units.get_mut(&step.unit) {
                    here.claim = JobState::Launched;
                    here.busy = Some(Busy::Restarting);
                    here.not_started = None;
                    here.begin_start();
                }
                self.note_restart_sent(&step);
            }
            Action::Start => {
                if let Some(here) = units.get_mut(&step.unit) {
                    here.claim = JobState::Launched;
                    here.busy = Some(Busy::Starting);
                    here.not_started = None;
                    here.begin_start();
                }
            }
        }
        if let Effect::Queued(job) = effect {
            self.jobs.follow(&self.manager, step, job);
        }
    }

    /// Notes that systemd has been told of the request behind a step.
    fn note_restart_sent(&mut self, step: &Step) {
        let request = self.desired.units.get(&step.unit).and_then(|wanted| wanted.restart);
        if let Some(request) = request {
            self.current.restarts.insert(step.unit.clone(), request);
        }
    }

    /// Takes in how a job ended.
    pub(super) fn ended(&mut self, Ended { step, result, failure }: Ended) {
        let Some(here) = self.current.units.get_mut(&step.unit) else { return };
        here.busy = None;
        if let Some(start) = &mut here.start {
            (start.settled, start.failure) = (true, failure.unwrap_or_default());
        }
        match (step.action, result) {
            (Action::Start, Ok(JobResult::Done)) => {}
            (Action::Restart, Ok(JobResult::Done)) => info!("Restarted unit({})", step.unit),
            // It is only told of: fleet restarts nothing (`cluster.md` 1).
            (action @ (Action::Start | Action::Restart), result) => {
                info!(unit = %step.unit, ?action, ?result, "start did not succeed");
                here.not_started = result.ok().and_then(why_not_started);
            }
            (Action::Halt, Ok(JobResult::Done)) => {
                here.stopped = true;
                info!("Stopped unit({})", step.unit);
            }
            (_, Ok(JobResult::Done)) => self.memory.claims.settle(&step.unit),
            (action, result) => {
                self.memory.claims.settle(&step.unit);
                if action == Action::Stop {
                    here.claim = JobState::Launched; // it may still run: stop it again
                }
                let text = match result {
                    Ok(result) => format!("stop job ended as {result:?}"),
                    Err(limit) => format!("stop took longer than {} s", limit.as_secs()),
                };
                let _ = self.failed(&step, &text); // that it is said is enough
            }
        }
    }

    /// Puts a unit back for a while. Says so the first, second, fourth, … time, and returns whether
    /// it did.
    fn failed(&mut self, step: &Step, error: &str) -> bool {
        let wanted = self.desired.units.get(&step.unit).copied();
        let earlier = self.current.retries.get(&step.unit);
        let retry = Retry::after(earlier, wanted, error, Instant::now());
        let (task, unit, reason) = (step.action.task(), &step.unit, step.reason);
        let says = retry.attempts.is_power_of_two();
        if says {
            info!(
                "AgentReconciler task failed: type={task} job={unit} reason=\"{reason}\" err={error}"
            );
        } else {
            debug!(%unit, task, error, attempts = retry.attempts, "task failed again");
        }
        self.current.retries.insert(unit.clone(), retry);
        says
    }
}
