//! Pauses before a start where fleetd has ended early again and again: systemd starts it anew at once
//! (`RestartSec=` in its unit), so that one crash costs nobody anything.
//!
//! Counts its starts in the directory that systemd keeps for it between them, and forgets them when it
//! has run for a while or ends as it was told to. Outside of systemd nobody starts it anew, and nothing is
//! counted.

use std::{convert::Infallible, fs, path::PathBuf, time::Duration};

use fleet_core::Pauses;
use tokio::time;
use tracing::{debug, warn};

/// A fleetd that runs for as long has not ended early. Short, so that one that is killed now and then
/// is back at once each time.
const EARLY: Duration = Duration::from_secs(10);

/// How many starts in a row follow each other without a pause.
const FREE: u32 = 3;

/// The first pause, and the longest: below any `agent_ttl` that moves no units at a restart.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(200), Duration::from_secs(5));

const _: () =
    assert!(PAUSES.longest().as_secs() < EARLY.as_secs(), "a pause is no time that it ran");

/// The starts in a row of which none lasted.
#[derive(Debug)]
pub(crate) struct Starts {
    file: Option<PathBuf>,
}

impl Starts {
    /// Those that are counted where the environment says (`RuntimeDirectory=`, systemd.exec(5)).
    pub(crate) fn new(environment: impl Fn(&str) -> Option<String>) -> Self {
        let directories = environment("RUNTIME_DIRECTORY").unwrap_or_default();
        let first = directories.split(':').next().filter(|first| first.starts_with('/'));
        Self { file: first.map(|first| PathBuf::from(first).join("starts")) }
    }

    /// Counts this one, and waits as long as is right after those before it. Cancel-safe.
    pub(crate) async fn begin(&self) {
        let Some(file) = &self.file else { return };
        let before = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        let before: u32 = before.unwrap_or(0);
        if let Err(error) = fs::write(file, before.saturating_add(1).to_string()) {
            debug!(%error, "starts are not counted");
        }
        let pause = pause_after(before);
        if !pause.is_zero() {
            warn!(starts = before, ?pause, "fleetd has ended early again and again, pausing first");
            time::sleep(pause).await;
        }
    }

    /// Forgets them once this one has lasted. Never ends.
    pub(crate) async fn last(&self) -> Infallible {
        time::sleep(EARLY).await;
        self.forget();
        std::future::pending().await
    }

    /// Forgets them: this one has lasted, or ends as it should.
    pub(crate) fn forget(&self) {
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

fn pause_after(starts: u32) -> Duration {
    starts.checked_sub(FREE).map_or(Duration::ZERO, |earlier| PAUSES.after(earlier))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn starts_in(directory: &std::path::Path) -> Starts {
        let directory = directory.display().to_string();
        Starts::new(|name| (name == "RUNTIME_DIRECTORY").then(|| format!("{directory}:/other")))
    }

    async fn paused(starts: &Starts) -> u128 {
        let before = Instant::now();
        starts.begin().await;
        before.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn starts_in_a_row_are_further_and_further_apart_until_one_lasts() {
        let folder = tempfile::tempdir().unwrap();
        for expected in [0, 0, 0, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert_eq!(paused(&starts_in(folder.path())).await, expected);
        }
        let starts = starts_in(folder.path());
        let lasted = time::timeout(EARLY - Duration::from_millis(1), starts.last()).await;
        assert!(lasted.is_err());
        assert_eq!(paused(&starts).await, 5000, "that was early still");
        let lasted = time::timeout(EARLY + Duration::from_millis(1), starts.last()).await;
        assert!(lasted.is_err());
        assert_eq!(paused(&starts).await, 0);
        assert_eq!(pause_after(u32::MAX), PAUSES.longest());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_directory_or_with_rubbish_in_it_nothing_is_held_up() {
        let nowhere = Starts::new(|_| None);
        for _ in 0..10 {
            assert_eq!(paused(&nowhere).await, 0);
        }
        nowhere.forget();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("starts"), "many").unwrap();
        assert_eq!(paused(&starts_in(folder.path())).await, 0);
        let missing = starts_in(&folder.path().join("missing"));
        for _ in 0..10 {
            assert_eq!(paused(&missing).await, 0);
        }
    }
}
