//! The state behind the lock: history, leases and watchers, kept in step.

use std::time::Duration;

use tokio::time::Instant;

#[cfg(feature = "testing")]
use super::testing::Saved;
use super::{
    history::History,
    leases::Leases,
    unavailable,
    watch::{News, Ticket, Watchers},
};
#[cfg(feature = "testing")]
use crate::Change;
use crate::{
    Compare, Key, KeyValue, Lease, LeaseId, Op, Outcome, Range, Revision, Snapshot, StoreError, Txn,
};

/// What etcd compares in place of the revisions of a key that doesn't exist.
const NEVER: Revision = Revision(0);

pub(super) struct State {
    history: History,
    leases: Leases,
    watchers: Watchers,
    available: bool,
    lose_answer: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            history: History::new(),
            leases: Leases::default(),
            watchers: Watchers::default(),
            available: true,
            lose_answer: false,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.history.revision
    }

    pub(super) fn read(
        &self,
        ranges: &[Range],
        at: Option<Revision>,
    ) -> Result<Snapshot, StoreError> {
        let revision = at.unwrap_or(self.history.revision);
        self.history.check_readable(revision)?;
        let ranges = ranges.iter().map(|range| self.history.range(range, revision)).collect();
        Ok(Snapshot { revision, ranges })
    }

    /// Applies a transaction that has been checked.
    pub(super) fn commit(&mut self, txn: Txn) -> Result<Outcome, StoreError> {
        let applied = txn.compare.iter().all(|compare| self.holds(compare));
        if applied {
            self.check_leases(&txn.then)?;
            let revision = self.history.revision.next();
            for op in txn.then {
                self.apply(op, revision);
            }
            self.history.trim();
        }
        if std::mem::take(&mut self.lose_answer) {
            return Err(unavailable());
        }
        Ok(Outcome { applied, revision: self.history.revision })
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Exists(key) => self.history.get(key).is_some(),
            Compare::Absent(key) => self.history.get(key).is_none(),
            Compare::ModRevision(key, revision) => {
                self.history.get(key).map_or(NEVER, |kv| kv.mod_revision) == *revision
            }
            Compare::CreateRevision(key, revision) => {
                self.history.get(key).map_or(NEVER, |kv| kv.create_revision) == *revision
            }
        }
    }

    fn check_leases(&self, ops: &[Op]) -> Result<(), StoreError> {
        for op in ops {
            if let Op::Put { lease: Some(id), .. } = op
                && !self.leases.exists(*id)
            {
                return Err(StoreError::NoSuchLease(*id));
            }
        }
        Ok(())
    }

    fn apply(&mut self, op: Op, revision: Revision) {
        match op {
            Op::Put { key, value, lease } => self.put(key, value, lease, revision),
            Op::Delete(key) => self.delete(&key, revision),
            Op::DeletePrefix(prefix) => {
                for key in self.history.keys_in(&Range::prefix(&prefix)) {
                    self.delete(&key, revision);
                }
            }
        }
    }

    fn put(&mut self, key: Key, value: Vec<u8>, lease: Option<LeaseId>, revision: Revision) {
        let kv = KeyValue {
            key: key.clone(),
            value,
            create_revision: revision,
            mod_revision: revision,
            lease,
        };
        let before = self.history.put(revision, kv);
        self.detach(before);
        if let Some(lease) = lease {
            self.leases.attach(lease, key.clone());
        }
        self.watchers.changed(&key, revision);
    }

    fn delete(&mut self, key: &Key, revision: Revision) {
        let before = self.history.delete(revision, key);
        if before.is_some() {
            self.watchers.changed(key, revision);
        }
        self.detach(before);
    }

    fn detach(&mut self, before: Option<KeyValue>) {
        if let Some(KeyValue { key, lease: Some(lease), .. }) = before {
            self.leases.detach(lease, &key);
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn compact(&mut self, revision: Revision) {
        self.history.compact(revision);
    }

    pub(super) fn add_watcher(
        &mut self,
        ranges: Vec<Range>,
        from: Revision,
    ) -> Result<Ticket, StoreError> {
        self.history.check_watchable(from)?;
        Ok(self.watchers.add(ranges, from))
    }

    pub(super) fn remove_watcher(&mut self, ticket: &Ticket) {
        self.watchers.remove(ticket);
    }

    pub(super) fn take_news(&mut self, ticket: &Ticket) -> News {
        self.watchers.take_news(ticket, &self.history)
    }

    pub(super) fn break_watches(&mut self) {
        self.watchers.clear();
    }

    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> Result<Lease, StoreError> {
        self.leases.grant(ttl, now)
    }

    pub(super) fn keep_alive(
        &mut self,
        lease: LeaseId,
        now: Instant,
    ) -> Result<Duration, StoreError> {
        self.leases.renew(lease, now)
    }

    pub(super) fn time_to_live(&self, lease: LeaseId, now: Instant) -> Option<Duration> {
        self.leases.time_left(lease, now)
    }

    /// Ends a lease; its keys go in one revision.
    pub(super) fn revoke(&mut self, lease: LeaseId) {
        let revision = self.history.revision.next();
        for key in self.leases.end(lease) {
            self.delete(&key, revision);
        }
        self.history.trim();
    }

    /// Ends the leases whose time is up. None is during an outage.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.available
            && let Some(lease) = self.leases.overdue(now)
        {
            self.revoke(lease);
        }
    }

    /// When the next lease runs out, unless there is an outage.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        if self.available { self.leases.next_deadline() } else { None }
    }

    pub(super) fn is_available(&self) -> bool {
        self.available
    }

    #[cfg(feature = "testing")]
    pub(super) fn set_available(&mut self, available: bool, now: Instant) {
        if available && !self.available {
            self.leases.renew_all(now);
        }
        if !available {
            self.watchers.clear();
        }
        self.available = available;
    }

    #[cfg(feature = "testing")]
    pub(super) fn changes_since(&self, ranges: &[Range], from: Revision) -> Vec<Change> {
        let (mut all, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next {
            let (changes, rest) = self.history.changes(ranges, from);
            all.extend(changes);
            next = rest;
        }
        all
    }

    #[cfg(feature = "testing")]
    pub(super) fn save(&self) -> Saved {
        Saved { history: self.history.clone(), leases: self.leases.clone() }
    }

    #[cfg(feature = "testing")]
    pub(super) fn restore(&mut self, saved: Saved, now: Instant) {
        let granted = std::mem::replace(&mut self.leases, saved.leases);
        self.history = saved.history;
        self.leases.grant_others_than(&granted);
        self.leases.renew_all(now);
        self.watchers.clear();
    }

    #[cfg(feature = "testing")]
    pub(super) fn end_leases(&mut self) {
        for lease in self.leases.all() {
            self.revoke(lease);
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn lose_next_answer(&mut self) {
        self.lose_answer = true;
    }
}
