//! One of the two stores, with what was granted and is watched on it.

use std::{sync::Arc, time::Duration};

use etcd_client::KvClient;
use fleet_store::{
    Change, Compare, Key, KeyValue, LeaseId, MemoryStore, Op, Outcome, Range, Revision, Snapshot,
    Store, StoreError, Txn,
};
use tokio::time;

use crate::{
    step::{Condition, Step, When, Which, Write},
    watched::Watched,
};

/// To what a lease's time left is rounded up: the clocks don't tick together.
const TICK: u64 = 30;

/// The leases of each sequence, which are enough for most, and their time to live.
const LEASES: usize = 2;
const TTL: Duration = Duration::from_secs(300);

/// How a store is compacted, which isn't for [`Store`] to do.
pub(crate) enum Compacter {
    Etcd(Box<KvClient>),
    Memory(MemoryStore),
}

pub(crate) struct Side {
    store: Arc<dyn Store>,
    compacter: Compacter,
    leases: Vec<LeaseId>,
    pub(crate) watches: Vec<Watched>,
}

/// What is known of both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) newest: Revision,
    /// The oldest revision that can be read.
    pub(crate) compacted: Revision,
}

impl Known {
    pub(crate) fn revision(&self, when: When) -> Revision {
        match when {
            When::Back(by) => Revision(self.newest.0 - i64::from(by)),
            When::Ahead(by) => Revision(self.newest.0 + i64::from(by)),
            When::Exactly(revision) => Revision(revision),
        }
    }
}

impl Side {
    pub(crate) fn new(store: Arc<dyn Store>, compacter: Compacter) -> Self {
        Self { store, compacter, leases: vec![], watches: vec![] }
    }

    /// Takes a step and says what became of it, in words that are the same for both sides.
    pub(crate) async fn take(&mut self, step: &Step, known: Known) -> String {
        self.try_step(step, known).await.unwrap_or_else(|error| self.fault(&error))
    }

    async fn try_step(&mut self, step: &Step, known: Known) -> Result<String, StoreError> {
        Ok(match step {
            Step::Commit { compare, then } => {
                let compare = compare.iter().map(|condition| comparison(condition, known));
                let then = then.iter().map(|write| self.op(write)).collect();
                format!("{:?}", self.commit(compare.collect(), then).await?)
            }
            Step::Many { comparisons, deletions } => {
                let compare = vec![Compare::Absent("/none".into()); *comparisons];
                let then = vec![Op::Delete("/none".into()); *deletions];
                format!("{:?}", self.commit(compare, then).await?)
            }
            Step::Read { ranges, at } => {
                let snapshot = self.store.read(ranges, at.map(|at| known.revision(at))).await?;
                format!("{:?}", self.with_places(snapshot))
            }
            Step::Pages { prefix, limit, at } => {
                self.pages(prefix, *limit, at.map(|at| known.revision(at))).await?
            }
            Step::Watch { ranges, from } => {
                self.watch(ranges, known.revision(*from), known.compacted).await?
            }
            Step::Grant(ttl) => {
                let lease = self.store.grant(*ttl).await?;
                self.leases.push(lease.id);
                format!("granted {:?}", lease.ttl)
            }
            Step::KeepAlive(which) => {
                format!("{:?}", self.store.keep_alive(self.lease(*which)).await?)
            }
            Step::TimeToLive(which) => {
                let left = self.store.time_to_live(self.lease(*which)).await?;
                format!("{:?}", left.map(|left| left.as_secs().div_ceil(TICK) * TICK))
            }
            Step::Revoke(which) => {
                self.store.revoke(self.lease(*which)).await?;
                "revoked".to_owned()
            }
            Step::Compact(_) | Step::Settle => "done with both sides together".to_owned(),
        })
    }

    pub(crate) async fn commit(
        &self,
        compare: Vec<Compare>,
        then: Vec<Op>,
    ) -> Result<Outcome, StoreError> {
        self.store.commit(Txn { compare, then }).await
    }

    /// All that is there.
    pub(crate) async fn everything(&self) -> String {
        let snapshot = self.store.read(&[Range::prefix(&"/".into())], None).await.unwrap();
        format!("{:?}", self.with_places(snapshot))
    }

    async fn pages(
        &self,
        prefix: &Key,
        limit: usize,
        mut at: Option<Revision>,
    ) -> Result<String, StoreError> {
        let mut range = Range::prefix(prefix);
        let mut pages = Vec::new();
        loop {
            let snapshot = self.store.read(&[range.limit(limit)], at).await?;
            at = Some(snapshot.revision);
            let last = snapshot.ranges[0].kvs.last().filter(|_| snapshot.ranges[0].more);
            let Some(last) = last.map(|kv| kv.key.clone()) else {
                pages.push(self.with_places(snapshot));
                return Ok(format!("{pages:?}"));
            };
            pages.push(self.with_places(snapshot));
            range = Range::prefix_after(prefix, &last);
        }
    }

