//! What transactions promise.

use std::sync::Arc;

use super::scope::{Scope, is_refused};
use crate::{Compare, Key, MAX_TXN_OPS, Op, Revision, Store};

/// Every kind of comparison, on a key that is there and on one that isn't.
pub async fn each_comparison_holds_when_it_should(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "compare");
    let created = scope.write(vec![scope.put("here", "1"), scope.put("gone", "1")]).await;
    let changed = scope.write(vec![scope.put("here", "2"), scope.delete("gone")]).await;
    let (here, gone, never) = (scope.key("here"), scope.key("gone"), scope.key("never"));
    let none = Revision(0);
    for (compare, holds) in [
        (Compare::Exists(here.clone()), true),
        (Compare::Exists(gone.clone()), false),
        (Compare::Exists(never.clone()), false),
        (Compare::Absent(here.clone()), false),
        (Compare::Absent(gone.clone()), true),
        (Compare::Absent(never.clone()), true),
        (Compare::ModRevision(here.clone(), changed), true),
        (Compare::ModRevision(here.clone(), created), false),
        (Compare::ModRevision(gone.clone(), changed), false),
        (Compare::ModRevision(here.clone(), none), false),
        (Compare::ModRevision(never.clone(), none), true),
        (Compare::CreateRevision(here.clone(), created), true),
        (Compare::CreateRevision(here, changed), false),
        (Compare::CreateRevision(gone.clone(), created), false),
        (Compare::CreateRevision(gone, none), true),
        (Compare::CreateRevision(never, created), false),
    ] {
        let outcome = scope.try_commit(vec![compare.clone()], vec![]).await.unwrap();
        assert_eq!(outcome.applied, holds, "{compare:?}");
    }
}

/// One comparison that fails is enough, and then nothing happens.
pub async fn nothing_is_written_unless_all_comparisons_hold(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "atomic");
    scope.write(vec![scope.put("here", "1")]).await;
    let holds = Compare::Exists(scope.key("here"));
    let fails = Compare::Exists(scope.key("never"));
    let ops = vec![scope.put("new", "1"), scope.delete("here")];

    for compare in [vec![holds.clone(), fails.clone()], vec![fails.clone(), holds.clone()]] {
        let outcome = scope.try_commit(compare, ops.clone()).await.unwrap();
        assert!(!outcome.applied);
        assert_eq!(scope.names(scope.range("")).await, ["here"]);
    }
    assert!(scope.try_commit(vec![holds], ops).await.unwrap().applied);
    assert_eq!(scope.names(scope.range("")).await, ["new"]);
}

/// All writes of one transaction have its revision.
pub async fn writes_of_a_transaction_share_one_revision(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "one-revision");
    let before = scope.write(vec![scope.put("a", "0")]).await;
    let revision = scope.write(["a", "b", "c"].map(|name| scope.put(name, "1")).into()).await;
    assert!(revision > before);
    let kvs = scope.read(scope.range(""), None).await;
    assert_eq!(kvs.len(), 3);
    assert!(kvs.iter().all(|kv| kv.mod_revision == revision), "{kvs:?}");
}

/// A transaction that changes nothing applies all the same, and takes no revision.
pub async fn a_transaction_that_writes_nothing_has_no_revision(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "nothing-written");
    let ops = vec![scope.delete("never"), Op::DeletePrefix(scope.key("never/"))];
    let outcome = scope.try_commit(vec![], ops).await.unwrap();
    assert!(outcome.applied);
    // Others may write to the same server; but no change of ours is at that revision.
    let mut changes = scope.watch(&[scope.range("")], outcome.revision).await;
    let written = scope.write(vec![scope.put("a", "1")]).await;
    assert_eq!(scope.next(&mut changes, 1).await, [format!("a=1@{}", written.0)]);
    assert!(written > outcome.revision);
}

/// A key that is deleted and put again is a new one.
pub async fn create_revision_stays_and_mod_revision_moves(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "revisions");
    let created = scope.write(vec![scope.put("a", "1")]).await;
    let changed = scope.write(vec![scope.put("a", "1")]).await;
    let kv = scope.get("a").await.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision), (created, changed));

    scope.write(vec![scope.delete("a")]).await;
    let created = scope.write(vec![scope.put("a", "2")]).await;
    let kv = scope.get("a").await.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision), (created, created));
}

