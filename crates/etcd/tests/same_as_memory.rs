//! Whatever is done to them, `EtcdStore` and `MemoryStore` do the same: every answer, every
//! revision, the whole history and what watches tell of it.

use std::{sync::Arc, time::Duration};

use fleet_etcd::{EtcdConfig, EtcdStore, Tls};
use fleet_store::{
    Change, Compare, Key, KeyValue, LeaseId, MemoryStore, Op, Range, Revision, Store, StoreError,
    Txn,
};
use fleet_testkit::EtcdServer;
use tokio::time;

const STEPS: usize = 400;
const KEYS: &[&str] = &["/a", "/a/1", "/a/2", "/a/2/3", "/b/1", "/b/2"];
const PREFIXES: &[&str] = &["/a", "/a/", "/a/2", "/b/", "/c"];

/// A store and the leases that were granted on it. In steps and results a lease is its place
/// in that list, since its number is the store's affair.
struct Side {
    store: Arc<dyn Store>,
    leases: Vec<LeaseId>,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Txn),
    Grant,
    Revoke(usize),
}

impl Side {
    async fn take(&mut self, step: Step) -> String {
        match step {
            Step::Commit(txn) => {
                let outcome = self.store.commit(self.with_own_leases(txn)).await;
                outcome.map_or_else(|error| self.tell(&error), |outcome| format!("{outcome:?}"))
            }
            Step::Grant => {
                let lease = self.store.grant(Duration::from_secs(600)).await.unwrap();
                self.leases.push(lease.id);
                format!("granted {:?}", lease.ttl)
            }
            Step::Revoke(place) => {
                self.store.revoke(self.leases[place]).await.unwrap();
                format!("{:?}", self.store.time_to_live(self.leases[place]).await.unwrap())
            }
        }
    }

    fn with_own_leases(&self, mut txn: Txn) -> Txn {
        for op in &mut txn.then {
            if let Op::Put { lease: Some(lease), .. } = op {
                *lease = self.leases[usize::try_from(lease.0).unwrap()];
            }
        }
        txn
    }

    fn place(&self, lease: LeaseId) -> LeaseId {
        let place = self.leases.iter().position(|&own| own == lease).unwrap();
        LeaseId(i64::try_from(place).unwrap())
    }

    fn tell(&self, error: &StoreError) -> String {
        match error {
            StoreError::NoSuchLease(lease) => format!("no lease {:?}", self.place(*lease)),
            StoreError::Compacted(revision) => format!("compacted {revision:?}"),
            StoreError::OutOfSpace => "out of space".to_owned(),
            StoreError::Refused(_) => "refused".to_owned(),
            StoreError::Unavailable(_) => format!("unavailable: {error}"),
        }
    }

    fn normal(&self, mut kv: KeyValue) -> KeyValue {
        kv.lease = kv.lease.map(|lease| self.place(lease));
        kv
    }

    async fn everything(&self, at: Revision) -> Vec<KeyValue> {
        let ranges = [Range::prefix(&Key::from("/"))];
        let snapshot = self.store.read(&ranges, Some(at)).await.unwrap();
        snapshot.ranges[0].kvs.iter().map(|kv| self.normal(kv.clone())).collect()
    }

    /// All that a watch of `prefix` tells up to `last`, which must be a change under it.
    async fn history(&self, prefix: &str, last: Revision) -> Vec<Change> {
        let ranges = [Range::prefix(&prefix.into())];
        let mut changes = self.store.watch(&ranges, Revision(1)).await.unwrap();
        let mut history: Vec<Change> = Vec::new();
        while history.last().is_none_or(|change| change.revision() < last) {
            let event = time::timeout(Duration::from_secs(10), changes.next()).await.unwrap();
            history.extend(event.unwrap().into_iter().map(|change| match change {
                Change::Put(kv) => Change::Put(self.normal(kv)),
                delete @ Change::Delete { .. } => delete,
            }));
        }
        history
    }
}

fn key() -> Key {
    fastrand::choice(KEYS).copied().unwrap().into()
}

/// A step that may well fail: rivals, stale revisions, keys written twice, dead leases.
fn step(leases: usize, newest: i64) -> Step {
    match fastrand::u32(0..20) {
        0 => Step::Grant,
        1 => Step::Revoke(fastrand::usize(..leases)),
        _ => Step::Commit(Txn {
            compare: (0..fastrand::u32(0..3)).map(|_| compare(newest)).collect(),
            then: (0..fastrand::u32(0..4)).map(|n| op(leases, n)).collect(),
        }),
    }
}

fn compare(newest: i64) -> Compare {
    let revision = Revision(fastrand::i64((newest - 5).max(0)..=newest));
    match fastrand::u32(0..6) {
        0 | 1 => Compare::Exists(key()),
        2 | 3 => Compare::Absent(key()),
        4 => Compare::ModRevision(key(), revision),
        _ => Compare::CreateRevision(key(), revision),
    }
}

fn op(leases: usize, n: u32) -> Op {
    let lease = LeaseId(i64::try_from(fastrand::usize(..leases)).unwrap());
    match fastrand::u32(0..10) {
        0..4 => Op::Put { key: key(), value: n.to_string().into_bytes(), lease: None },
        4..7 => Op::Put { key: key(), value: vec![0, 0xff], lease: Some(lease) },
        7..9 => Op::Delete(key()),
        _ => Op::DeletePrefix(fastrand::choice(PREFIXES).copied().unwrap().into()),
    }
}

#[tokio::test]
async fn etcd_and_memory_do_the_same() {
    let server = EtcdServer::start();
    let config = EtcdConfig {
        endpoints: vec![server.endpoint()],
        login: None,
        tls: Tls::default(),
        request_timeout: Duration::from_secs(10),
    };
    let etcd = Arc::new(EtcdStore::connect(config).unwrap());
    let memory = MemoryStore::new();
    let mut sides = [
        Side { store: etcd, leases: vec![] },
        Side { store: Arc::new(memory.clone()), leases: vec![] },
    ];
    let seed = fastrand::u64(..);
    fastrand::seed(seed);

    for number in 0..STEPS {
        let leases = sides[0].leases.len();
        let step = if leases == 0 { Step::Grant } else { step(leases, memory.revision().0) };
        let [etcd, memory] = &mut sides;
        let answers = (etcd.take(step.clone()).await, memory.take(step.clone()).await);
        assert_eq!(answers.0, answers.1, "seed {seed}, step {number}: {step:?}");
    }

    let last = Op::Put { key: "/a/last".into(), value: vec![], lease: None };
    let last = Step::Commit(Txn { compare: vec![], then: vec![last] });
    let [etcd, memory_side] = &mut sides;
    assert_eq!(etcd.take(last.clone()).await, memory_side.take(last).await);
    let newest = memory.revision();
    assert!(newest.0 > 50, "hardly anything was written: {newest:?}");
    for at in (1..=newest.0).map(Revision) {
        assert_eq!(
            etcd.everything(at).await,
            memory_side.everything(at).await,
            "seed {seed}, {at:?}"
        );
    }
    for prefix in ["/", "/a/"] {
        let histories =
            (etcd.history(prefix, newest).await, memory_side.history(prefix, newest).await);
        assert_eq!(histories.0, histories.1, "seed {seed}, {prefix}");
    }
}
