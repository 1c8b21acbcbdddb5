//! How a start went: what systemd says of its job, and of the unit a moment later.
//!
//! For `Type=simple` the job is done at the fork, whatever the process does then. So a start counts
//! once its unit has been looked at a moment after the job's end. Where systemd starts the unit again
//! by itself (`Restart=`), it is watched a little longer: it may come up, or be given up.

use std::time::Duration;

use fleet_core::UnitName;
use tokio::time::{self, Instant};
use tracing::debug;

use crate::{JobResult, Outcome, UnitManager};

/// How long after the end of the job the unit is looked at (and again, while nothing is certain).
const MOMENT: Duration = Duration::from_millis(50);
/// How long a unit is watched that systemd starts again and again.
const WATCH: Duration = Duration::from_secs(1);

/// Waits until it is known how a start went whose job ended as `job`. Returns why it came to
/// nothing, if it did.
pub(crate) async fn settle(
    manager: &dyn UnitManager,
    unit: &UnitName,
    job: JobResult,
) -> Option<String> {
    let until = Instant::now() + WATCH;
    let mut watch = Watch::default();
    loop {
        time::sleep(MOMENT).await;
        let Ok(run) = manager.outcome(unit).await else {
            // What systemd said of the job is all there is.
            return why_not_started(job).map(str::to_owned);
        };
        debug!(%unit, ?job, ?run, "looked at how a start went");
        match watch.judge(job, run) {
            Verdict::Started => return None,
            Verdict::Failed(why) => return Some(why),
            Verdict::Open if Instant::now() >= until => return watch.at_its_end(job),
            Verdict::Open => {}
        }
    }
}

/// Why a start that ended so came to nothing, if it is known that it did.
pub(crate) fn why_not_started(result: JobResult) -> Option<&'static str> {
    match result {
        JobResult::Failed => Some("its start failed"),
        JobResult::Dependency => Some("what it depends on could not be started"),
        JobResult::Canceled => Some("its start was canceled"),
        JobResult::TimedOut => Some("its start timed out"),
        JobResult::NotRun => Some("systemd did not start it"),
        // One that is skipped wants no more, and what was lost sight of may run.
        JobResult::Done | JobResult::Skipped | JobResult::Lost => None,
    }
}

/// What a look at a unit says of its start.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Started,
    Failed(String),
    Open,
}

/// What was seen of a unit that is being watched.
#[derive(Debug, Default)]
struct Watch {
    /// How often it had been restarted when it was active last.
    active_after: Option<u32>,
    /// The same when it was at rest last, which it is for a moment before it is started again.
    inactive_after: Option<u32>,
    /// How it went wrong last, where systemd starts it again.
    failed: Option<Outcome>,
    /// Whether its program was still to be executed at the last look.
    was_only_forked: bool,
}

impl Watch {
    fn judge(&mut self, job: JobResult, run: Outcome) -> Verdict {
        match &*run.state.active {
            "failed" => {
                let what = format!("systemd reports {} ({})", run.state.active, run.state.sub);
                Verdict::Failed(worded(&what, &run))
            }
            "active" if run.only_forked => {
                self.was_only_forked = true;
                Verdict::Open
            }
            // Its program may have begun just now.
            "active" if std::mem::take(&mut self.was_only_forked) => Verdict::Open,
            // One that was restarted has to last from one look to the next, also at rest.
            "active" | "reloading" | "refreshing" => {
                let before = self.active_after.replace(run.restarts);
                let lasts = run.restarts == 0 || before == Some(run.restarts);
                if lasts { Verdict::Started } else { Verdict::Open }
            }
            "inactive" => {
                let before = self.inactive_after.replace(run.restarts);
                if run.restarts > 0 && before != Some(run.restarts) {
                    return Verdict::Open;
                }
                why_not_started(job)
                    .map_or(Verdict::Started, |why| Verdict::Failed(worded(why, &run)))
            }
            // It has run to its end, and is started anew by its own rule.
            _ if run.restarts_soon() && !run.went_wrong() => Verdict::Started,
            _ => {
                if run.went_wrong() {
                    self.failed = Some(run);
                }
                Verdict::Open
            }
        }
    }

    /// What it comes to when nothing certain was seen.
    fn at_its_end(self, job: JobResult) -> Option<String> {
        match self.failed {
            Some(run) => Some(worded("it is in a restart loop", &run)),
            None if self.active_after.or(self.inactive_after).is_some() => {
                Some("it is in a restart loop".to_owned())
            }
            None => why_not_started(job).map(str::to_owned),
        }
    }
}

