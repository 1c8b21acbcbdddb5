//! Leaves nothing here: what a fleetd does that is told to stop (`units.md` 7.6, `fleetd.md` 8.1).

use std::{collections::BTreeSet, time::Duration};

use fleet_core::UnitName;
use tokio::time::{self, Instant};
use tracing::warn;

use super::{PAUSE, Reconciler};
use crate::{ManagerError, desired::Desired, plan::plan_purge};

/// How long a purge tries what fails (`units.md` 7.6). A stop that is under way may take as long as
/// its unit lets it (`spec/README.md` 7): a unit that starts elsewhere meanwhile would run twice.
const LIMIT: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Stops and unloads every unit, all at once, and returns those that are left when the time
    /// is up. Needs no registry.
    pub(crate) async fn purge(&mut self) -> BTreeSet<UnitName> {
        self.desired = Desired::default();
        self.current.unclear.clear();
        self.follow.look_again(); // should it ever be run again
        self.scan_at = Instant::now();
        let tried = Instant::now() + LIMIT;
        loop {
            let next = match self.purge_pass(tried).await {
                Ok(()) if self.current.units.is_empty() => break,
                Ok(()) => self.retry_at.filter(|at| *at < tried),
                Err(error) => {
                    warn!(%error, "purging pass failed, will retry");
                    Some(Instant::now() + PAUSE)
                }
            };
            let (now, stopping) = (Instant::now(), self.jobs.any_stops());
            if now >= tried && !stopping {
                break;
            }
            let next = next.or_else(|| (now < tried).then_some(tried));
            tokio::select! {
                biased;
                ended = self.jobs.next() => self.ended(ended),
                () = time::sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
            while let Some(ended) = self.jobs.try_next() {
                self.ended(ended);
            }
        }
        self.current.units.keys().cloned().collect()
    }

    /// What fails after `tried` is no longer due.
    async fn purge_pass(&mut self, tried: Instant) -> Result<(), ManagerError> {
        let _ = self.scan().await?;
        let plan = plan_purge(&self.current, Instant::now().min(tried));
        self.carry_out(plan).await;
        Ok(())
    }
}
