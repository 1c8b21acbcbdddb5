//! What a leading engine does to the cluster, and what it says and counts.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use fleet_core::JobState;
use fleet_engine::SharedMetrics;
use tokio::time::Instant;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::lab::{INTERVAL, Lab, Mode, TTL, eventually, leads, pass};

#[tokio::test(start_paused = true)]
async fn units_are_scheduled_as_they_come_and_unscheduled_as_they_go() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    lab.create("early.service", "").await;
    let engine = lab.engine("m1");
    lab.scheduled("early.service", "m1").await;
    lab.create("late.service", "").await;
    let took = lab.scheduled("late.service", "m2").await;
    assert!(took < Duration::from_millis(20), "on change, not by timer: {took:?}");
    lab.set_desired_state("early.service", JobState::Inactive).await;
    lab.scheduled("early.service", "").await;
    engine.stop();
}

#[tokio::test(start_paused = true)]
async fn without_watches_units_are_scheduled_and_leadership_passes_on_by_period() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    lab.disable_watches = true;
    let first = lab.engine("m1");
    leads(&first).await;
    let second = lab.engine("m2");
    pass(INTERVAL / 4).await;
    lab.create("a.service", "").await;
    let took = lab.scheduled("a.service", "m1").await;
    assert!(took > INTERVAL / 2 && took <= INTERVAL, "{took:?}");
    first.stop();
    leads(&second).await;
    lab.create("b.service", "").await;
    lab.scheduled("b.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn units_of_a_machine_that_is_gone_run_elsewhere() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let doomed = lab.machine("m0", &[]).await;
    let _engine = lab.engine("m1");
    lab.create("u.service", "").await;
    lab.scheduled("u.service", "m0").await;
    lab.leave(&doomed).await;
    lab.scheduled("u.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn without_any_machine_units_wait_for_the_first() {
    let mut lab = Lab::new();
    let engine = lab.engine("m1");
    lab.create("u.service", "").await;
    leads(&engine).await;
    pass(2 * INTERVAL).await;
    lab.machine("m1", &[]).await;
    lab.scheduled("u.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn stale_decision_is_refused_and_taken_anew() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let engine = lab.engine("m1");
    leads(&engine).await;
    engine.line.set(Mode::Held);
    lab.create("u.service", "").await;
    lab.create("v.service", "").await;
    eventually("a decision is on the way", async || !engine.line.held().is_empty()).await;
    lab.set_desired_state("u.service", JobState::Loaded).await;
    engine.line.set(Mode::Open);
    lab.scheduled("u.service", "m1").await;
    lab.scheduled("v.service", "m1").await;
    assert_eq!(lab.record("u.service").await.value.desired_state, JobState::Loaded);
    eventually("the refusal is counted", async || {
        engine.handle.metrics().task_failures.schedule > 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn decision_whose_answer_is_lost_counts_once_seen() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let engine = lab.engine("m1");
    leads(&engine).await;
    engine.line.set(Mode::Held);
    lab.create("u.service", "").await;
    eventually("a decision is on the way", async || !engine.line.held().is_empty()).await;
    lab.store.lose_next_answer();
    engine.line.set(Mode::Open);
    lab.scheduled("u.service", "m1").await;
    let before = lab.record("u.service").await;
    pass(5 * INTERVAL).await;
    assert_eq!(lab.record("u.service").await, before);
    let metrics = engine.handle.metrics();
    assert_eq!((metrics.tasks.schedule, metrics.task_failures.schedule), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_engine_goes_on_with_the_metrics_of_the_one_before_it() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    lab.metrics = Some(SharedMetrics::default());
    for unit in ["a.service", "b.service"] {
        let engine = lab.engine("m1");
        lab.create(unit, "").await;
        lab.scheduled(unit, "m1").await;
        leads(&engine).await;
        engine.stop();
    }
    let metrics = lab.metrics.unwrap_or_default().read();
    assert_eq!(metrics.tasks.schedule, 2);
    assert!(metrics.passes >= 2 && metrics.leader_start_time > 0, "{metrics:?}");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_units_are_spread_evenly_and_then_left_alone() {
    let mut lab = Lab::with_machines(&["m1", "m2", "m3"]).await;
    for unit in 0..200 {
        lab.create(&format!("u{unit}.service"), "").await;
    }
    let engine = lab.engine("m1");
    eventually("all scheduled", async || engine.handle.metrics().tasks.schedule >= 200).await;
    let mut loads = [0; 3];
    for unit in 0..200 {
        let target = lab.target(&format!("u{unit}.service")).await;
        loads[["m1", "m2", "m3"].iter().position(|machine| *machine == target).unwrap()] += 1;
    }
    assert_eq!(loads, [67, 67, 66]);
    let revision = lab.store.revision();
    let passes = engine.handle.metrics().passes;
    pass(10 * INTERVAL).await;
    assert_eq!(lab.store.revision(), revision, "an idle cluster is written to");
    let metrics = engine.handle.metrics();
    assert_eq!((metrics.tasks.schedule, metrics.task_failures.schedule), (200, 0));
    assert!((passes + 8..=passes + 12).contains(&metrics.passes), "{metrics:?}");
    assert!(metrics.leader_start_time > 0);
    assert_eq!(metrics.durations.counts.iter().sum::<u64>(), metrics.passes);
}

#[tokio::test(start_paused = true)]
async fn replaced_units_move_while_the_new_one_stays() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let _engine = lab.engine("m1");
    lab.create("old.service", "").await;
    lab.scheduled("old.service", "m1").await;
    lab.create("other1.service", "").await;
    lab.create("other2.service", "MachineID=m2").await;
    lab.scheduled("other2.service", "m2").await;
    lab.create("new.service", "Replaces=old.service").await;
    lab.scheduled("new.service", "m1").await;
    lab.scheduled("old.service", "m2").await;
    assert_eq!(lab.target("new.service").await, "m1");
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        let text = self.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    fn have(&self, line: &str) -> bool {
        self.all().iter().any(|found| found == line)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn log_lines_are_those_that_people_grep_for() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut lab = Lab::with_machines(&["m1"]).await;
    let first = lab.engine("m1");
    leads(&first).await;
    lab.create("u.service", "Conflicts=u[").await;
    lab.scheduled("u.service", "m1").await;
    lab.set_desired_state("u.service", JobState::Inactive).await;
    lab.scheduled("u.service", "").await;
    let malformed = "DEBUG Received error while matching pattern 'u[': syntax error in pattern \
                     unit=u.service";
    assert_eq!(lines.all().iter().filter(|line| *line == malformed).count(), 1, "not every time");
    let second = lab.engine("m2");
    eventually("followed", async || second.handle.leader().is_some()).await;
    first.line.set(Mode::Cut);
    leads(&second).await;
    for line in [
        " INFO Engine leadership acquired",
        " INFO Engine leader is m1",
        " INFO Scheduled Unit(u.service) to Machine(m1)",
        " INFO EngineReconciler completed task: {Type: AttemptScheduleUnit, \
         JobName: u.service, MachineID: m1, \
         Reason: \"target state launched and unit not scheduled\"}",
        " INFO Unscheduled Job(u.service) from Machine(m1)",
        " INFO EngineReconciler completed task: {Type: UnscheduleUnit, \
         JobName: u.service, MachineID: m1, Reason: \"target state inactive\"}",
        "ERROR Engine leadership lost, renewal failed: store is unavailable: the line is cut",
        " INFO Engine leadership changed from m1 to m2",
    ] {
        assert!(lines.have(line), "{line}\nis not in\n{}", lines.all().join("\n"));
    }
    let passes = lines.all();
    let pass = passes.iter().find(|line| line.contains("Engine completed reconciliation in "));
    assert!(pass.is_some_and(|line| line.starts_with("DEBUG ")), "{pass:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_tried_less_and_less_and_at_once_when_it_changes() {
    let mut lab = Lab::with_machines(&["m1"]).await;
    let engine = lab.engine("m1");
    leads(&engine).await;
    engine.line.set(Mode::Picky);
    lab.create("big.service", "").await;
    lab.create("small.service", "").await;
    lab.scheduled("small.service", "m1").await;
    pass(Duration::from_secs(3600)).await;
    let tries = engine.line.held().len();
    assert!((8..=16).contains(&tries), "{tries} in an hour");
    engine.line.set(Mode::Open);
    lab.set_desired_state("big.service", JobState::Loaded).await;
    let took = lab.scheduled("big.service", "m1").await;
    assert!(took < INTERVAL, "{took:?}");
    engine.stop();
}

#[tokio::test(start_paused = true)]
async fn unit_that_is_moved_again_and_again_stays_for_growing_pauses() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let engine = lab.engine("m1");
    lab.only_here("m1", "m2").await;
    lab.create("u.service", "MachineMetadata=here=yes").await;
    lab.scheduled("u.service", "m1").await;
    for _ in 0..4 {
        lab.only_here("m2", "m1").await;
        assert!(lab.scheduled("u.service", "m2").await < INTERVAL);
        lab.only_here("m1", "m2").await;
        assert!(lab.scheduled("u.service", "m1").await < INTERVAL);
    }
    let before = engine.handle.metrics().tasks.unschedule;
    for _ in 0..300 {
        lab.only_here("m2", "m1").await;
        pass(INTERVAL / 2).await;
        lab.only_here("m1", "m2").await;
        pass(INTERVAL / 2).await;
    }
    let moves = engine.handle.metrics().tasks.unschedule - before;
    assert!((4..=12).contains(&moves), "{moves} in ten minutes");
    lab.only_here("m2", "m1").await;
    lab.replace("u.service", "MachineMetadata=here=yes\nX=1", JobState::Launched).await;
    let took = lab.scheduled("u.service", "m2").await;
    assert!(took < INTERVAL, "new content is moved at once: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn corrupt_record_moves_nobody_and_a_record_without_state_is_inactive() {
    let mut lab = Lab::with_machines(&["m1", "m2"]).await;
    let _engine = lab.engine("m1");
    lab.create("a.service", "MachineID=m2").await;
    lab.create("peer.service", "MachineOf=a.service").await;
    lab.scheduled("peer.service", "m2").await;
    lab.write_record("a.service", "{").await;
    lab.create("later.service", "MachineID=m1").await;
    lab.scheduled("later.service", "m1").await;
    assert_eq!(lab.target("peer.service").await, "m2");
    let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    lab.write_record("a.service", &format!("{{\"hash\":\"{hash}\",\"machine\":\"m2\"}}")).await;
    lab.scheduled("a.service", "").await;
    lab.scheduled("peer.service", "").await;
}

#[tokio::test(start_paused = true)]
async fn engine_that_was_out_of_touch_gives_machines_time_to_return() {
    let mut lab = Lab::with_machines(&["a"]).await;
    let b = lab.machine("b", &[]).await;
    lab.in_touch_since = Instant::now();
    let engine = lab.engine("a");
    leads(&engine).await;
    lab.create("u.service", "").await;
    lab.scheduled("u.service", "a").await;
    lab.create("v.service", "").await;
    lab.scheduled("v.service", "b").await;
    lab.leave(&b).await;
    lab.create("w.service", "").await;
    lab.scheduled("w.service", "a").await;
    assert_eq!(lab.target("v.service").await, "b", "its machine may come back");
    let took = lab.scheduled("v.service", "a").await;
    assert!(took > TTL - INTERVAL && took <= TTL + INTERVAL, "{took:?}");
    engine.stop();
}
