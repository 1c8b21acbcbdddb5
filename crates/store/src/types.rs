//! What goes in and out of a store.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};

use crate::StoreError;

/// etcd's default limit of operations in one transaction (`--max-txn-ops`).
pub const MAX_TXN_OPS: usize = 128;

/// A revision of the whole store; every transaction that writes something raises it by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A lease as granted. The store may grant more time than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// The time to live that was granted.
    pub ttl: Duration,
}

/// A key: UTF-8, ordered by bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `prefix` in this key, if it starts with it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &Self) -> Option<&str> {
        self.0.strip_prefix(&*prefix.0)
    }
}

impl From<String> for Key {
    fn from(key: String) -> Self {
        Self(key.into())
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stored value with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Vec<u8>,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// The revision of its last change.
    pub mod_revision: Revision,
    /// The lease it hangs on.
    pub lease: Option<LeaseId>,
}

/// A half-open range of keys, `[start, end)`; a single key when `end` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub start: Key,
    /// The key before which the range ends.
    pub end: Option<Key>,
    /// The number of keys at most; 0 for all.
    pub limit: usize,
}

impl Range {
    /// One key.
    #[must_use]
    pub fn key(key: Key) -> Self {
        Self { start: key, end: None, limit: 0 }
    }

    /// All keys that start with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &Key) -> Self {
        Self { start: prefix.clone(), end: Some(end_of_prefix(prefix)), limit: 0 }
    }

    /// The keys that start with `prefix` and are greater than `after`.
    #[must_use]
    pub fn prefix_after(prefix: &Key, after: &Key) -> Self {
        Self { start: format!("{after}\0").into(), end: Some(end_of_prefix(prefix)), limit: 0 }
    }

    /// The same range, cut after `limit` keys; 0 for no cut.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Whether it ends before it begins.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        match &self.end {
            None => *key == self.start,
            Some(end) => *key >= self.start && key < end,
        }
    }
}

/// The first key after all that start with `prefix`: its last character's successor.
///
/// (The order of UTF-8 by bytes is its order by characters. What consists of last characters
/// alone has no successor; the last of all then stands for it.)
fn end_of_prefix(prefix: &Key) -> Key {
    let mut end = prefix.as_str().to_owned();
    while let Some(last) = end.pop() {
        // The range skips the surrogates and ends with the last character.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return end.into();
        }
    }
    char::MAX.to_string().into()
}

/// What one range held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The keys in ascending order.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut off more.
    pub more: bool,
}

/// Several ranges at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision they were read at.
    pub revision: Revision,
    /// One result per range, in the order asked.
    pub ranges: Vec<RangeResult>,
}

/// What a transaction rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key exists.
    Exists(Key),
    /// The key does not exist.
    Absent(Key),
    /// The key's last change was at this revision; 0 for a key that does not exist.
    ModRevision(Key, Revision),
    /// The key was created at this revision and exists since; 0 for one that does not exist.
    CreateRevision(Key, Revision),
}

/// What a transaction writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: Key,
        /// The value.
        value: Vec<u8>,
        /// The lease it hangs on; one that does not exist fails the whole transaction.
        lease: Option<LeaseId>,
    },
    /// Deletes a key; no error when there is none.
    Delete(Key),
    /// Deletes every key that starts with this prefix.
    DeletePrefix(Key),
}

/// A transaction: `then` is applied if all of `compare` hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The comparisons.
    pub compare: Vec<Compare>,
    /// The writes.
    pub then: Vec<Op>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether every comparison held, and so the writes were applied.
    pub applied: bool,
    /// The revision of the writes, or of the store when nothing was written.
    pub revision: Revision,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was set.
    Put(KeyValue),
    /// The key was deleted, or its lease ended.
    Delete {
        /// The key.
        key: Key,
        /// The revision of the deletion.
        revision: Revision,
    },
}

impl Change {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(kv) => kv.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// One or more whole revisions of changes, oldest first.
pub type WatchEvent = Vec<Change>;

/// The number of events that wait for a slow reader before the store is held back.
const WATCH_BUFFER: usize = 256;

/// The sending end of a watch, for implementations of [`Store`](crate::Store).
pub type ChangeSink = mpsc::Sender<Result<WatchEvent, StoreError>>;

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Changes {
    source: mpsc::Receiver<Result<WatchEvent, StoreError>>,
    /// What feeds `source`: aborted when the watch is dropped.
    _tasks: JoinSet<()>,
}

/// A watch and the sink that feeds it.
///
/// The sink is bounded: whoever feeds it waits for a slow reader.
#[must_use]
pub fn watch_channel() -> (ChangeSink, Changes) {
    let (sink, source) = mpsc::channel(WATCH_BUFFER);
    (sink, Changes { source, _tasks: JoinSet::new() })
}

impl Changes {
    /// Makes the watch the owner of the tasks that feed it: they end with it.
    #[must_use]
    pub fn fed_by(self, tasks: JoinSet<()>) -> Self {
        Self { _tasks: tasks, ..self }
    }

    /// Waits for the next changes. Cancel-safe.
    ///
    /// # Errors
    /// After an error the watch is over; a broken stream is [`StoreError::Unavailable`].
    pub async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        self.source
            .recv()
            .await
            .unwrap_or_else(|| Err(StoreError::Unavailable("the watch ended".into())))
    }

    /// Changes that are here already, if any.
    pub fn try_next(&mut self) -> Option<Result<WatchEvent, StoreError>> {
        self.source.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_starts_with_it() {
        for prefix in ["a/", "a", "a\u{7f}", "ä", "\u{d7ff}", "a\u{10ffff}"] {
            let range = Range::prefix(&prefix.into());
            for inside in ["", "\0", "z", "\u{10ffff}"] {
                assert!(
                    range.contains(&format!("{prefix}{inside}").into()),
                    "{prefix:?}{inside:?}"
                );
            }
        }
        let range = Range::prefix(&"a/".into());
        for outside in ["", "a", "a.", "a0", "b", "\u{10ffff}"] {
            assert!(!range.contains(&outside.into()), "{outside:?}");
        }
    }

    #[test]
    fn what_follows_a_key_begins_right_after_it() {
        let range = Range::prefix_after(&"a/".into(), &"a/1".into());
        for (key, inside) in
            [("a/1", false), ("a/1\0", true), ("a/10", true), ("a/0", false), ("b", false)]
        {
            assert_eq!(range.contains(&key.into()), inside, "{key:?}");
        }
    }
}