/// Deleting a prefix takes what starts with it.
pub async fn a_prefix_is_deleted_and_nothing_else(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "delete-prefix");
    scope.write(["a", "a/", "a/1", "a/2/3", "a0"].map(|name| scope.put(name, "")).into()).await;
    let ops = vec![Op::DeletePrefix(scope.key("a/")), scope.put("new", "")];
    scope.write(ops).await;
    assert_eq!(scope.names(scope.range("")).await, ["a", "a0", "new"]);
}

/// Of many that want to create a key, one does.
pub async fn one_of_many_rivals_wins(store: Arc<dyn Store>) {
    let scope = Arc::new(Scope::new(store, "rivals"));
    let mut rivals = tokio::task::JoinSet::new();
    for rival in 0..10 {
        let scope = Arc::clone(&scope);
        rivals.spawn(async move {
            let free = vec![Compare::Absent(scope.key("prize"))];
            let take = vec![scope.put("prize", &rival.to_string())];
            (rival, scope.try_commit(free, take).await.unwrap().applied)
        });
    }
    let results = rivals.join_all().await;
    let winners: Vec<i32> =
        results.into_iter().filter(|(_, won)| *won).map(|(rival, _)| rival).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(scope.get("prize").await.unwrap().value, winners[0].to_string().into_bytes());
}

/// A transaction writes a key once at most; whether it would have applied doesn't matter.
pub async fn a_key_written_twice_is_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "twice");
    for second in [scope.put("a/1", "2"), scope.delete("a/1"), Op::DeletePrefix(scope.key("a/"))] {
        for compare in [vec![], vec![Compare::Exists(scope.key("never"))]] {
            let ops = vec![scope.put("a/1", "1"), scope.put("other", "1"), second.clone()];
            let result = scope.try_commit(compare, ops).await;
            assert!(is_refused(&result), "{second:?}: {result:?}");
        }
    }
    assert!(scope.names(scope.range("")).await.is_empty());
}

/// The limit itself is allowed.
pub async fn as_many_operations_as_allowed_are_applied(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "most-ops");
    let ops = (0..MAX_TXN_OPS).map(|n| scope.put(&n.to_string(), "")).collect();
    let compare = (0..MAX_TXN_OPS).map(|n| Compare::Absent(scope.key(&n.to_string()))).collect();
    assert!(scope.try_commit(compare, ops).await.unwrap().applied);
    assert_eq!(scope.names(scope.range("")).await.len(), MAX_TXN_OPS);
}

/// One more than the limit isn't.
pub async fn too_many_operations_are_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "too-many-ops");
    let ops = (0..=MAX_TXN_OPS).map(|n| scope.put(&n.to_string(), "")).collect();
    assert!(is_refused(&scope.try_commit(vec![], ops).await));
    let compare = (0..=MAX_TXN_OPS).map(|n| Compare::Absent(scope.key(&n.to_string()))).collect();
    assert!(is_refused(&scope.try_commit(compare, vec![scope.put("a", "")]).await));
    assert!(scope.names(scope.range("")).await.is_empty());
}

/// There is no empty key, and nothing that all keys begin with.
pub async fn an_empty_key_is_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "empty-key");
    let key = Key::from("");
    for empty in [
        Op::Put { key: key.clone(), value: vec![], lease: None },
        Op::Delete(key.clone()),
        Op::DeletePrefix(key),
    ] {
        let result = scope.try_commit(vec![], vec![scope.put("a", ""), empty.clone()]).await;
        assert!(is_refused(&result), "{empty:?}: {result:?}");
        assert!(!scope.exists("a").await);
    }
}

/// A request beyond the store's limit is refused, not lost.
pub async fn a_request_that_is_too_large_is_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "too-large");
    for size in [1_700_000, 8_000_000] {
        let op = Op::Put { key: scope.key("a"), value: vec![b'x'; size], lease: None };
        let result = scope.try_commit(vec![], vec![op]).await;
        assert!(is_refused(&result), "{size}: {result:?}");
    }
    assert!(!scope.exists("a").await);
}

/// Operations that would be taken alone are refused where they are too large together, and none of
/// them is applied.
pub async fn operations_too_large_together_are_refused(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "too-large-together");
    let put = |n: usize| {
        let key = scope.key(&format!("{n:02}"));
        Op::Put { key, value: vec![b'x'; 40_000], lease: None }
    };
    let result = scope.try_commit(vec![], (0..60).map(put).collect()).await;
    assert!(is_refused(&result), "{result:?}");
    assert_eq!(scope.names(scope.range("")).await, [""; 0]);
    scope.write((0..30).map(put).collect()).await;
    assert_eq!(scope.names(scope.range("")).await.len(), 30);
}
