//! A promise's own corner of the store, and the few verbs that promises are written in.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time;

use crate::{
    Change, Changes, Compare, Key, KeyValue, LeaseId, Op, Outcome, Range, Revision, Store,
    StoreError, Txn, WatchEvent,
};

/// How long anything may take before the promise counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Scope {
    pub(super) store: Arc<dyn Store>,
    prefix: String,
}

impl Scope {
    pub(super) fn new(store: Arc<dyn Store>, promise: &str) -> Self {
        Self { store, prefix: format!("/contract/{promise}/") }
    }

    pub(super) fn key(&self, name: &str) -> Key {
        format!("{}{name}", self.prefix).into()
    }

    /// Everything of this promise under `prefix`.
    pub(super) fn range(&self, prefix: &str) -> Range {
        Range::prefix(&self.key(prefix))
    }

    pub(super) fn put(&self, name: &str, value: &str) -> Op {
        Op::Put { key: self.key(name), value: value.into(), lease: None }
    }

    pub(super) fn put_leased(&self, name: &str, lease: LeaseId) -> Op {
        Op::Put { key: self.key(name), value: b"leased".to_vec(), lease: Some(lease) }
    }

    pub(super) fn delete(&self, name: &str) -> Op {
        Op::Delete(self.key(name))
    }

    pub(super) async fn try_commit(
        &self,
        compare: Vec<Compare>,
        then: Vec<Op>,
    ) -> Result<Outcome, StoreError> {
        self.store.commit(Txn { compare, then }).await
    }

    /// Writes, and returns the revision.
    pub(super) async fn write(&self, then: Vec<Op>) -> Revision {
        let outcome = self.try_commit(vec![], then).await.unwrap();
        assert!(outcome.applied, "a transaction without comparisons applies");
        outcome.revision
    }

    /// Reads one range.
    pub(super) async fn read(&self, range: Range, at: Option<Revision>) -> Vec<KeyValue> {
        let mut snapshot = self.store.read(&[range], at).await.unwrap();
        assert_eq!(snapshot.ranges.len(), 1);
        snapshot.ranges.remove(0).kvs
    }

    pub(super) async fn get(&self, name: &str) -> Option<KeyValue> {
        self.read(Range::key(self.key(name)), None).await.pop()
    }

    pub(super) async fn exists(&self, name: &str) -> bool {
        self.get(name).await.is_some()
    }

    /// The names in a range, as they are now.
    pub(super) async fn names(&self, range: Range) -> Vec<String> {
        self.read(range, None).await.iter().map(|kv| self.name(&kv.key)).collect()
    }

    pub(super) async fn watch(&self, ranges: &[Range], from: Revision) -> Changes {
        self.store.watch(ranges, from).await.unwrap()
    }

    /// The key's name within this promise.
    pub(super) fn name(&self, key: &Key) -> String {
        key.strip_prefix(&Key::from(&*self.prefix)).unwrap().to_owned()
    }

    /// A change in short: `a=1@7` or `-a@8`.
    pub(super) fn tell(&self, change: &Change) -> String {
        let name = self.name(change.key());
        let revision = change.revision().0;
        match change {
            Change::Put(kv) => {
                format!("{name}={}@{revision}", String::from_utf8_lossy(&kv.value))
            }
            Change::Delete { .. } => format!("-{name}@{revision}"),
        }
    }

    /// The next `count` changes in short.
    pub(super) async fn next(&self, changes: &mut Changes, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            told.extend(next_event(changes).await.iter().map(|change| self.tell(change)));
        }
        assert_eq!(told.len(), count, "more came than was written: {told:?}");
        told
    }
}

/// The next event of a watch that is well.
pub(super) async fn next_event(changes: &mut Changes) -> WatchEvent {
    let event = in_time("an event of the watch", changes.next()).await.unwrap();
    assert!(!event.is_empty(), "an event without changes");
    event
}

/// Waits, but not for ever.
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {PATIENCE:?}"),
    }
}

pub(super) fn is_refused<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Refused(_)))
}
