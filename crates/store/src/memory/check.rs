//! What etcd refuses before it looks at its data.

use std::collections::BTreeSet;

use crate::{Compare, Key, MAX_TXN_OPS, Op, Range, StoreError, Txn};

/// etcd's default limit of a request (`--max-request-bytes`), here of keys and values alone.
const MAX_REQUEST_BYTES: usize = 1536 * 1024;

/// A read goes out as one transaction, so it may name as many ranges as one holds operations.
pub(super) fn ranges(ranges: &[Range]) -> Result<(), StoreError> {
    if ranges.len() > MAX_TXN_OPS {
        return refused("too many operations in txn request");
    }
    has_starts(ranges)
}

/// A watch has one of etcd's watchers per range.
pub(super) fn watched(ranges: &[Range]) -> Result<(), StoreError> {
    if ranges.is_empty() {
        return refused("a watch of nothing");
    }
    if ranges.iter().any(Range::is_empty) {
        return refused("watcher range is empty");
    }
    has_starts(ranges)
}

fn has_starts(ranges: &[Range]) -> Result<(), StoreError> {
    if ranges.iter().any(|range| range.start.as_str().is_empty()) {
        return refused("key is not provided");
    }
    Ok(())
}

/// Number and size of the operations, and that no key is written twice.
pub(super) fn txn(txn: &Txn) -> Result<(), StoreError> {
    if txn.compare.len() > MAX_TXN_OPS || txn.then.len() > MAX_TXN_OPS {
        return refused("too many operations in txn request");
    }
    let mut keys = txn.compare.iter().map(compared).chain(txn.then.iter().map(written));
    if keys.any(|key| key.as_str().is_empty()) {
        return refused("key is not provided");
    }
    if txn.compare.iter().map(compared).map(size).sum::<usize>()
        + txn.then.iter().map(|op| size(written(op)) + value_size(op)).sum::<usize>()
        > MAX_REQUEST_BYTES
    {
        return refused("request is too large");
    }
    no_key_twice(&txn.then)
}

/// As etcd: a key may be put once, and not together with a deletion that covers it;
/// deletions may overlap.
fn no_key_twice(ops: &[Op]) -> Result<(), StoreError> {
    let deleted: Vec<Range> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Put { .. } => None,
            Op::Delete(key) => Some(Range::key(key.clone())),
            Op::DeletePrefix(prefix) => Some(Range::prefix(prefix)),
        })
        .collect();
    let mut put = BTreeSet::new();
    for op in ops {
        if let Op::Put { key, .. } = op
            && (!put.insert(key) || deleted.iter().any(|range| range.contains(key)))
        {
            return refused("duplicate key given in txn request");
        }
    }
    Ok(())
}

fn compared(compare: &Compare) -> &Key {
    match compare {
        Compare::Exists(key)
        | Compare::Absent(key)
        | Compare::ModRevision(key, _)
        | Compare::CreateRevision(key, _) => key,
    }
}

fn written(op: &Op) -> &Key {
    match op {
        Op::Put { key, .. } | Op::Delete(key) | Op::DeletePrefix(key) => key,
    }
}

fn size(key: &Key) -> usize {
    key.as_str().len()
}

fn value_size(op: &Op) -> usize {
    match op {
        Op::Put { value, .. } => value.len(),
        Op::Delete(_) | Op::DeletePrefix(_) => 0,
    }
}

fn refused(why: &'static str) -> Result<(), StoreError> {
    Err(StoreError::Refused(why.into()))
}
