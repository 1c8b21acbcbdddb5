//! What happens when the past is forgotten.
//!
//! These want a store that nobody else uses, and `compact`, which makes it forget what was before
//! a revision.

use std::sync::Arc;

use super::scope::{Scope, in_time};
use crate::{Changes, Revision, Store, StoreError};

/// What was before the compaction can't be read; what was at it and after can.
pub async fn reads_from_before_fail(store: Arc<dyn Store>, compact: impl AsyncFn(Revision)) {
    let scope = Scope::new(store, "compacted-read");
    let first = scope.write(vec![scope.put("a", "1"), scope.put("gone", "1")]).await;
    let second = scope.write(vec![scope.put("a", "2"), scope.delete("gone")]).await;
    let third = scope.write(vec![scope.put("a", "3"), scope.put("b", "3")]).await;
    compact(second).await;

    let result = scope.store.read(&[scope.range("")], Some(first)).await;
    assert!(matches!(result, Err(StoreError::Compacted(at)) if at == first), "{result:?}");
    for (at, expected) in [(second, &["a"][..]), (third, &["a", "b"])] {
        let kvs = scope.read(scope.range(""), Some(at)).await;
        let names: Vec<String> = kvs.iter().map(|kv| scope.name(&kv.key)).collect();
        assert_eq!(names, expected, "at {at:?}");
    }
    assert_eq!(scope.get("a").await.unwrap().value, b"3");
}

/// A watch from before the compaction says so, at once or as its last word.
pub async fn watches_from_before_fail(store: Arc<dyn Store>, compact: impl AsyncFn(Revision)) {
    let scope = Scope::new(store, "compacted-watch");
    let first = scope.write(vec![scope.put("a", "1")]).await;
    for value in ["2", "3", "4"] {
        scope.write(vec![scope.put("a", value)]).await;
    }
    let newest = scope.write(vec![scope.put("a", "5")]).await;
    compact(newest).await;

    for ranges in [vec![scope.range("")], vec![scope.range("x/"), scope.range("a")]] {
        let error = match scope.store.watch(&ranges, first).await {
            Err(error) => error,
            Ok(mut changes) => last_word(&mut changes).await,
        };
        assert!(matches!(error, StoreError::Compacted(_)), "{error:?}");
    }
    let written = scope.write(vec![scope.put("a", "6")]).await;
    let mut changes = scope.watch(&[scope.range("")], newest.next()).await;
    assert_eq!(scope.next(&mut changes, 1).await, [format!("a=6@{}", written.0)]);
}

/// A watch that has seen everything isn't disturbed.
pub async fn watches_that_are_up_to_date_go_on(
    store: Arc<dyn Store>,
    compact: impl AsyncFn(Revision),
) {
    let scope = Scope::new(store, "compacted-live");
    let start = scope.write(vec![scope.put("a", "0")]).await;
    let mut busy = scope.watch(&[scope.range("a")], start).await;
    // From now on: what begins earlier, etcd takes for behind until its next round of 100 ms.
    let mut idle = scope.watch(&[scope.range("i")], start.next()).await;
    assert_eq!(scope.next(&mut busy, 1).await.len(), 1);
    for value in ["1", "2", "3"] {
        let written = scope.write(vec![scope.put("a", value)]).await;
        assert_eq!(scope.next(&mut busy, 1).await, [format!("a={value}@{}", written.0)]);
        compact(written).await;
    }
    let written = scope.write(vec![scope.put("a", "4"), scope.put("i", "4")]).await;
    assert_eq!(scope.next(&mut busy, 1).await, [format!("a=4@{}", written.0)]);
    assert_eq!(scope.next(&mut idle, 1).await, [format!("i=4@{}", written.0)]);
}

/// The error that a watch ends with. Nothing of what was forgotten may come before it.
async fn last_word(changes: &mut Changes) -> StoreError {
    match in_time("the end of a watch", changes.next()).await {
        Ok(event) => panic!("told from before the compaction: {event:?}"),
        Err(error) => error,
    }
}
