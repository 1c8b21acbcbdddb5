//! Who waits for which of systemd's jobs.
//!
//! A job may end before the call that queued it has returned to its caller. So while such calls
//! are under way, ends are kept for a while: [`Jobs::expect`] before the call, [`Jobs::register`]
//! after it.

use std::collections::{HashMap, VecDeque};

use fleet_agent::manager::{Job, JobResult};
use tokio::sync::oneshot;

/// How many ends are kept for calls that are under way. Those of foreign units count too; a host
/// ends a few dozen jobs in the time of a call.
const KEPT: usize = 1024;

/// Counts connections: what belongs to an earlier one is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    epoch: u64,
    /// Calls under way that will have queued a job.
    calls: usize,
    ended: VecDeque<(u32, JobResult)>,
    waiting: HashMap<u32, Vec<oneshot::Sender<JobResult>>>,
}

impl Jobs {
    /// A call that queues a job begins; [`settle`](Self::settle) follows, whatever comes of it.
    pub(crate) fn expect(&mut self) -> Epoch {
        self.calls += 1;
        Epoch(self.epoch)
    }

    /// The call has ended.
    pub(crate) fn settle(&mut self) {
        self.calls = self.calls.saturating_sub(1);
        if self.calls == 0 {
            self.ended.clear();
        }
    }

    /// The job `id` that a call of `epoch` queued.
    pub(crate) fn register(&mut self, epoch: Epoch, id: u32) -> Job {
        let (tell, job) = Job::new(id);
        if epoch.0 != self.epoch {
            let _ = tell.send(JobResult::Lost);
        } else if let Some((_, result)) = self.ended.iter().find(|(ended, _)| *ended == id) {
            let _ = tell.send(*result);
        } else {
            // Callers stop waiting when their time is up; their jobs may never end.
            self.waiting.retain(|_, waiting| {
                waiting.retain(|tell| !tell.is_closed());
                !waiting.is_empty()
            });
            self.waiting.entry(id).or_default().push(tell);
        }
        job
    }

    /// systemd said that a job ended.
    pub(crate) fn ended(&mut self, id: u32, result: JobResult) {
        for tell in self.waiting.remove(&id).into_iter().flatten() {
            let _ = tell.send(result); // the waiter may have gone
        }
        // Also when somebody waited: another call may be about to learn that it joined this job.
        if self.calls > 0 {
            self.ended.truncate(KEPT - 1);
            self.ended.push_front((id, result));
        }
    }

    /// Whether anybody waits for the end of a job.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting.values().flatten().any(|tell| !tell.is_closed())
    }

    /// The connection broke: nothing more will be heard of the jobs so far.
    pub(crate) fn lose(&mut self) {
        self.epoch += 1;
        self.ended.clear();
        for tell in self.waiting.drain().flat_map(|(_, waiting)| waiting) {
            let _ = tell.send(JobResult::Lost);
        }
    }
}

/// Reads the result of a job as systemd writes it.
pub(crate) fn parse_result(result: &str) -> JobResult {
    match result {
        "done" => JobResult::Done,
        "failed" => JobResult::Failed,
        "dependency" => JobResult::Dependency,
        "canceled" => JobResult::Canceled,
        "timeout" => JobResult::TimedOut,
        "skipped" => JobResult::Skipped,
        _ => JobResult::NotRun, // assert, unsupported, once, and what may come
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn job_that_ends_before_its_call_returns_is_not_missed() {
        let mut jobs = Jobs::default();
        let epoch = jobs.expect();
        jobs.ended(7, JobResult::Failed);
        jobs.ended(8, JobResult::Done);
        let job = jobs.register(epoch, 7);
        jobs.settle();
        assert_eq!(job.wait().await, JobResult::Failed);
        assert!(jobs.ended.is_empty() && jobs.waiting.is_empty());
    }

    #[tokio::test]
    async fn job_that_ends_later_tells_its_waiter() {
        let mut jobs = Jobs::default();
        let epoch = jobs.expect();
        let job = jobs.register(epoch, 7);
        jobs.settle();
        jobs.ended(7, JobResult::Done);
        assert_eq!(job.wait().await, JobResult::Done);
        assert!(jobs.ended.is_empty(), "nobody is under way");
    }

    #[tokio::test]
    async fn calls_that_share_a_job_both_learn_its_end() {
        let mut jobs = Jobs::default();
        let (first, second) = (jobs.expect(), jobs.expect());
        let early = jobs.register(first, 7);
        jobs.settle();
        jobs.ended(7, JobResult::Done);
        let late = jobs.register(second, 7);
        assert_eq!(early.wait().await, JobResult::Done);
        assert_eq!(late.wait().await, JobResult::Done);
    }

    #[tokio::test]
    async fn broken_connection_loses_jobs_and_calls_under_way() {
        let mut jobs = Jobs::default();
        let epoch = jobs.expect();
        let waiting = jobs.register(epoch, 7);
        let under_way = jobs.expect();
        jobs.lose();
        jobs.ended(8, JobResult::Done);
        let late = jobs.register(under_way, 8);
        assert_eq!(waiting.wait().await, JobResult::Lost);
        assert_eq!(late.wait().await, JobResult::Lost);
    }

    #[test]
    fn ends_are_kept_within_bounds_and_abandoned_waits_are_dropped() {
        let mut jobs = Jobs::default();
        let epoch = jobs.expect();
        for id in 0..5000 {
            jobs.ended(id, JobResult::Done);
        }
        assert_eq!(jobs.ended.len(), KEPT);
        drop(jobs.register(epoch, 9000));
        let kept = jobs.register(epoch, 9001);
        assert_eq!(jobs.waiting.len(), 1);
        drop(kept);
    }

    #[test]
    fn results_are_read_as_systemd_writes_them() {
        for (text, result) in [
            ("done", JobResult::Done),
            ("failed", JobResult::Failed),
            ("canceled", JobResult::Canceled),
            ("timeout", JobResult::TimedOut),
            ("dependency", JobResult::Dependency),
            ("skipped", JobResult::Skipped),
            ("assert", JobResult::NotRun),
            ("new in 2040", JobResult::NotRun),
        ] {
            assert_eq!(parse_result(text), result, "{text}");
        }
    }
}
