//! A large cluster in real time, and what it costs: a real etcd, one real fleetd with engine and API, and
//! as many real agents as there are machines, each with its own connection, over service managers that
//! are played.
//!
//! ```text
//!   scale (this process)                     scale-control        scale-agents
//!   ├─ users: requests, lists ──unix socket──▶ API, engine,       N − 1 agents
//!   ├─ observer ◀──────────────── etcd ◀─────── one agent ─┐        │
//!   └─ reads /proc and /metrics    ▲                       │        │ N − 1 connections
//!                                  └───────────────────────┴────────┘
//! ```
//!
//! Each role is a process, so that processor time and memory are told apart. The parts of a run are
//! carried out one after the other, and measured in the same way; at the end every unit is verified.

mod child;
mod cluster;
mod facts;
mod host;
mod observer;
mod options;
mod parts;
mod plot;
mod process;
mod progress;
mod recorder;
mod report;
mod role;
mod submit;
mod usage;
mod verify;
mod workload;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::SystemTime,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

pub use options::{Options, Part};
pub use process::{agents, control};
pub use report::{Figure, PartReport, Report, Settings};
pub use role::Setup;

use cluster::{Cluster, Readings};
use progress::Progress;
use recorder::Recorder;
use report::{Cost, Costs};
use usage::Used;
use verify::{Expected, verify};

/// Runs a cluster as it is asked for, or plots what earlier runs have shown.
#[must_use]
pub fn main(options: &Options) -> ExitCode {
    let result = if options.runs.is_empty() {
        options.sizes().iter().map(measured).collect()
    } else {
        read_all(options)
    };
    let result = result.and_then(|reports: Vec<Report>| {
        if let Some(folder) = &options.plot {
            plot::plot(folder, &reports).map_err(|error| format!("can't plot: {error}"))?;
        }
        Ok(reports.iter().all(Report::is_sound))
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody may read it any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measured(options: &Options) -> Result<Report, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let report = run(options, &program)?;
    if let Some(file) = &options.json {
        let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
        folder.map_err(|error| format!("{}: {error}", file.display()))?;
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
    }
    write!(io::stdout(), "{report}").map_err(|error| error.to_string())?;
    Ok(report)
}

fn read_all(options: &Options) -> Result<Vec<Report>, String> {
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let named = |file| read(file).map_err(|error| format!("{}: {error}", file.display()));
    options.runs.iter().map(named).collect()
}

/// Runs a cluster and measures it. `program` is what has the roles of its processes.
///
/// # Errors
/// It can't be run.
pub fn run(options: &Options, program: &Path) -> Result<Report, String> {
    if options.machines < 2 {
        return Err("a cluster has two machines at least".to_owned());
    }
    facts::raise_file_limit();
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(|error| error.to_string());
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        tokio::select! {
            biased;
            _ = terminate.recv() => Err("told to end".to_owned()),
            _ = interrupt.recv() => Err("told to end".to_owned()),
            report = measure(options, program) => report,
        }
    })
}

async fn measure(options: &Options, program: &Path) -> Result<Report, String> {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = at.map_or(0, |time| time.as_secs());
    let mut report =
        Report { at, host: facts::host(), settings: Settings::of(options), ..Report::default() };
    let mut progress = Progress::new();
    progress.begin("starting etcd", None);
    let mut cluster = Cluster::start(options.clone(), program).await?;
    for part in options.parts() {
        progress.begin(&part.name(), Some(cluster.observer.follow_counts()));
        let measured = measure_part(part, &mut cluster).await?;
        progress.end(&measured);
        let is_over = measured.problem.is_some();
        report.parts.push(measured);
        if is_over {
            break;
        }
    }
    progress.begin("verifying", None);
    let seen = cluster.observer.picture().await?;
    let running = cluster.running().await?;
    let expected =
        Expected { workload: cluster.workload, units: &cluster.units, alive: &cluster.alive };
    (report.broken, report.verified) = (verify(&expected, &seen, &running), cluster.units.len());
    progress.finish();
    Ok(report)
}

async fn measure_part(part: Part, cluster: &mut Cluster) -> Result<PartReport, String> {
    let before = cluster.read().await?;
    // There is nothing to be listed at first, and what is idle isn't to be disturbed.
    let has_users = !matches!(part, Part::Register | Part::Idle | Part::Leader);
    let api = has_users.then(|| cluster.api());
    let recorder = Recorder::start(cluster.observer.follow_counts(), api);
    let began = Instant::now();
    let result = parts::carry_out(part, cluster).await;
    let seconds = began.elapsed().as_secs_f64();
    let (timeline, pages) = recorder.stop().await;
    let costs = costs(&before, &cluster.read().await?);
    let (figures, problem) = match result {
        Ok(figures) => (figures, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    Ok(PartReport { part, seconds, figures, costs, pages, timeline, problem })
}

fn costs(before: &Readings, now: &Readings) -> Costs {
    let cost = |before: Used, now: Used| Cost {
        cpu: (now.cpu - before.cpu).max(0.0),
        ran: (now.ran - before.ran).max(0.0),
        wakes: (now.wakes - before.wakes).max(0.0),
        peak: now.peak,
        resident: now.resident,
    };
    Costs {
        engine: cost(before.engine, now.engine),
        agents: cost(before.agents, now.agents),
        etcd: cost(before.etcd, now.etcd),
        counts: now.counts.since(&before.counts),
        starts: now.told.starts.saturating_sub(before.told.starts),
        stops: now.told.stops.saturating_sub(before.told.stops),
        leases_lost: now.seen.gone - before.seen.gone,
        moved: now.seen.moved - before.seen.moved,
    }
}
