//! Remembers units that were moved, so that none is moved again and again.
//!
//! Moving a unit stops it, and whatever makes its machines refuse it by turns would otherwise keep
//! the engine busy for ever. A unit that has been moved often of late stays where it is, for pauses
//! that grow as long as it doesn't come to rest. New content is another unit in this sense.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet_core::{Pauses, UnitHash, UnitName};
use tokio::time::Instant;

use crate::cluster::Unit;

/// Moves that nobody minds: somebody changing metadata needs fewer.
const FREE: u32 = 8;

/// A unit that wasn't moved for so long has come to rest.
const CALM: Duration = Duration::from_secs(60);

/// The first pause and the longest, after which an operator's mend is seen.
const PAUSES: Pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(300));

/// What was moved of late.
#[derive(Debug, Default)]
pub(crate) struct MoveLimiter(BTreeMap<UnitName, Moves>);

#[derive(Debug)]
struct Moves {
    /// The content that was moved.
    hash: UnitHash,
    count: u32,
    /// It stays until then.
    until: Instant,
}

impl MoveLimiter {
    /// Takes in that a unit was moved, and returns for how long it stays now.
    pub(crate) fn note(&mut self, unit: &Unit) -> Option<Duration> {
        let (now, hash) = (Instant::now(), unit.record.value.hash);
        let earlier = self.0.get(&unit.name).filter(|moves| moves.hash == hash);
        let count = earlier.map_or(0, |moves| moves.count).saturating_add(1);
        let pause = count.checked_sub(FREE + 1).map(|earlier| PAUSES.after(earlier));
        let until = now + pause.unwrap_or_default();
        self.0.insert(unit.name.clone(), Moves { hash, count, until });
        pause
    }

    /// The units that stay where they are, whether their machines refuse them or not. Forgets
    /// those that have come to rest.
    pub(crate) fn resting(
        &mut self,
        hash: impl Fn(&UnitName) -> Option<UnitHash>,
    ) -> BTreeSet<UnitName> {
        let now = Instant::now();
        self.0.retain(|unit, moves| now < moves.until + CALM && hash(unit) == Some(moves.hash));
        let resting = self.0.iter().filter(|(_, moves)| now < moves.until);
        resting.map(|(unit, _)| unit.clone()).collect()
    }
}
