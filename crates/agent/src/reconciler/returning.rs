//! A machine that returns: what was taken off it while it was away, and nobody else has, is about to
//! come back to it.

use std::{collections::BTreeSet, time::Duration};

use fleet_core::{JobState, UnitName};
use fleet_registry::{RegistryError, UnitRecord};
use tokio::time::Instant;

use super::Reconciler;

/// How long after its return a machine waits for the engine, which looks at what has changed at once,
/// and every two seconds at the latest (`cluster.md` 3).
const PATIENCE: Duration = Duration::from_secs(5);

impl Reconciler {
    /// Says of which units it isn't clear what is wanted: those whose order can't be understood, and,
    /// for a while after the machine's return, those that no machine has though one should. Returns
    /// when that while is over, if it matters.
    pub(super) async fn find_unclear(&mut self) -> Result<Option<Instant>, RegistryError> {
        self.current.unclear = self.desired.unclear.keys().cloned().collect();
        let contact = self.presence.as_ref().and_then(|presence| *presence.contact.borrow());
        let now = Instant::now();
        // One whose beat is overdue may have been taken for dead without knowing it yet.
        let returned = contact.map(|held| if now < held.until { held.since } else { now });
        let until = returned.map(|returned| returned + PATIENCE).filter(|until| now < *until);
        let Some(until) = until else { return Ok(None) };
        let taken_off: BTreeSet<UnitName> = self.taken_off().cloned().collect();
        if taken_off.is_empty() {
            return Ok(None);
        }
        let records = self.registry.unit_records(&taken_off).await?;
        let coming = records.into_iter().filter(|(_, record)| self.may_come_back(record));
        let coming: BTreeSet<UnitName> = coming.map(|(unit, _)| unit).collect();
        let until = (!coming.is_empty()).then_some(until);
        self.current.unclear.extend(coming);
        Ok(until)
    }

    /// Units that were loaded here and should no longer be, though nobody asked this machine to let
    /// them go.
    fn taken_off(&self) -> impl Iterator<Item = &UnitName> {
        let loaded = self.current.units.iter().filter(|(_, here)| here.claim != JobState::Inactive);
        let units = loaded.map(|(unit, _)| unit);
        units.filter(|unit| {
            !self.desired.units.contains_key(*unit)
                && !self.current.unclear.contains(*unit)
                && !self.follow.orders().lets_go(unit)
        })
    }

    fn may_come_back(&self, record: &UnitRecord) -> bool {
        let elsewhere = record.machine.as_ref().is_some_and(|machine| *machine != self.machine.id);
        record.desired_state != JobState::Inactive && !record.global && !elsewhere
    }
}
