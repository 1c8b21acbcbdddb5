//! Reads of many keys, cut so that no answer of the store is too large.

use std::collections::VecDeque;

use fleet_store::{Key, KeyValue, MAX_TXN_OPS, Range, RangeResult, Revision, Snapshot, StoreError};

use crate::{Registry, RegistryError};

/// Keys asked for at first, and at most. A record may have 64 KiB, though few have one.
const KEYS: (usize, usize) = (128, 1000);

/// Of an answer this large the next one is to be smaller: what etcd's clients take by default
/// (`fleetd.md` 9). One of a quarter of it may be followed by a larger one.
const LARGE: usize = 4 * 1024 * 1024;

/// How many keys to ask for at a time. Follows what answers turn out to be.
#[derive(Debug)]
struct Chunk(usize);

impl Chunk {
    fn new() -> Self {
        Self(KEYS.0)
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
        let (mut chunk, mut at, mut size) = (Chunk::new(), at, 0);
        let mut found = vec![Vec::new(); ranges.len()];
        // In the order of the ranges, each from where it goes on.
        let mut left: VecDeque<(usize, Range)> = ranges.iter().cloned().enumerate().collect();
        loop {
            let snapshot = self.read_chunk(&mut chunk, at, |keys| first(&left, keys)).await?;
            at = Some(snapshot.revision);
            let mut unfinished = Vec::new();
            for RangeResult { mut kvs, more } in snapshot.ranges {
                let Some((index, range)) = left.pop_front() else { break };
                size += size_of(&kvs);
                if let (true, Some(last)) = (more, kvs.last()) {
                    unfinished.push((index, Range { start: after(last), ..range }));
                }
                found[index].append(&mut kvs);
            }
            unfinished.into_iter().rev().for_each(|rest| left.push_front(rest));
            let whole = left.front().map_or(ranges.len(), |(index, _)| *index);
            if left.is_empty() || (whole > 0 && size > bytes) {
                found.truncate(whole);
                found.truncate(until(&found, bytes));
                return Ok((found, snapshot.revision));
            }
        }
    }

    /// Reads the keys of a range up to its limit, or until they have so many `bytes`. The result
    /// says whether there are more.
    pub(crate) async fn read_until(
        &self,
        range: Range,
        bytes: usize,
    ) -> Result<(RangeResult, Revision), RegistryError> {
        let (mut chunk, mut at) = (Chunk::new(), None);
        let mut all = RangeResult::default();
        let most = if range.limit == 0 { usize::MAX } else { range.limit };
        let mut range = range;
        loop {
            let left = most - all.kvs.len();
            let next = |keys: usize| vec![range.clone().limit(left.min(keys))];
            let snapshot = self.read_chunk(&mut chunk, at, next).await?;
            at = Some(snapshot.revision);
            let mut read = snapshot.ranges.into_iter().next().unwrap_or_default();
            all.kvs.append(&mut read.kvs);
            all.more = read.more;
            let enough = all.kvs.len() >= most || size_of(&all.kvs) > bytes;
            match all.kvs.last() {
                Some(last) if read.more && !enough => range.start = after(last),
                _ => return Ok((all, snapshot.revision)),
            }
        }
    }

    /// Reads what `ranges` makes of a number of keys, and of ever fewer while the store refuses to
    /// answer: what it has may be too large for one answer.
    async fn read_chunk(
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

/// How many results it takes to have more than so many bytes, or all.
fn until(found: &[Vec<KeyValue>], bytes: usize) -> usize {
    let mut size = 0;
    let enough = found.iter().position(|kvs| {
        size += size_of(kvs);
        size > bytes
    });
    enough.map_or(found.len(), |last| last + 1)
}

fn after(last: &KeyValue) -> Key {
    format!("{}\0", last.key).into()
}

fn size_of(kvs: &[KeyValue]) -> usize {
    kvs.iter().map(|kv| kv.key.as_str().len() + kv.value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_follows_the_answers() {
        let mut chunk = Chunk::new();
        (0..10).for_each(|_| chunk.answered(1000));
        assert_eq!(chunk.0, KEYS.1);
        chunk.answered(LARGE);
        assert_eq!(chunk.0, KEYS.1, "neither small nor large");
        chunk.answered(LARGE + 1);
        assert_eq!(chunk.0, KEYS.1 / 2);
        let smaller: Vec<bool> = (0..9).map(|_| chunk.refused()).collect();
        assert_eq!(smaller, [[true; 8].as_slice(), &[false]].concat(), "down to one key");
    }
}
