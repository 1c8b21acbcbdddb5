//! Makes plans, and answers questions, where that blocks no one: on threads of their own.
//!
//! They work on the cluster as it was when they began, which is shared and not copied. Whoever waits
//! for a plan goes on to answer questions, and says when it takes long, and for whom.

use std::{collections::BTreeSet, panic, sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_runtime::threads;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
    time::{self, Instant},
};
use tracing::warn;

use crate::{
    cluster::{Cluster, Marks},
    metrics::{LongPass, SharedMetrics},
    pace::{Bounded, Progress},
    plan::{Absent, Plan, plan_within},
    status::Query,
};

/// Questions that are answered or wait at a time; more than that wait at the asker's.
pub(crate) const QUERIES: usize = 16;

/// The time a pass may think. It holds up nobody but the units that wait for a decision.
pub(crate) const THINKING: Duration = Duration::from_secs(2);

/// A pass that thinks for so long is told of, and again every time that has passed.
const LONG: Duration = Duration::from_secs(1);

/// Questions to the engine, and the threads that answer them.
pub(crate) struct Answers {
    queries: mpsc::Receiver<Query>,
    running: JoinSet<()>,
}

impl Answers {
    pub(crate) fn new(queries: mpsc::Receiver<Query>) -> Self {
        Self { queries, running: JoinSet::new() }
    }

    /// The next question, when there is a thread for it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Query {
        while self.running.len() >= QUERIES {
            drop(self.running.join_next().await);
        }
        match self.queries.recv().await {
            Some(query) => query,
            None => std::future::pending().await,
        }
    }

    /// Has a question answered about `cluster`.
    pub(crate) fn answer(&mut self, query: Query, cluster: Arc<Cluster>) {
        while self.running.try_join_next().is_some() {}
        threads::spawn_on(&mut self.running, move || query.answer(&cluster));
    }
}

/// What a plan is made of.
pub(crate) struct PlanInput {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) absent: Absent,
    pub(crate) resting: BTreeSet<UnitName>,
    pub(crate) marks: Marks,
    /// For how long to think at most.
    pub(crate) time: Duration,
}

/// Ends the thread's work when nobody waits for it any more.
struct AbandonOnDrop(Arc<Progress>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Makes a plan on another thread, and meanwhile answers questions.
pub(crate) async fn think(
    input: PlanInput,
    answers: &mut Answers,
    metrics: &SharedMetrics,
) -> Plan {
    let progress = Arc::new(Progress::default());
    let _abandon = AbandonOnDrop(Arc::clone(&progress));
    let cluster = Arc::clone(&input.cluster);
    let mut pace = Bounded::new(input.time, Arc::clone(&progress));
    let thread = threads::spawn(move || {
        let PlanInput { cluster, absent, resting, marks, .. } = input;
        plan_within(&cluster, absent, &resting, marks, &mut pace)
    });
    await_plan(thread, &progress, &cluster, answers, metrics).await
}

async fn await_plan(
    mut thread: JoinHandle<Plan>,
    progress: &Progress,
    cluster: &Arc<Cluster>,
    answers: &mut Answers,
    metrics: &SharedMetrics,
) -> Plan {
    let started = Instant::now();
    let mut next = started + LONG;
    let plan = loop {
        tokio::select! {
            biased;
            plan = &mut thread => break plan,
            () = time::sleep_until(next) => {
                next = Instant::now() + LONG;
                tell(progress, started.elapsed(), metrics);
            }
            query = answers.next() => answers.answer(query, Arc::clone(cluster)),
        }
    };
    metrics.change(|metrics| metrics.long_pass = None);
    match plan.map_err(JoinError::try_into_panic) {
        Ok(plan) => plan,
        Err(Ok(panic)) => panic::resume_unwind(panic),
        // The runtime ends, and everything with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Says that a pass takes long, and for whom.
fn tell(progress: &Progress, time: Duration, metrics: &SharedMetrics) {
    let unit = progress.unit().map(|unit| unit.to_string()).unwrap_or_default();
    warn!(%unit, ?time, "a pass takes long, it is at this unit");
    metrics.change(|metrics| metrics.long_pass = Some(LongPass { unit, time }));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as threads;

    use tokio::sync::oneshot;

    use super::*;
    use crate::{plan::Pace as _, plan::Sweep};

    /// In real time: what a thread does takes none of a paused clock's.
    #[tokio::test]
    async fn a_long_pass_is_told_of_with_its_unit_and_questions_are_answered_meanwhile() {
        let (asker, queries) = mpsc::channel(QUERIES);
        let (mut answers, metrics) = (Answers::new(queries), SharedMetrics::default());
        let (progress, cluster) = (Arc::new(Progress::default()), Arc::default());
        let unit: UnitName = "greedy.service".parse().unwrap();
        let mut pace = Bounded::new(THINKING, Arc::clone(&progress));
        let (end, ended) = threads::channel();
        let at = unit.clone();
        let thread = fleet_runtime::threads::spawn(move || {
            assert!(pace.has_time(Sweep::Leaving, &at));
            ended.recv().unwrap();
            Plan { unplaced: vec![at], ..Plan::default() }
        });
        let watched = metrics.clone();
        let meanwhile = async move {
            let (reply, answer) = oneshot::channel();
            asker.send(Query::new("a.service".parse().unwrap(), reply)).await.unwrap();
            assert_eq!(answer.await.unwrap(), None);
            while watched.read().long_pass.is_none() {
                time::sleep(Duration::from_millis(10)).await;
            }
            end.send(()).unwrap();
            watched.read().long_pass
        };
        let waiting = await_plan(thread, &progress, &cluster, &mut answers, &metrics);
        let (plan, long) = tokio::join!(waiting, meanwhile);
        assert_eq!(plan.unplaced, [unit]);
        let long = long.unwrap();
        assert!(long.unit == "greedy.service" && long.time >= LONG, "{long:?}");
        assert_eq!(metrics.read().long_pass, None);
    }
}
