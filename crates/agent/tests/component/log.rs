//! The log lines that people and scripts look for (`fleetd.md` 4, `cluster.md` 5).

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use fleet_agent::fake::Operation;
use fleet_core::JobState::{Launched, Loaded};
use fleet_store::{Op, Store, Txn};
use tracing::subscriber::DefaultGuard;

use crate::world::{Cluster, Host, RUNS, hash, name};

/// What is logged on this thread at info and above.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn start() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn of_units(&self) -> Vec<String> {
        self.with(&["AgentReconciler", "Stopped unit"])
    }

    /// The lines that have one of these texts in them.
    fn with(&self, texts: &[&str]) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let about = |line: &&str| texts.iter().any(|text| line.contains(text));
        all.lines().filter(about).map(|line| line.trim().to_owned()).collect()
    }
}

fn done(task: &str, unit: &str, reason: &str) -> String {
    format!("INFO AgentReconciler completed task: type={task} job={unit} reason=\"{reason}\"")
}

#[tokio::test(start_paused = true)]
async fn tasks_are_logged_with_type_job_and_reason() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let (lines, _guard) = Lines::start();
    let daemon = host.boot(&cluster).await;
    cluster.bring_up("a.service", RUNS).await;
    cluster.want("a.service", Loaded).await;
    cluster.shows("a.service", "inactive", Loaded).await;
    let other = "[Service]\nExecStart=/bin/sleep 7\n";
    cluster.submit("a.service", other, Launched).await;
    cluster.runs("a.service", other).await;
    cluster.destroy("a.service").await;
    cluster.shows_nothing("a.service").await;
    cluster.bring_up("b.service", RUNS).await;
    daemon.stop().await.purge().await;

    let load = |unit| done("LoadUnit", unit, "unit scheduled here but not loaded");
    let start =
        |unit| done("StartUnit", unit, "unit currently loaded but desired state is launched");
    let stop = "unit currently launched but desired state is loaded";
    let expected = [
        load("a.service"),
        start("a.service"),
        done("StopUnit", "a.service", stop),
        "INFO Stopped unit(a.service)".to_owned(),
        done("UnloadUnit", "a.service", "unit loaded but hash differs to expected"),
        load("a.service"),
        start("a.service"),
        "INFO Stopped unit(a.service)".to_owned(),
        done("UnloadUnit", "a.service", "unit loaded but not scheduled here"),
        load("b.service"),
        start("b.service"),
        "INFO Stopped unit(b.service)".to_owned(),
        done("UnloadUnit", "b.service", "purging agent"),
    ];
    assert_eq!(lines.of_units(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_says_why_and_does_not_fill_the_log() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let (lines, _guard) = Lines::start();
    let _daemon = host.boot(&cluster).await;
    host.manager.refuse(&name("bad.service"), Operation::Load, "no room");
    cluster.launch("bad.service", RUNS).await;
    tokio::time::sleep(std::time::Duration::from_secs(24 * 3600)).await;
    let lines = lines.of_units();
    let failed = "INFO AgentReconciler task failed: type=LoadUnit job=bad.service \
                  reason=\"unit scheduled here but not loaded\" err=no room";
    assert!(lines.iter().all(|line| line == failed), "{lines:#?}");
    assert!((2..15).contains(&lines.len()), "{} lines in a day", lines.len());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nobody_understands_is_an_error_once() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let (lines, _guard) = Lines::start();
    let _daemon = host.boot(&cluster).await;
    let why = cluster.garble("schedule/m1/a.service").await;
    cluster.tells("a.service", Some(&why)).await;
    cluster.bring_up("b.service", RUNS).await;
    let said =
        format!("ERROR order can't be understood, unit stays as it is unit=a.service reason={why}");
    assert_eq!(lines.with(&["a.service"]), [said]);
}

#[tokio::test(start_paused = true)]
async fn a_content_that_does_not_lex_and_a_stop_that_is_refused_are_told() {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let (lines, _guard) = Lines::start();
    host.boot(&cluster).await.kill().await;
    cluster.launch("odd.service", RUNS).await;
    let (key, value) = ("/fleet/file/odd.service".into(), b"[Service".to_vec());
    let then = vec![Op::Put { key, value, lease: None }];
    cluster.store.commit(Txn { compare: vec![], then }).await.unwrap();
    let _daemon = host.boot(&cluster).await;
    cluster.bring_up("kept.service", RUNS).await;
    host.manager.refuse(&name("kept.service"), Operation::Stop, "not now");
    cluster.destroy("kept.service").await;
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;

    let odd = lines.with(&["error parsing"]);
    let hash = hash(RUNS);
    let said = format!("ERROR error parsing Unit({hash}): unable to find end of section");
    assert!(!odd.is_empty() && odd.iter().all(|line| line.starts_with(&said)), "{odd:#?}");
    let kept = lines.with(&["TriggerStop"]);
    let said = "WARN TriggerStop on systemd unit kept.service returned: not now";
    assert!(kept.iter().all(|line| line == said), "{kept:#?}");
    assert!((2..10).contains(&kept.len()), "{kept:#?}");
}
