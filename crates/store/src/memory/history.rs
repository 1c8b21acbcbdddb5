//! Keys and values at every revision since the last compaction.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use crate::{Change, Key, KeyValue, Range, RangeResult, Revision, StoreError};

/// How many changes are kept for watches and reads from the past before the older half is
/// compacted, so that `fleetd --dev` doesn't grow for ever.
const MAX_CHANGES: usize = 20_000;

/// The changes that one event of a watch holds at most, but for a longer last revision.
const MAX_EVENT: usize = 1_000;

#[derive(Clone)]
pub(super) struct History {
    /// The newest revision.
    pub(super) revision: Revision,
    /// The oldest revision that can be read.
    compacted: Revision,
    /// Per key its versions since then and the one that held then, oldest first; never empty.
    keys: BTreeMap<Key, Vec<Version>>,
    /// What changed when, oldest first.
    log: VecDeque<(Revision, Key)>,
}

#[derive(Clone)]
struct Version {
    revision: Revision,
    /// What was put; `None` when the key was deleted.
    kv: Option<KeyValue>,
}

impl History {
    /// The revision of a store in which nothing was written yet.
    const FIRST: Revision = Revision(1);

    pub(super) fn new() -> Self {
        Self {
            revision: Self::FIRST,
            compacted: Self::FIRST,
            keys: BTreeMap::new(),
            log: VecDeque::new(),
        }
    }

    /// The key as it is now.
    pub(super) fn get(&self, key: &Key) -> Option<&KeyValue> {
        self.keys.get(key)?.last()?.kv.as_ref()
    }

    /// The keys that are in `range` now.
    pub(super) fn keys_in(&self, range: &Range) -> Vec<Key> {
        self.versions_in(range)
            .filter(|(_, versions)| versions.last().is_some_and(|last| last.kv.is_some()))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// What `range` held at revision `at`, which must be readable.
    pub(super) fn range(&self, range: &Range, at: Revision) -> RangeResult {
        let mut found = self.versions_in(range).filter_map(|(_, versions)| {
            let after = versions.partition_point(|version| version.revision <= at);
            versions[..after].last()?.kv.as_ref()
        });
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        let kvs = found.by_ref().take(limit).cloned().collect();
        RangeResult { kvs, more: found.next().is_some() }
    }

    fn versions_in(&self, range: &Range) -> impl Iterator<Item = (&Key, &Vec<Version>)> {
        let end = match &range.end {
            None => Bound::Included(&range.start),
            Some(end) => Bound::Excluded(end),
        };
        // BTreeMap panics on a range that ends before it starts; for etcd it is just empty.
        (!range.is_empty())
            .then(|| self.keys.range((Bound::Included(&range.start), end)))
            .into_iter()
            .flatten()
    }

    /// Whether `at` can be read.
    pub(super) fn check_readable(&self, at: Revision) -> Result<(), StoreError> {
        if at < self.compacted || at > self.revision {
            return Err(StoreError::Compacted(at));
        }
        Ok(())
    }

    /// Whether all changes from `from` on are still known.
    pub(super) fn check_watchable(&self, from: Revision) -> Result<(), StoreError> {
        // Nothing ever happened before the first, so from there on is from the first on.
        if from.max(Self::FIRST) < self.compacted {
            Err(StoreError::Compacted(from))
        } else {
            Ok(())
        }
    }

    /// Puts a key at `revision` (the next one, the same for all of a transaction) and returns
    /// what was there before.
    pub(super) fn put(&mut self, revision: Revision, mut kv: KeyValue) -> Option<KeyValue> {
        let before = self.get(&kv.key).cloned();
        kv.mod_revision = revision;
        kv.create_revision = before.as_ref().map_or(revision, |before| before.create_revision);
        self.record(revision, kv.key.clone(), Some(kv));
        before
    }

    /// Deletes a key at `revision` and returns it, if it was there.
    pub(super) fn delete(&mut self, revision: Revision, key: &Key) -> Option<KeyValue> {
        let before = self.get(key).cloned()?;
        self.record(revision, key.clone(), None);
        Some(before)
    }

    fn record(&mut self, revision: Revision, key: Key, kv: Option<KeyValue>) {
        self.revision = revision;
        self.keys.entry(key.clone()).or_default().push(Version { revision, kv });
        self.log.push_back((revision, key));
    }

    /// The first changes in `ranges` from `from` on, whole revisions of them, and where to go
    /// on if there are more.
    pub(super) fn changes(
        &self,
        ranges: &[Range],
        from: Revision,
    ) -> (Vec<Change>, Option<Revision>) {
        let mut changes: Vec<Change> = Vec::new();
        let start = self.log.partition_point(|(revision, _)| *revision < from);
        for (revision, key) in self.log.range(start..) {
            if !ranges.iter().any(|range| range.contains(key)) {
                continue;
            }
            let is_new = changes.last().is_none_or(|last| last.revision() != *revision);
            if is_new && changes.len() >= MAX_EVENT {
                return (changes, Some(*revision));
            }
            changes.extend(self.change(*revision, key));
        }
        (changes, None)
    }

    fn change(&self, revision: Revision, key: &Key) -> Option<Change> {
        let versions = self.keys.get(key)?;
        let at = versions.binary_search_by_key(&revision, |version| version.revision).ok()?;
        Some(match &versions[at].kv {
            Some(kv) => Change::Put(kv.clone()),
            None => Change::Delete { key: key.clone(), revision },
        })
    }

    /// Forgets what was before `revision`.
    pub(super) fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(self.revision));
        let old = self.log.partition_point(|(revision, _)| *revision < self.compacted);
        for (_, key) in self.log.drain(..old) {
            let Some(versions) = self.keys.get_mut(&key) else {
                continue;
            };
            let after = versions.partition_point(|version| version.revision <= self.compacted);
            versions.drain(..after.saturating_sub(1));
            versions.retain(|version| version.kv.is_some() || version.revision >= self.compacted);
            if versions.is_empty() {
                self.keys.remove(&key);
            }
        }
    }

    /// Keeps the history within its bound.
    pub(super) fn trim(&mut self) {
        if self.log.len() > MAX_CHANGES
            && let Some((revision, _)) = self.log.get(MAX_CHANGES / 2)
        {
            self.compact(*revision);
        }
    }
}
