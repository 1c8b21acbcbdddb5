//! The leases: their deadlines and the keys that hang on them. No clock: `now` is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Key, Lease, LeaseId, StoreError};

/// The longest lease that etcd grants, in seconds.
const MAX_TTL: u64 = 9_000_000_000;

#[derive(Clone, Default)]
pub(super) struct Leases {
    last: i64,
    by_id: BTreeMap<LeaseId, Record>,
    by_deadline: BTreeSet<(Instant, LeaseId)>,
}

#[derive(Clone)]
struct Record {
    ttl: Duration,
    deadline: Instant,
    keys: BTreeSet<Key>,
}

impl Leases {
    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> Result<Lease, StoreError> {
        let rounded_up = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        if rounded_up > MAX_TTL {
            return Err(StoreError::Refused("too large lease TTL".into()));
        }
        let ttl = Duration::from_secs(rounded_up.max(1));
        self.last += 1;
        let id = LeaseId(self.last);
        let deadline = now + ttl;
        self.by_id.insert(id, Record { ttl, deadline, keys: BTreeSet::new() });
        self.by_deadline.insert((deadline, id));
        Ok(Lease { id, ttl })
    }

    /// Gives a lease its full time again.
    pub(super) fn renew(&mut self, id: LeaseId, now: Instant) -> Result<Duration, StoreError> {
        let lease = self.by_id.get_mut(&id).ok_or(StoreError::NoSuchLease(id))?;
        self.by_deadline.remove(&(lease.deadline, id));
        lease.deadline = now + lease.ttl;
        self.by_deadline.insert((lease.deadline, id));
        Ok(lease.ttl)
    }

    /// All there are.
    #[cfg(feature = "testing")]
    pub(super) fn all(&self) -> Vec<LeaseId> {
        self.by_id.keys().copied().collect()
    }

    /// Gives no lease an id that another had before the store was restored, as etcd doesn't.
    #[cfg(feature = "testing")]
    pub(super) fn grant_others_than(&mut self, granted: &Self) {
        self.last = self.last.max(granted.last);
    }

    /// Gives every lease its full time again.
    #[cfg(feature = "testing")]
    pub(super) fn renew_all(&mut self, now: Instant) {
        self.by_deadline.clear();
        for (id, lease) in &mut self.by_id {
            lease.deadline = now + lease.ttl;
            self.by_deadline.insert((lease.deadline, *id));
        }
    }

    pub(super) fn exists(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The time left, in whole seconds as etcd tells it.
    pub(super) fn time_left(&self, id: LeaseId, now: Instant) -> Option<Duration> {
        let left = self.by_id.get(&id)?.deadline.saturating_duration_since(now);
        Some(Duration::from_secs(left.as_secs()))
    }

    /// Ends a lease and returns the keys that hung on it.
    pub(super) fn end(&mut self, id: LeaseId) -> BTreeSet<Key> {
        let Some(lease) = self.by_id.remove(&id) else {
            return BTreeSet::new();
        };
        self.by_deadline.remove(&(lease.deadline, id));
        lease.keys
    }

    pub(super) fn attach(&mut self, id: LeaseId, key: Key) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.insert(key);
        }
    }

    pub(super) fn detach(&mut self, id: LeaseId, key: &Key) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// When the first lease runs out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// A lease whose time is up, the longest overdue first.
    pub(super) fn overdue(&self, now: Instant) -> Option<LeaseId> {
        self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }
}
