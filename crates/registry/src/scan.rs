//! Reads of many keys, cut so that no answer of the store is too large.

use std::collections::VecDeque;

use fleet_store::{Key, KeyValue, MAX_TXN_OPS, Range, RangeResult, Revision, Snapshot, StoreError};

use crate::{Registry, RegistryError, fences::Fences};

/// Keys asked for at first, and at most. A record may have 64 KiB, though few have one.
const KEYS: (usize, usize) = (128, 4000);

/// Of an answer this large the next one is to be smaller: what etcd's clients take by default
/// (`fleetd.md` 9). One of a quarter of it may be followed by a larger one.
const LARGE: usize = 4 * 1024 * 1024;

/// How many keys to ask for at a time. Follows what answers turn out to be.
#[derive(Debug)]
pub(crate) struct Chunk(usize);

impl Chunk {
    /// One that begins with what was good last.
    pub(crate) fn from(fences: &Fences) -> Self {
        Self(fences.keys().unwrap_or(KEYS.0))
    }

    pub(crate) fn keys(&self) -> usize {
        self.0
    }

    /// The store has refused to answer. Returns whether there is less to ask for.
    fn refused(&mut self) -> bool {
        self.0 /= 2;
        self.0 > 0
    }

    fn answered(&mut self, bytes: usize) {
        if bytes > LARGE {
            self.0 = (self.0 / 2).max(1);
        } else if bytes < LARGE / 4 {
            self.0 = (self.0 * 2).min(KEYS.1);
        }
    }
}

impl Registry {
    /// Reads whole ranges at one revision, in the order given.
    pub(crate) async fn scan(
        &self,
        ranges: &[Range],
    ) -> Result<(Vec<KeyValue>, Revision), RegistryError> {
        let (found, revision) = self.scan_until(ranges, None, usize::MAX).await?;
        Ok((found.into_iter().flatten().collect(), revision))
    }

    /// Reads ranges at one revision, one result each, until they have so many `bytes` together:
    /// those after that are missing.
    pub(crate) async fn scan_until(
        &self,
        ranges: &[Range],
        at: Option<Revision>,
        bytes: usize,
    ) -> Result<(Vec<Vec<KeyValue>>, Revision), RegistryError> {
        let (mut chunk, mut at) = (Chunk::from(&self.fences), at);
        let mut found = vec![Vec::new(); ranges.len()];
        // In the order of the ranges, each from where it goes on.
        let mut left: VecDeque<(usize, Range)> = ranges.iter().cloned().enumerate().collect();
        loop {
            let snapshot = self.read_chunk(&mut chunk, at, |keys| first(&left, keys)).await?;
            at = Some(snapshot.revision);
            let mut unfinished = Vec::new();
            for RangeResult { mut kvs, more } in snapshot.ranges {
                let Some((index, range)) = left.pop_front() else { break };
                if let (true, Some(last)) = (more, kvs.last()) {
                    unfinished.push((index, Range { start: after(&last.key), ..range }));
                }
                found[index].append(&mut kvs);
            }
            unfinished.into_iter().rev().for_each(|rest| left.push_front(rest));
            let whole = left.front().map_or(ranges.len(), |(index, _)| *index);
            let enough = until(&found[..whole], bytes);
            if left.is_empty() || enough.is_some() {
                found.truncate(enough.unwrap_or(whole));
                return Ok((found, snapshot.revision));
            }
        }
    }

    /// Reads what `ranges` makes of a number of keys, and of ever fewer while the store refuses to
    /// answer: what it has may be too large for one answer.
    pub(crate) async fn read_chunk(
        &self,
        chunk: &mut Chunk,
        at: Option<Revision>,
        ranges: impl Fn(usize) -> Vec<Range> + Send + Sync,
    ) -> Result<Snapshot, RegistryError> {
        loop {
            let asked = ranges(chunk.0);
            match self.store.read(&asked, at).await {
                Ok(snapshot) => {
                    chunk.answered(snapshot.ranges.iter().map(|range| size_of(&range.kvs)).sum());
                    self.fences.remember_keys(chunk.0);
                    return Ok(snapshot);
                }
                Err(StoreError::Refused(_)) if chunk.refused() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// As many of the ranges as can be asked for at once, `keys` of all together.
fn first(left: &VecDeque<(usize, Range)>, keys: usize) -> Vec<Range> {
    let count = left.len().min(keys).min(MAX_TXN_OPS);
    let each = keys / count.max(1);
    left.iter().take(count).map(|(_, range)| range.clone().limit(each)).collect()
}

/// How many results it takes to have more than so many bytes; `None`: they have fewer.
fn until(found: &[Vec<KeyValue>], bytes: usize) -> Option<usize> {
    let mut left = bytes;
    let last = found.iter().position(|kvs| match left.checked_sub(size_of(kvs)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    last.map(|last| last + 1)
}

/// What comes right after a key.
pub(crate) fn after(key: &Key) -> Key {
    format!("{key}\0").into()
}

pub(crate) fn size_of(kvs: &[KeyValue]) -> usize {
    kvs.iter().map(|kv| kv.key.as_str().len() + kv.value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_follows_the_answers() {
        let mut chunk = Chunk::from(&Fences::default());
        (0..10).for_each(|_| chunk.answered(1000));
        assert_eq!(chunk.0, KEYS.1);
        chunk.answered(LARGE);
        assert_eq!(chunk.0, KEYS.1, "neither small nor large");
        chunk.answered(LARGE + 1);
        assert_eq!(chunk.0, KEYS.1 / 2);
        let smaller: Vec<bool> = (0..11).map(|_| chunk.refused()).collect();
        assert_eq!(smaller, [[true; 10].as_slice(), &[false]].concat(), "down to one key");
    }
}
