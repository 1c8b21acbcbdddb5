//! Watches of the memory store.
//!
//! A *watcher* is the entry in the state: what is watched and from where it is behind. A
//! *follower* is its task, owned by the [`Changes`](crate::Changes) that it feeds. A change that a
//! watcher is interested in wakes its follower, which sends all that is there and sleeps again; a
//! full channel holds it, not the store. It ends when the reader goes, when what it should
//! send next has been compacted, or when its watcher is gone from the state: an outage.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Notify;

use super::{Shared, history::History, unavailable};
use crate::{ChangeSink, Key, Range, Revision, StoreError, WatchEvent};

#[derive(Default)]
pub(super) struct Watchers {
    last: u64,
    by_id: BTreeMap<u64, Watcher>,
}

struct Watcher {
    ranges: Vec<Range>,
    from: Revision,
    /// The revision of the first change that the follower hasn't seen; `None` when there is none.
    behind: Option<Revision>,
    wake: Arc<Notify>,
}

/// A watcher's number and how it wakes its follower.
pub(super) struct Ticket {
    id: u64,
    wake: Arc<Notify>,
}

/// What a follower finds when it looks.
pub(super) enum News {
    Nothing,
    Changes(WatchEvent),
    Ended(StoreError),
}

impl Watchers {
    pub(super) fn add(&mut self, ranges: Vec<Range>, from: Revision) -> Ticket {
        self.last += 1;
        let wake = Arc::new(Notify::new());
        let watcher = Watcher { ranges, from, behind: Some(from), wake: Arc::clone(&wake) };
        self.by_id.insert(self.last, watcher);
        Ticket { id: self.last, wake }
    }

    /// Wakes the followers of those that watch `key`.
    pub(super) fn changed(&mut self, key: &Key, revision: Revision) {
        for watcher in self.by_id.values_mut() {
            if revision >= watcher.from && watcher.ranges.iter().any(|range| range.contains(key)) {
                watcher.behind.get_or_insert(revision);
                watcher.wake.notify_one();
            }
        }
    }

    /// Ends all watches.
    pub(super) fn clear(&mut self) {
        for watcher in std::mem::take(&mut self.by_id).into_values() {
            watcher.wake.notify_one();
        }
    }

    pub(super) fn remove(&mut self, ticket: &Ticket) {
        self.by_id.remove(&ticket.id);
    }

    pub(super) fn take_news(&mut self, ticket: &Ticket, history: &History) -> News {
        let Some(watcher) = self.by_id.get_mut(&ticket.id) else {
            return News::Ended(unavailable());
        };
        let Some(behind) = watcher.behind else {
            return News::Nothing;
        };
        if let Err(error) = history.check_watchable(behind) {
            return News::Ended(error);
        }
        let (changes, next) = history.changes(&watcher.ranges, behind);
        watcher.behind = next;
        if changes.is_empty() { News::Nothing } else { News::Changes(changes) }
    }
}

/// The task of one watch; takes its watcher with it when it ends.
pub(super) struct Follower {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        Self { shared, ticket }
    }

    /// Sends changes until the watch ends.
    pub(super) async fn run(self, sink: ChangeSink) {
        loop {
            let news = self.shared.now().take_news(&self.ticket);
            match news {
                News::Nothing => self.ticket.wake.notified().await,
                News::Changes(changes) => {
                    if sink.send(Ok(changes)).await.is_err() {
                        return;
                    }
                }
                News::Ended(error) => {
                    // Nobody left to tell is as good an end.
                    let _ = sink.send(Err(error)).await;
                    return;
                }
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.now().remove_watcher(&self.ticket);
    }
}
