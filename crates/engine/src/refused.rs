//! Remembers decisions that the store refuses as they are, such as one that is too large alone.
//!
//! The same would be refused again, so it is tried again with growing pauses only, and at once when
//! the unit changes.

use std::{collections::BTreeMap, time::Duration};

use fleet_core::{Pauses, UnitName};
use fleet_store::Revision;
use tokio::time::Instant;

use crate::cluster::Cluster;

/// The first pause and the longest: somebody may have raised etcd's limits.
const PAUSES: Pauses = Pauses::between(Duration::from_secs(10), Duration::from_secs(600));

/// What was refused, by unit.
#[derive(Debug, Default)]
pub(crate) struct Refused(BTreeMap<UnitName, Refusal>);

#[derive(Debug)]
struct Refusal {
    /// The record that was decided on.
    seen: Revision,
    /// How often the same was refused before.
    earlier: u32,
    until: Instant,
    /// Whether it has been said that its time has come.
    is_due: bool,
}

impl Refused {
    /// Whether nothing is to be tried for a unit now.
    pub(crate) fn holds(&self, cluster: &Cluster, unit: &UnitName) -> bool {
        let seen = cluster.unit(unit).map(|unit| unit.record.revision);
        self.0
            .get(unit)
            .is_some_and(|refusal| seen == Some(refusal.seen) && Instant::now() < refusal.until)
    }

    /// Takes in that what was decided on a record was refused, and returns whether that is news.
    pub(crate) fn note(&mut self, unit: &UnitName, seen: Revision) -> bool {
        let earlier = self.0.get(unit).filter(|refusal| refusal.seen == seen);
        let earlier = earlier.map_or(0, |refusal| refusal.earlier.saturating_add(1));
        let until = Instant::now() + PAUSES.after(earlier);
        self.0.insert(unit.clone(), Refusal { seen, earlier, until, is_due: false });
        earlier == 0
    }

    /// The units that are to be tried again from now on, each once.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<UnitName> {
        let due = self.0.iter_mut().filter(|(_, refusal)| !refusal.is_due && refusal.until <= now);
        due.map(|(unit, refusal)| {
            refusal.is_due = true;
            unit.clone()
        })
        .collect()
    }

    /// Forgets units that have changed since, or are gone.
    pub(crate) fn tidy(&mut self, cluster: &Cluster) {
        self.0.retain(|unit, refusal| {
            cluster.unit(unit).is_some_and(|unit| unit.record.revision == refusal.seen)
        });
    }
}
