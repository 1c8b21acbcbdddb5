//! Our requests in etcd's terms, its answers in ours.

use std::time::Duration;

use etcd_client::{
    CompareOp, DeleteOptions, Event, EventType, GetOptions, PutOptions, TxnOp, WatchOptions,
};
use fleet_store::{Change, Compare, KeyValue, LeaseId, Op, Range, RangeResult, Revision, Txn};
use tracing::debug;

/// A range's first key and how to read it.
pub(crate) fn get(range: &Range, at: Option<Revision>) -> (&str, GetOptions) {
    // A limit beyond what etcd can be told is none.
    let limit = i64::try_from(range.limit).unwrap_or(0);
    // To etcd 0 and less is the newest; to us it is as far away as what isn't there yet.
    let revision = at.map_or(0, |at| if at.0 < 1 { i64::MAX } else { at.0 });
    let options = GetOptions::new().with_limit(limit).with_revision(revision);
    let options = match &range.end {
        None => options,
        Some(end) => options.with_range(end.as_str()),
    };
    (range.start.as_str(), options)
}

/// A range's first key and how to watch it.
pub(crate) fn watch(range: &Range, from: Revision) -> (&str, WatchOptions) {
    // To etcd 0 is "from now on"; nothing ever happened at 0, so 1 means the same as 0 to us.
    let options = WatchOptions::new().with_start_revision(from.0.max(1));
    let options = match &range.end {
        None => options,
        Some(end) => options.with_range(end.as_str()),
    };
    (range.start.as_str(), options)
}

pub(crate) fn txn(txn: &Txn) -> etcd_client::Txn {
    etcd_client::Txn::new()
        .when(txn.compare.iter().map(compare).collect::<Vec<_>>())
        .and_then(txn.then.iter().map(op).collect::<Vec<_>>())
}

fn compare(compare: &Compare) -> etcd_client::Compare {
    match compare {
        Compare::Exists(key) => etcd_client::Compare::version(key.as_str(), CompareOp::Greater, 0),
        Compare::Absent(key) => etcd_client::Compare::version(key.as_str(), CompareOp::Equal, 0),
        Compare::ModRevision(key, revision) => {
            etcd_client::Compare::mod_revision(key.as_str(), CompareOp::Equal, revision.0)
        }
        Compare::CreateRevision(key, revision) => {
            etcd_client::Compare::create_revision(key.as_str(), CompareOp::Equal, revision.0)
        }
    }
}

fn op(op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(named(lease)));
            TxnOp::put(key.as_str(), value.clone(), options)
        }
        Op::Delete(key) => TxnOp::delete(key.as_str(), None),
        // Not `with_prefix`, to which no prefix is everything that etcd holds.
        Op::DeletePrefix(prefix) => {
            let end = Range::prefix(prefix).end;
            let options = end.map(|end| DeleteOptions::new().with_range(end.as_str()));
            TxnOp::delete(prefix.as_str(), options)
        }
    }
}

/// A lease's number in a put. To etcd 0 is no lease at all; to us it is one that doesn't exist.
fn named(lease: LeaseId) -> i64 {
    /// etcd grants positive numbers only.
    const NEVER_GRANTED: i64 = -1;
    if lease.0 == 0 { NEVER_GRANTED } else { lease.0 }
}

/// What a range held.
///
/// Keys that aren't UTF-8 can't be ours, nor be named by us; they are left out.
pub(crate) fn range_result(mut response: etcd_client::GetResponse) -> RangeResult {
    let more = response.more();
    RangeResult { kvs: response.take_kvs().into_iter().filter_map(key_value).collect(), more }
}

fn key_value(kv: etcd_client::KeyValue) -> Option<KeyValue> {
    let create_revision = Revision(kv.create_revision());
    let mod_revision = Revision(kv.mod_revision());
    let lease = Some(LeaseId(kv.lease())).filter(|lease| lease.0 != 0);
    let (key, value) = kv.into_key_value();
    let key = text(key)?.into();
    Some(KeyValue { key, value, create_revision, mod_revision, lease })
}

/// What happened, unless it happened to a key that isn't UTF-8.
pub(crate) fn change(event: &Event) -> Option<Change> {
    let kv = event.kv()?;
    match event.event_type() {
        EventType::Put => key_value(kv.clone()).map(Change::Put),
        EventType::Delete => {
            let key = text(kv.key().to_vec())?.into();
            Some(Change::Delete { key, revision: Revision(kv.mod_revision()) })
        }
    }
}

fn text(key: Vec<u8>) -> Option<String> {
    String::from_utf8(key)
        .inspect_err(|error| debug!(key = ?error.as_bytes(), "skipping a key that is not text"))
        .ok()
}

/// A lease's time as etcd tells it.
pub(crate) fn whole_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
