//! What reads promise.

use std::sync::Arc;

use super::scope::{Scope, is_refused};
use crate::{MAX_TXN_OPS, Op, Range, Revision, Store, StoreError};

/// Reads at an old revision show what was there then.
pub async fn the_past_can_be_read(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "past");
    let first = scope.write(vec![scope.put("a", "1"), scope.put("b", "1")]).await;
    let second = scope.write(vec![scope.put("a", "2"), scope.delete("b")]).await;
    let third = scope.write(vec![scope.put("b", "3")]).await;

    for (at, expected) in [
        (Revision(first.0 - 1), vec![]),
        (first, vec!["a=1", "b=1"]),
        (second, vec!["a=2"]),
        (third, vec!["a=2", "b=3"]),
    ] {
        let snapshot = scope.store.read(&[scope.range("")], Some(at)).await.unwrap();
        let told: Vec<String> = snapshot.ranges[0]
            .kvs
            .iter()
            .map(|kv| format!("{}={}", scope.name(&kv.key), String::from_utf8_lossy(&kv.value)))
            .collect();
        assert_eq!(told, expected, "at {at:?}");
        assert_eq!(snapshot.revision, at);
    }
}

/// A revision that the store hasn't reached is refused like one that it has forgotten.
pub async fn the_future_can_not_be_read(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "future");
    let now = scope.write(vec![scope.put("a", "1")]).await;
    let later = Revision(now.0 + 1_000_000);
    let result = scope.store.read(&[scope.range("")], Some(later)).await;
    assert!(matches!(result, Err(StoreError::Compacted(at)) if at == later), "{result:?}");
}

/// 0 is a revision like any other, and not another name of the newest.
pub async fn nothing_was_before_the_first_revision(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "before");
    scope.write(vec![scope.put("a", "1")]).await;
    for at in [0, -1, i64::MIN].map(Revision) {
        let result = scope.store.read(&[scope.range("")], Some(at)).await;
        assert!(matches!(result, Err(StoreError::Compacted(old)) if old == at), "{result:?}");
    }
}

/// A snapshot of several ranges never shows half of a transaction.
pub async fn several_ranges_are_read_at_one_revision(store: Arc<dyn Store>) {
    const ROUNDS: usize = 100;
    let scope = Scope::new(store, "snapshot");
    let write = async {
        for round in 0..ROUNDS {
            let value = round.to_string();
            scope.write(vec![scope.put("x/n", &value), scope.put("y/n", &value)]).await;
        }
    };
    let read = async {
        for _ in 0..ROUNDS {
            let ranges = [scope.range("x/"), scope.range("y/")];
            let snapshot = scope.store.read(&ranges, None).await.unwrap();
            let [x, y] = &snapshot.ranges[..] else { panic!("one result per range") };
            let values = |kvs: &[crate::KeyValue]| -> Vec<(Vec<u8>, Revision)> {
                kvs.iter().map(|kv| (kv.value.clone(), kv.mod_revision)).collect()
            };
            assert_eq!(values(&x.kvs), values(&y.kvs));
            assert!(x.kvs.iter().all(|kv| kv.mod_revision <= snapshot.revision));
        }
    };
    tokio::join!(write, read);
}

/// A read tells the revision that it was made at, even of nothing.
pub async fn no_ranges_tell_the_newest_revision(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "revision");
    let written = scope.write(vec![scope.put("a", "1")]).await;
    let snapshot = scope.store.read(&[], None).await.unwrap();
    assert!(snapshot.revision >= written && snapshot.ranges.is_empty(), "{snapshot:?}");

    let nothing = scope.store.read(&[scope.range("nothing/")], None).await.unwrap();
    assert_eq!(nothing.ranges.len(), 1);
    assert!(nothing.ranges[0].kvs.is_empty() && !nothing.ranges[0].more);
}

/// Keys are ordered by their bytes.
pub async fn keys_come_in_the_order_of_their_bytes(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "order");
    let names = ["b", "a/b", "a", "a0", "B", "ä", "a.b", "10", "9"];
    scope.write(names.iter().map(|name| scope.put(name, "")).collect()).await;
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(scope.names(scope.range("")).await, sorted);
}

/// A limit is kept per range, and `more` says whether it cut anything.
pub async fn a_limit_cuts_and_says_so(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "limit");
    scope.write(["a/1", "a/2", "a/3", "b/1"].map(|name| scope.put(name, "")).into()).await;
    for (limit, found, more) in [(0, 3, false), (1, 1, true), (2, 2, true), (3, 3, false)] {
        let ranges = [scope.range("a/").limit(limit), scope.range("b/")];
        let snapshot = scope.store.read(&ranges, None).await.unwrap();
        assert_eq!(snapshot.ranges[0].kvs.len(), found, "limit {limit}");
        assert_eq!(snapshot.ranges[0].more, more, "limit {limit}");
        assert_eq!(snapshot.ranges[1].kvs.len(), 1, "a limit is of its range alone");
    }
}

