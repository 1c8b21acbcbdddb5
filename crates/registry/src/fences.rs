//! Fences: keys at about every thousandth place of a long list, where reads of it may end.
//!
//! etcd walks its index from the start of a range to its end, whatever the limit, so a page that is
//! read up to the end of its list costs what the list holds. One that is read up to the next fence
//! costs what lies before that. Fences are learnt from what is read, and are right or wrong: they say
//! where a read ends, never what there is, for behind each the next read goes on
//! ([decision 26](../../../docs/decisions/0026-fences.md)).

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use fleet_store::{Key, KeyValue, Range};

use crate::scan::after;

/// So many keys lie between two fences that are new. A fence goes when half as many are left.
pub(crate) const SPACING: usize = 1000;

/// Fences that are remembered at most, of all lists together: what they take is half a megabyte. A
/// list that is longer has its end read as if there were none.
const MOST: usize = 4096;

/// What is remembered of the long lists of a registry.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    known: Mutex<BTreeMap<Key, Stretch>>,
    /// The number of keys that was good to ask for last; 0 before there was any.
    keys: AtomicUsize,
}

/// What is known of the keys from a fence on.
#[derive(Clone, Debug)]
struct Stretch {
    /// There were so many of them ...
    keys: usize,
    /// ... before this key.
    until: Key,
    /// They were read to the end of the list once: there is nothing to explore behind the fence.
    is_last: bool,
}

/// Where a read is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// At this fence.
    At(Key),
    /// At the end of the list, of which as much as can be had is worth knowing.
    Unexplored,
    /// At the end of the list, which isn't far.
    Last,
}

impl Fences {
    /// Where a read from `start` on ends that is to hold the keys between so many fences.
    pub(crate) fn cut(&self, list: &Range, start: &Key, stretches: usize) -> Cut {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let end = list.end.as_ref().unwrap_or(&list.start);
        if start >= end {
            return Cut::Last;
        }
        let ahead = known.range((Excluded(start), Excluded(end))).take(stretches.max(1));
        if let Some((fence, _)) = ahead.last() {
            return Cut::At(fence.clone());
        }
        match known.range(&list.start..=start).next_back() {
            Some((_, Stretch { is_last: true, .. })) => Cut::Last,
            _ => Cut::Unexplored,
        }
    }

    /// Learns from a read of `list` that began at `start` and had these keys; and no more before
    /// `end`, if it got there.
    pub(crate) fn learn(&self, list: &Range, start: &Key, kvs: &[KeyValue], end: Option<&Key>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = Count::new(&mut known, list, start);
        for kv in kvs {
            count.key(&mut known, &kv.key);
        }
        count.end(&mut known, kvs.last().map(|kv| &kv.key), end, list.end.as_ref());
    }

    /// How many keys it is good to ask for.
    pub(crate) fn keys(&self) -> Option<usize> {
        Some(self.keys.load(Ordering::Relaxed)).filter(|keys| *keys > 0)
    }

    /// Remembers that it was good to ask for so many keys.
    pub(crate) fn remember_keys(&self, keys: usize) {
        self.keys.store(keys, Ordering::Relaxed);
    }
}

/// Counts the keys of a read from fence to fence.
struct Count {
    /// The fence that it counts from. `None`: from somewhere between two.
    fence: Option<Key>,
    keys: usize,
    /// The fence before that, and how far was counted from there.
    before: Option<(Key, Stretch)>,
    /// The next fence that is known.
    next: Option<Key>,
    list_end: Key,
}

impl Count {
    fn new(known: &mut BTreeMap<Key, Stretch>, list: &Range, start: &Key) -> Self {
        let first = Stretch { keys: 0, until: list.start.clone(), is_last: false };
        known.entry(list.start.clone()).or_insert(first);
        let list_end = list.end.clone().unwrap_or_else(|| list.start.clone());
        let before = known.range(..=start).next_back();
        let before = before.map(|(fence, stretch)| (fence.clone(), stretch.clone()));
        let fence = Some(start.clone()).filter(|start| known.contains_key(start));
        let mut count = Self { fence, keys: 0, before, next: None, list_end };
        count.join(start);
        count.look_ahead(known, start);
        count
    }

    fn look_ahead(&mut self, known: &BTreeMap<Key, Stretch>, from: &Key) {
        let ahead = known.range((Excluded(from), Unbounded)).next();
        self.next = ahead.map(|(fence, _)| fence.clone()).filter(|fence| *fence < self.list_end);
    }

    /// Goes on with what was counted before, if that ends here.
    fn join(&mut self, key: &Key) {
        if self.fence.is_none()
            && let Some((fence, stretch)) = self.before.take_if(|(_, to)| to.until <= *key)
        {
            (self.fence, self.keys) = (Some(fence), stretch.keys);
        }
    }

    fn key(&mut self, known: &mut BTreeMap<Key, Stretch>, key: &Key) {
        while let Some(next) = self.next.take_if(|next| *next <= *key) {
            self.pass(known, next);
        }
        self.join(key);
        self.keys += 1;
        if self.keys >= SPACING && known.len() < MOST {
            let fence = after(key);
            let new = Stretch { keys: 0, until: fence.clone(), is_last: false };
            known.entry(fence.clone()).or_insert(new);
            self.begin(known, fence);
        }
    }

    /// Comes to a fence: it goes where few keys lie before it.
    fn pass(&mut self, known: &mut BTreeMap<Key, Stretch>, fence: Key) {
        if self.fence.is_some() && self.keys < SPACING / 2 {
            known.remove(&fence);
            self.look_ahead(known, &fence);
        } else {
            self.begin(known, fence);
        }
    }

    fn begin(&mut self, known: &BTreeMap<Key, Stretch>, fence: Key) {
        self.look_ahead(known, &fence);
        (self.fence, self.keys, self.before) = (Some(fence), 0, None);
    }

    fn end(
        mut self,
        known: &mut BTreeMap<Key, Stretch>,
        last: Option<&Key>,
        end: Option<&Key>,
        list_end: Option<&Key>,
    ) {
        let is_last = end.is_some() && end == list_end;
        while let Some(next) = self.next.take_if(|next| end.is_some_and(|end| *next <= *end)) {
            self.pass(known, next);
        }
        let Some(fence) = self.fence else { return };
        // What was read to its end is known up to there, though nothing may be left of it.
        let until = end.cloned().or_else(|| last.map(after)).filter(|until| *until > fence);
        if let Some(stretch) = known.get_mut(&fence) {
            if let Some(until) = until {
                *stretch = Stretch { keys: self.keys, until, ..*stretch };
            }
            stretch.is_last |= is_last;
        }
    }
}
