//! A walk along a list at one revision, in reads that end at fences.

use fleet_store::{Key, KeyValue, Range, RangeResult, Revision, Snapshot};

use crate::{
    Registry, RegistryError,
    fences::{Cut, Fences, SPACING},
    scan::{Chunk, after, size_of},
};

/// After so many reads that found next to nothing the next one goes to the end of any list.
const MAX_BARREN: u32 = 16;

/// How far along a list a walk is.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    registry: &'a Registry,
    list: Range,
    /// What is known of the list, if it is one that may be long.
    fences: Option<&'a Fences>,
    /// Where it goes on. `None`: it is at the end.
    start: Option<Key>,
    at: Option<Revision>,
    chunk: Chunk,
    /// How many reads on end have found next to nothing.
    barren: u32,
}

/// Some of a list, in order.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) kvs: Vec<KeyValue>,
    pub(crate) revision: Revision,
    /// Whether there are more behind them.
    pub(crate) more: bool,
}

impl Registry {
    /// A walk along all keys that start with this prefix and come after that key. The list should
    /// be one of few: something is remembered of each.
    pub(crate) fn walk(&self, prefix: &Key, from: &Key) -> Walk<'_> {
        Walk { fences: Some(&self.fences), ..self.short_walk(prefix, from) }
    }

    /// The same for a list that is short, or one of many.
    pub(crate) fn short_walk(&self, prefix: &Key, from: &Key) -> Walk<'_> {
        let list = Range::prefix_after(prefix, prefix);
        let start = Some(after(from).max(list.start.clone()));
        let chunk = Chunk::from(&self.fences);
        Walk { registry: self, list, fences: None, start, at: None, chunk, barren: 0 }
    }
}

impl Walk<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.start.is_none()
    }

    /// Goes on by so many keys, or until they have so many `bytes`.
    pub(crate) async fn part(&mut self, most: usize, bytes: usize) -> Result<Part, RegistryError> {
        let (mut kvs, mut most) = (Vec::<KeyValue>::new(), most);
        // One more, to know whether there is one.
        while !self.is_over() && kvs.len() <= most {
            kvs.extend(self.read(most.saturating_add(1) - kvs.len()).await?);
            most = most.min(until(&kvs, bytes));
        }
        let more = kvs.len() > most;
        kvs.truncate(most);
        if more {
            self.start = kvs.last().map(|last| after(&last.key));
        }
        Ok(Part { kvs, revision: self.at.unwrap_or_default(), more })
    }

    /// The keys of one read, so many at most. There may be none, and more behind.
    pub(crate) async fn read(&mut self, most: usize) -> Result<Vec<KeyValue>, RegistryError> {
        let Some(start) = self.start.clone() else { return Ok(Vec::new()) };
        let wanted = most.min(self.chunk.keys());
        let stretches = wanted.div_ceil(SPACING) << self.barren.min(MAX_BARREN);
        let cut = self.fences.map_or(Cut::Last, |known| known.cut(&self.list, &start, stretches));
        let end = match &cut {
            Cut::At(fence) => Some(fence.clone()),
            Cut::Unexplored | Cut::Last => self.list.end.clone(),
        };
        let range = Range { start: start.clone(), end: end.clone(), limit: 0 };
        let ask = |keys: usize| {
            let limit = if cut == Cut::Unexplored { keys } else { keys.min(most) };
            vec![range.clone().limit(limit)]
        };
        let Snapshot { revision, ranges } =
            self.registry.read_chunk(&mut self.chunk, self.at, ask).await?;
        self.at = Some(revision);
        let RangeResult { mut kvs, more } = ranges.into_iter().next().unwrap_or_default();
        if let Some(fences) = self.fences {
            fences.learn(&self.list, &start, &kvs, end.as_ref().filter(|_| !more));
        }
        self.barren = if !more && kvs.len() < SPACING / 2 { self.barren + 1 } else { 0 };
        let is_cut = more || kvs.len() > most;
        kvs.truncate(most);
        self.start = match kvs.last() {
            Some(last) if is_cut => Some(after(&last.key)),
            _ => end.filter(|_| matches!(cut, Cut::At(_))),
        };
        Ok(kvs)
    }
}

/// How many keys it takes to have more than so many bytes, or all.
fn until(kvs: &[KeyValue], bytes: usize) -> usize {
    let mut size = 0;
    let enough = kvs.iter().position(|kv| {
        size += size_of(std::slice::from_ref(kv));
        size > bytes
    });
    enough.map_or(usize::MAX, |last| last + 1)
}

#[cfg(test)]
mod tests;