/// Pages that follow each other at the revision of the first miss and repeat nothing, whatever
/// is written meanwhile.
pub async fn pages_at_one_revision_show_each_key_once(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "pages");
    let names: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    scope.write(names.iter().map(|name| scope.put(name, "")).collect()).await;

    let mut seen = Vec::new();
    let mut range = scope.range("");
    let mut at = None;
    loop {
        let snapshot = scope.store.read(&[range.limit(3)], at).await.unwrap();
        at = Some(snapshot.revision);
        let page = &snapshot.ranges[0];
        seen.extend(page.kvs.iter().map(|kv| scope.name(&kv.key)));
        if !page.more {
            break;
        }
        range = Range::prefix_after(&scope.key(""), &page.kvs.last().unwrap().key);
        scope.write(vec![scope.delete("k9"), scope.put(&format!("new{}", seen.len()), "")]).await;
    }
    assert_eq!(seen, names);
}

/// A range holds exactly its keys, not those that only look alike.
pub async fn single_keys_and_prefixes_hold_no_more_than_they_say(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "ranges");
    let names = ["a", "a/", "a/1", "a/1\0", "a/2", "a0", "b"];
    scope.write(names.iter().map(|name| scope.put(name, "")).collect()).await;
    for (range, expected) in [
        (Range::key(scope.key("a")), &["a"][..]),
        (scope.range("a/"), &["a/", "a/1", "a/1\0", "a/2"]),
        (Range::prefix_after(&scope.key("a/"), &scope.key("a/1")), &["a/1\0", "a/2"]),
        (Range { start: scope.key("b"), end: Some(scope.key("a")), limit: 0 }, &[]),
    ] {
        assert_eq!(scope.names(range.clone()).await, expected, "{range:?}");
    }
}

/// One read names as many ranges as a transaction holds operations.
pub async fn too_many_ranges_are_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "many-ranges");
    let ranges = vec![scope.range("a/"); MAX_TXN_OPS + 1];
    assert!(scope.store.read(&ranges[1..], None).await.is_ok());
    assert!(is_refused(&scope.store.read(&ranges, None).await));
}

/// Values are bytes, not text.
pub async fn values_are_any_bytes(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "bytes");
    let all: Vec<u8> = (0..=255).collect();
    for (name, value) in [("all", all), ("empty", vec![]), ("zeros", vec![0; 3])] {
        scope
            .write(vec![Op::Put { key: scope.key(name), value: value.clone(), lease: None }])
            .await;
        assert_eq!(scope.get(name).await.unwrap().value, value);
    }
}

/// A value of a mebibyte comes back whole.
pub async fn large_values_are_kept(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "large");
    let value: Vec<u8> = (0..1024 * 1024).map(|n: u32| n.to_le_bytes()[0] ^ 0xa5).collect();
    scope.write(vec![Op::Put { key: scope.key("a"), value: value.clone(), lease: None }]).await;
    assert!(scope.get("a").await.unwrap().value == value);
}

/// What gRPC allows by default isn't the limit of an answer.
pub async fn an_answer_may_be_larger_than_four_mebibytes(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "large-answer");
    for n in 0..6 {
        let value = vec![n; 1024 * 1024];
        let key = scope.key(&n.to_string());
        scope.write(vec![Op::Put { key, value, lease: None }]).await;
    }
    let kvs = scope.read(scope.range(""), None).await;
    assert_eq!(kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 6 * 1024 * 1024);
}

/// A range without a limit is read whole.
pub async fn thousands_of_keys_are_read_at_once(store: Arc<dyn Store>) {
    const KEYS: usize = 3_000;
    let scope = Scope::new(store, "thousands");
    let names: Vec<String> = (0..KEYS).map(|n| format!("{n:05}")).collect();
    for chunk in names.chunks(MAX_TXN_OPS) {
        scope.write(chunk.iter().map(|name| scope.put(name, name)).collect()).await;
    }
    let snapshot = scope.store.read(&[scope.range("")], None).await.unwrap();
    assert!(!snapshot.ranges[0].more);
    let found: Vec<String> = snapshot.ranges[0].kvs.iter().map(|kv| scope.name(&kv.key)).collect();
    assert_eq!(found, names);
}