fn worded(what: &str, run: &Outcome) -> String {
    let how = run.how();
    let how = if how.is_empty() { how } else { format!(": {how}") };
    let restarts = match run.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    format!("{what}{how}{restarts}")
}

#[cfg(test)]
mod tests {
    use fleet_core::UnitState;

    use super::*;
    use crate::Exit;

    /// A look: active and sub state, result and restarts.
    fn run((active, sub, result, restarts): (&str, &str, &str, u32)) -> Outcome {
        let state = UnitState { load: "loaded".into(), active: active.into(), sub: sub.into() };
        let exit = (result == "exit-code").then_some(Exit::Status(3));
        Outcome { state, result: result.into(), exit, restarts, ..Outcome::default() }
    }

    #[test]
    fn a_start_is_open_until_the_program_has_run_from_one_look_to_the_next() {
        let look = |active: &str, only_forked| {
            let state = UnitState { active: active.into(), ..UnitState::default() };
            Outcome { state, only_forked, ..Outcome::default() }
        };
        let mut watch = Watch::default();
        for _ in 0..2 {
            assert_eq!(watch.judge(JobResult::Done, look("active", true)), Verdict::Open);
        }
        assert_eq!(watch.judge(JobResult::Done, look("active", false)), Verdict::Open);
        assert_eq!(watch.judge(JobResult::Done, look("active", false)), Verdict::Started);

        assert_eq!(watch.judge(JobResult::Done, look("active", true)), Verdict::Open);
        let failed = watch.judge(JobResult::Done, look("failed", false));
        assert!(matches!(failed, Verdict::Failed(_)), "{failed:?}");
        // What systemd calls active for all of the watch counts.
        let mut watch = Watch::default();
        assert_eq!(watch.judge(JobResult::Done, look("active", true)), Verdict::Open);
        assert_eq!(watch.at_its_end(JobResult::Done), None);
    }

    #[test]
    fn a_start_is_judged_by_its_job_and_by_what_is_seen_then() {
        use JobResult::{Dependency, Done, Failed, Lost};
        type Looks<'a> = &'a [(&'a str, &'a str, &'a str, u32)];
        const RUNS: (&str, &str, &str, u32) = ("active", "running", "", 0);
        const AGAIN: (&str, &str, &str, u32) = ("activating", "auto-restart", "exit-code", 1);
        let rows: &[(JobResult, Looks<'_>, &str)] = &[
            (Done, &[RUNS], "started"),
            (Done, &[("active", "exited", "", 0)], "started"),
            (Done, &[("inactive", "dead", "", 0)], "started"),
            (Lost, &[("inactive", "dead", "", 0)], "started"),
            (Dependency, &[("inactive", "dead", "", 0)], "what it depends on could not be started"),
            (
                Done,
                &[("failed", "failed", "exit-code", 0)],
                "systemd reports failed (failed): exit-code, status 3",
            ),
            (
                Failed,
                &[AGAIN, ("activating", "start-pre", "success", 2), AGAIN],
                "it is in a restart loop: exit-code, status 3, restarted once",
            ),
            // It came up after all.
            (
                Failed,
                &[AGAIN, ("active", "running", "", 2), ("active", "running", "", 2)],
                "started",
            ),
            // Only for a moment, each time.
            (
                Done,
                &[("active", "running", "", 4), ("active", "running", "", 9)],
                "it is in a restart loop",
            ),
            // At rest between two runs, at every look.
            (
                Done,
                &[("inactive", "dead", "", 1), ("inactive", "dead", "", 2), AGAIN],
                "it is in a restart loop: exit-code, status 3, restarted once",
            ),
            // It failed, and then ran to its end.
            (Done, &[AGAIN, ("inactive", "dead", "", 1), ("inactive", "dead", "", 1)], "started"),
            // What ends well may be started anew for ever.
            (Done, &[("activating", "auto-restart", "success", 1)], "started"),
            (Failed, &[("activating", "start", "success", 0)], "its start failed"),
            (Lost, &[("activating", "start", "success", 0)], "started"),
        ];
        for (job, looks, expected) in rows {
            let mut watch = Watch::default();
            let verdict = looks
                .iter()
                .map(|look| watch.judge(*job, run(*look)))
                .find(|v| *v != Verdict::Open);
            let found = match verdict {
                Some(Verdict::Failed(why)) => Some(why),
                Some(_) => None,
                None => watch.at_its_end(*job),
            };
            assert_eq!(found.as_deref().unwrap_or("started"), *expected, "{job:?} {looks:?}");
        }
    }
}
