//! Whole lists, by the API and by fleetctl.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::Command,
    time::{self, Instant},
};

use super::Measured;
use crate::scale::{
    cluster::Cluster,
    report::{Figure, Spread},
};

/// How often each is asked for.
const TIMES: usize = 5;

/// How long a fleetctl may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked of fleetctl.
const COMMANDS: [&str; 3] = ["list-units", "list-unit-files", "list-machines"];

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let client = cluster.api().client()?;
    let mut figures = Vec::new();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..TIMES {
        let asked = Instant::now();
        let states = client.states().await.map_err(|error| error.to_string())?;
        times[0].push(asked.elapsed().as_secs_f64() * 1e3);
        let asked = Instant::now();
        let units = client.units().await.map_err(|error| error.to_string())?;
        times[1].push(asked.elapsed().as_secs_f64() * 1e3);
        let found = (states.len(), units.len());
        if found != (cluster.units.len(), cluster.units.len()) {
            return Err(format!("lists have {found:?} of {}", cluster.units.len()));
        }
    }
    for (name, times) in ["state", "units"].into_iter().zip(times) {
        let spread = Spread::of(times, 0);
        figures.push(Figure::new(&format!("whole list of {name}, median"), spread.median, "ms"));
    }
    let Some(fleetctl) = fleetctl(cluster) else { return Ok(figures) };
    for command in COMMANDS {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(asked(&fleetctl, &cluster.api().url(), command).await?);
        }
        let spread = Spread::of(times, 0);
        figures.push(Figure::new(&format!("fleetctl {command}, median"), spread.median, "ms"));
    }
    Ok(figures)
}

/// The fleetctl that is to be asked, or the one beside this program.
pub(super) fn fleetctl(cluster: &Cluster) -> Option<PathBuf> {
    let beside = || {
        let path = std::env::current_exe().ok()?.with_file_name("fleetctl");
        path.is_file().then_some(path)
    };
    cluster.options.fleetctl.clone().or_else(beside)
}

/// How long a command of fleetctl takes, in milliseconds.
pub(super) async fn asked(fleetctl: &Path, url: &str, command: &str) -> Result<f64, String> {
    let began = Instant::now();
    let mut process = Command::new(fleetctl)
        .args(["--endpoint", url, command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{}: {error}", fleetctl.display()))?;
    let ended = time::timeout(PATIENCE, process.wait()).await;
    let status = ended.map_err(|_| format!("fleetctl {command} does not end"))?;
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        Ok(began.elapsed().as_secs_f64() * 1e3)
    } else {
        Err(format!("fleetctl {command}: {status}"))
    }
}
