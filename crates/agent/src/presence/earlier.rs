//! Waits for the end of an entry that this machine may have left in an earlier boot.
//!
//! ```text
//!                 ┌─ can be asked ──▶ asked ─┬─ nobody answers ──▶ taken over
//! entry found ────┤                          └─ answered ────────▶ a rival
//!                 └─ can't be ─────▶ waits ──┬─ its lease ends ──▶ registers
//!                                            └─ renewed ─────────▶ a rival
//! ```

use std::time::Duration;

use fleet_registry::{EarlierEntry, RegistryError};
use tokio::time;
use tracing::info;

use super::{Keeper, Present};

/// How long whoever wrote an entry has to answer. It hears the question at once, and may be in the
/// middle of a pass.
const ANSWER: Duration = Duration::from_secs(1);

/// How much later than its time etcd may end a lease.
const LATE: Duration = Duration::from_secs(2);

impl Keeper {
    /// Waits until `entry` is gone or changed, or replaces it where it is proven to be of an earlier
    /// boot. `None` when there is another attempt to make, at once. Cancel-safe: what was asked
    /// stays asked, which harms nobody.
    pub(super) async fn outlive(
        &mut self,
        entry: EarlierEntry,
    ) -> Result<Option<Present>, RegistryError> {
        let (machine, address) = (&self.machine, &entry.record.public_ip);
        info!(%machine, %address, "this machine is still present by an entry of an earlier boot");
        if self.polls {
            return Err(RegistryError::EarlierEntry(Box::new(entry)));
        }
        if entry.can_be_asked(&self.record.boot_id) {
            return self.ask(entry).await;
        }
        let patience = self.registry.time_left(&entry).await? + LATE;
        match time::timeout(patience, self.registry.outlives(&entry)).await {
            Ok(Ok(true)) => {}
            Ok(Err(error)) => return Err(error),
            // Nobody else than whoever wrote it renews its lease, or changes it.
            Ok(Ok(false)) | Err(_) => self.rival = Some(entry.record.nonce),
        }
        Ok(None)
    }

    async fn ask(&mut self, entry: EarlierEntry) -> Result<Option<Present>, RegistryError> {
        let asked = self.registry.ask(&entry, &self.record.nonce).await?;
        match time::timeout(ANSWER, self.registry.outlives(&asked)).await {
            Ok(Ok(true)) => return Ok(None),
            Ok(Ok(false)) => {
                self.rival = Some(entry.record.nonce);
                return Ok(None);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
        match self.registry.succeed(&asked, &self.record, self.ttl).await {
            Ok(presence) => {
                info!(machine = %self.machine, "taken over from before the boot: nobody answers there");
                Ok(Some(self.registered(presence)))
            }
            Err(RegistryError::Conflict(_)) => {
                self.rival = Some(entry.record.nonce); // it has answered after all
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