    async fn watch(
        &mut self,
        ranges: &[Range],
        from: Revision,
        compacted: Revision,
    ) -> Result<String, StoreError> {
        let mut changes = self.store.watch(ranges, from).await?;
        if from < compacted {
            // It is refused in any case: at once, or by its first word.
            return match time::timeout(self.patience(), changes.next()).await {
                Ok(word) => word.map(|event| format!("told what was forgotten: {event:?}")),
                Err(_) => Ok("silent, though it asked for what was forgotten".to_owned()),
            };
        }
        self.watches.push(Watched::new(changes, ranges, from, compacted, self.patience()));
        Ok("watching".to_owned())
    }

    /// What its watches have told so far.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        for (number, watch) in self.watches.iter().enumerate() {
            text += &format!("watch {number} from {:?}", watch.from);
            for (range, changes) in watch.told() {
                let changes: Vec<Change> =
                    changes.into_iter().map(|change| self.change(change.clone())).collect();
                text += &format!(", {range:?}: {changes:?}");
            }
        }
        text
    }

    /// Forgets what was before `revision`.
    pub(crate) async fn compact(&mut self, revision: Revision) {
        match &mut self.compacter {
            Compacter::Etcd(client) => {
                client.compact(revision.0, None).await.unwrap();
            }
            Compacter::Memory(store) => store.compact(revision),
        }
    }

    /// How long a watch may take to tell what is to come. Memory only has to be asked; to wait long
    /// for it would make it take long to shrink a sequence after which it is silent.
    fn patience(&self) -> Duration {
        match &self.compacter {
            Compacter::Etcd(_) => Duration::from_secs(20),
            Compacter::Memory(_) => Duration::from_secs(1),
        }
    }

    /// Begins anew: ends its watches and leases, deletes all keys, grants the leases that each sequence
    /// has from the beginning, and says at which revision all this ends.
    pub(crate) async fn clear(&mut self) -> Revision {
        self.watches.clear();
        for lease in self.leases.drain(..) {
            self.store.revoke(lease).await.unwrap();
        }
        for _ in 0..LEASES {
            self.leases.push(self.store.grant(TTL).await.unwrap().id);
        }
        self.write(vec![Op::DeletePrefix("/".into()), advance()]).await
    }

    /// Raises the revision.
    pub(crate) async fn advance(&self) -> Revision {
        self.write(vec![advance()]).await
    }

    async fn write(&self, then: Vec<Op>) -> Revision {
        self.commit(vec![], then).await.unwrap().revision
    }

    fn op(&self, write: &Write) -> Op {
        match write {
            Write::Put { key, value, lease } => Op::Put {
                key: (*key).into(),
                value: value.clone(),
                lease: lease.map(|which| self.lease(which)),
            },
            Write::Delete(key) => Op::Delete((*key).into()),
            Write::DeletePrefix(prefix) => Op::DeletePrefix((*prefix).into()),
        }
    }

    fn lease(&self, which: Which) -> LeaseId {
        match which {
            Which::Granted(place) => self.leases[place % self.leases.len()],
            Which::Never(id) => LeaseId(id),
        }
    }

    /// A lease's place among those granted, since its number is the store's affair.
    fn place(&self, lease: LeaseId) -> LeaseId {
        let place = self.leases.iter().position(|own| *own == lease);
        place.map_or(lease, |place| LeaseId(i64::try_from(place).unwrap()))
    }

    fn key_value(&self, mut kv: KeyValue) -> KeyValue {
        kv.lease = kv.lease.map(|lease| self.place(lease));
        kv
    }

    fn change(&self, change: Change) -> Change {
        match change {
            Change::Put(kv) => Change::Put(self.key_value(kv)),
            delete @ Change::Delete { .. } => delete,
        }
    }

    fn with_places(&self, mut snapshot: Snapshot) -> Snapshot {
        for range in &mut snapshot.ranges {
            range.kvs = range.kvs.drain(..).map(|kv| self.key_value(kv)).collect();
        }
        snapshot
    }

    fn fault(&self, error: &StoreError) -> String {
        match error {
            StoreError::NoSuchLease(lease) => format!("no lease {:?}", self.place(*lease)),
            StoreError::Compacted(revision) => format!("compacted {revision:?}"),
            StoreError::OutOfSpace => "out of space".to_owned(),
            StoreError::Refused(_) => "refused".to_owned(),
            StoreError::Unavailable(_) => format!("unavailable: {error}"),
        }
    }
}

pub(crate) fn put(key: &Key) -> Op {
    Op::Put { key: key.clone(), value: b"put".to_vec(), lease: None }
}

/// Writes something that no step looks at, for the sake of the revision.
fn advance() -> Op {
    put(&"advance".into())
}

fn comparison(condition: &Condition, known: Known) -> Compare {
    match *condition {
        Condition::Exists(key) => Compare::Exists(key.into()),
        Condition::Absent(key) => Compare::Absent(key.into()),
        Condition::Changed(key, when) => Compare::ModRevision(key.into(), known.revision(when)),
        Condition::Created(key, when) => Compare::CreateRevision(key.into(), known.revision(when)),
    }
}
