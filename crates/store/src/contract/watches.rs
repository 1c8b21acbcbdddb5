//! What watches promise.

use std::{collections::BTreeSet, sync::Arc};

use super::scope::{Scope, is_refused, next_event};
use crate::{Change, KeyValue, MAX_TXN_OPS, Op, Range, Revision, Store};

/// A watch tells what happened from its revision on, and goes on with what happens then.
pub async fn a_watch_replays_from_a_revision_and_goes_on(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "replay");
    let mut written = Vec::new();
    for value in ["0", "1", "2"] {
        written.push(scope.write(vec![scope.put("a", value)]).await);
    }
    let mut changes = scope.watch(&[scope.range("")], written[1]).await;
    written.push(scope.write(vec![scope.put("a", "3")]).await);
    let expected: Vec<String> =
        (1..4).map(|value| format!("a={value}@{}", written[value].0)).collect();
    assert_eq!(scope.next(&mut changes, 3).await, expected);
}

/// A watch from a revision that isn't there yet is silent until then.
pub async fn a_watch_may_begin_in_the_future(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "from-future");
    let now = scope.write(vec![scope.put("a", "0")]).await;
    let from = Revision(now.0 + 10);
    let mut changes = scope.watch(&[scope.range("")], from).await;
    loop {
        let written = scope.write(vec![scope.put("a", "x")]).await;
        if written >= from {
            assert_eq!(scope.next(&mut changes, 1).await, [format!("a=x@{}", written.0)]);
            return;
        }
    }
}

/// Each range is told in order.
pub async fn several_ranges_are_watched(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "ranges-watched");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let ranges = [scope.range("a/"), scope.range("b/"), Range::key(scope.key("c"))];
    let mut changes = scope.watch(&ranges, start).await;
    let mut expected = BTreeSet::new();
    for name in ["a/1", "b/1", "c", "a/2"] {
        let written = scope.write(vec![scope.put(name, "x")]).await;
        expected.insert(format!("{name}=x@{}", written.0));
    }
    let told = scope.next(&mut changes, 4).await;
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), expected);
    let of_a: Vec<&String> = told.iter().filter(|change| change.starts_with("a/")).collect();
    assert!(of_a[0].starts_with("a/1"), "{told:?}");
}

/// What lies outside of the ranges isn't told.
pub async fn other_keys_are_not_told(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "others");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let mut changes = scope.watch(&[scope.range("a/")], start).await;
    scope.write(["a", "a0", "b", "a."].map(|name| scope.put(name, "no")).into()).await;
    let written = scope.write(vec![scope.put("a/", "yes"), scope.put("b", "no")]).await;
    assert_eq!(scope.next(&mut changes, 1).await, [format!("a/=yes@{}", written.0)]);
}

/// A range of one key is that key.
pub async fn a_single_key_is_watched(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "single");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let mut changes = scope.watch(&[Range::key(scope.key("a"))], start).await;
    scope.write(vec![scope.put("a0", "no"), scope.put("a/1", "no")]).await;
    let written = scope.write(vec![scope.put("a", "yes")]).await;
    assert_eq!(scope.next(&mut changes, 1).await, [format!("a=yes@{}", written.0)]);
}

/// Who watches what can't hold a key is mistaken, and is told so.
pub async fn a_watch_of_nothing_is_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "nothing-watched");
    let from = scope.write(vec![scope.put("a", "1")]).await;
    let backwards = Range { start: scope.key("b"), end: Some(scope.key("a")), limit: 0 };
    let keyless = Range::key("".into());
    for ranges in [vec![], vec![backwards.clone()], vec![scope.range(""), backwards], vec![keyless]]
    {
        let result = scope.store.watch(&ranges, from).await;
        assert!(is_refused(&result), "{ranges:?}: {result:?}");
    }
}

/// What one transaction did to a range comes in one event.
pub async fn a_revision_is_not_split(store: Arc<dyn Store>) {
    const ROUNDS: usize = 20;
    let scope = Scope::new(store, "whole");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let mut live = scope.watch(&[scope.range("a/")], start).await;
    for _ in 0..ROUNDS {
        let ops = (0..MAX_TXN_OPS).map(|n| scope.put(&format!("a/{n}"), "x")).collect();
        scope.write(ops).await;
    }
    let mut replayed = scope.watch(&[scope.range("a/")], start).await;
    for changes in [&mut live, &mut replayed] {
        let mut seen = 0;
        while seen < ROUNDS {
            let event = next_event(changes).await;
            let revisions: BTreeSet<Revision> = event.iter().map(Change::revision).collect();
            assert_eq!(event.len(), revisions.len() * MAX_TXN_OPS);
            seen += revisions.len();
        }
    }
}

/// Deletions are told with their revision; those of nothing aren't.
pub async fn deletions_are_told(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "deletions");
    let start = scope.write(["a/1", "a/2", "b"].map(|name| scope.put(name, "")).into()).await;
    let mut changes = scope.watch(&[scope.range("")], start.next()).await;
    scope.write(vec![scope.delete("never")]).await;
    let first = scope.write(vec![scope.delete("b")]).await.0;
    let second = scope.write(vec![Op::DeletePrefix(scope.key("a/"))]).await.0;
    let expected = [format!("-b@{first}"), format!("-a/1@{second}"), format!("-a/2@{second}")];
    assert_eq!(scope.next(&mut changes, 3).await, expected);
}

/// A put is told as a read would show it.
pub async fn puts_are_told_whole(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "whole-puts");
    let lease = scope.store.grant(std::time::Duration::from_secs(60)).await.unwrap().id;
    let created = scope.write(vec![scope.put("a", "1")]).await;
    let changed = scope.write(vec![scope.put_leased("a", lease)]).await;
    let mut changes = scope.watch(&[scope.range("")], changed).await;
    let kv = KeyValue {
        key: scope.key("a"),
        value: b"leased".to_vec(),
        create_revision: created,
        mod_revision: changed,
        lease: Some(lease),
    };
    assert_eq!(next_event(&mut changes).await, [Change::Put(kv.clone())]);
    assert_eq!(scope.get("a").await, Some(kv));
    scope.store.revoke(lease).await.unwrap();
}

/// Who reads late reads all the same, in order.
pub async fn a_slow_reader_misses_nothing(store: Arc<dyn Store>) {
    const WRITES: usize = 2_000;
    let scope = Scope::new(store, "slow");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let mut changes = scope.watch(&[scope.range("a/")], start).await;
    let mut expected = Vec::with_capacity(WRITES);
    for n in 0..WRITES {
        let written = scope.write(vec![scope.put("a/n", &n.to_string())]).await;
        expected.push(format!("a/n={n}@{}", written.0));
    }
    assert_eq!(scope.next(&mut changes, WRITES).await, expected);
}

/// Watches don't take each other's changes, and one that was dropped disturbs none.
pub async fn many_watches_see_the_same(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "many");
    let start = scope.write(vec![scope.put("z", "")]).await.next();
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(scope.watch(&[scope.range("a/")], start).await);
    }
    watches.truncate(10);
    let written = scope.write(vec![scope.put("a/1", "x")]).await;
    for changes in &mut watches {
        assert_eq!(scope.next(changes, 1).await, [format!("a/1=x@{}", written.0)]);
    }
}
