//! Leaves nothing here: what a fleetd does that is told to stop (`units.md` 7.6, `fleetd.md` 8.1).

use std::{collections::BTreeSet, time::Duration};

use fleet_core::UnitName;
use tokio::time::{self, Instant};
use tracing::warn;

use super::{PAUSE, Reconciler, jobs::STOP_LIMIT};
use crate::{ManagerError, desired::Desired, plan::plan_purge};

/// How long a purge tries what fails (`units.md` 7.6). A stop that is under way may take as long as
/// stops may take (`spec/README.md` 7): a unit that starts elsewhere meanwhile would run twice.
const LIMIT: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Stops and unloads every unit, all at once, and returns those that are left when the time
    /// is up. Needs no registry.
    pub(crate) async fn purge(&mut self) -> BTreeSet<UnitName> {
        self.desired = Desired::default();
        self.current.unclear.clear();
        self.orders_changed = true; // should it ever be run again
        self.scan_at = Instant::now();
        let begun = Instant::now();
        loop {
            let next = match self.purge_pass().await {
                Ok(()) if self.current.units.is_empty() => break,
                Ok(()) => self.retry_at,
                Err(error) => {
                    warn!(%error, "purging pass failed, will retry");
                    Some(Instant::now() + PAUSE)
                }
            };
            let end = begun + if self.jobs.any_halts() { STOP_LIMIT } else { LIMIT };
            if Instant::now() >= end {
                break;
            }
            tokio::select! {
                biased;
                ended = self.jobs.next() => self.ended(ended),
                () = time::sleep_until(next.map_or(end, |next| next.min(end))) => {}
            }
            while let Some(ended) = self.jobs.try_next() {
                self.ended(ended);
            }
        }
        self.current.units.keys().cloned().collect()
    }

    async fn purge_pass(&mut self) -> Result<(), ManagerError> {
        self.scan().await?;
        let plan = plan_purge(&self.current, Instant::now());
        self.carry_out(plan).await;
        Ok(())
    }
}
