//! A watch, and what it has told.

use std::time::Duration;

use fleet_store::{Change, Changes, Key, Range, Revision};
use tokio::time;

pub(crate) struct Watched {
    changes: Changes,
    pub(crate) from: Revision,
    /// The oldest revision that could be read when it began.
    compacted: Revision,
    ranges: Vec<OfRange>,
    patience: Duration,
}

/// What was told of one range, in the order in which it was told.
struct OfRange {
    range: Range,
    last: Revision,
    told: Vec<Change>,
}

impl Watched {
    pub(crate) fn new(
        changes: Changes,
        ranges: &[Range],
        from: Revision,
        compacted: Revision,
        patience: Duration,
    ) -> Self {
        let of_range =
            |range: &Range| OfRange { range: range.clone(), last: Revision(0), told: vec![] };
        Self { changes, from, compacted, ranges: ranges.iter().map(of_range).collect(), patience }
    }

    /// A key of each of its ranges.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.ranges.iter().map(|of| &of.range.start)
    }

    /// Listens until it has told of `last`, when something changed in each of its ranges.
    pub(crate) async fn listen_until(&mut self, last: Revision) -> Result<(), String> {
        while self.ranges.iter().any(|of| of.last < last) {
            let event = match time::timeout(self.patience, self.changes.next()).await {
                Err(_) => return Err(format!("a watch from {:?} is silent", self.from)),
                Ok(Err(error)) => {
                    return Err(format!("a watch from {:?} ended: {error}", self.from));
                }
                Ok(Ok(event)) => event,
            };
            for of in &mut self.ranges {
                of.hear(&event)?;
            }
        }
        Ok(())
    }

    /// All that it has told of each range.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&Range, Vec<&Change>)> {
        // Until its change 18274 of 2024 etcd forgets a deletion at the very revision that it is
        // compacted to. Who goes on from a snapshot doesn't ask for its revision again.
        let is_kept = |change: &&Change| !matches!(change, Change::Delete { revision, .. } if *revision == self.compacted);
        self.ranges.iter().map(move |of| (&of.range, of.told.iter().filter(is_kept).collect()))
    }
}

impl OfRange {
    /// Takes in what an event says of the range, which must be whole revisions in order.
    fn hear(&mut self, event: &[Change]) -> Result<(), String> {
        let before = self.last;
        for change in event.iter().filter(|change| self.range.contains(change.key())) {
            let revision = change.revision();
            if revision <= before || revision < self.last {
                return Err(format!("a watch tells {change:?} after {:?}", self.last));
            }
            self.last = revision;
            self.told.push(change.clone());
        }
        Ok(())
    }
}
