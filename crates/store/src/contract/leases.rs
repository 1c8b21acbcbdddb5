//! What leases promise.

use std::{sync::Arc, time::Duration};

use tokio::time;

use super::scope::{Scope, in_time, is_refused, next_event};
use crate::{Change, Compare, LeaseId, Store, StoreError};

const SECOND: Duration = Duration::from_secs(1);

/// Time is granted in whole seconds, never less than asked.
pub async fn granted_time_is_at_least_what_was_asked(store: Arc<dyn Store>) {
    for millis in [0, 1, 1_000, 2_500, 60_000] {
        let asked = Duration::from_millis(millis);
        let lease = store.grant(asked).await.unwrap();
        assert!(lease.ttl >= asked && lease.ttl >= SECOND, "{asked:?}: {lease:?}");
        assert_eq!(lease.ttl.subsec_nanos(), 0);
        store.revoke(lease.id).await.unwrap();
    }
}

/// There is an end to what can be asked for.
pub async fn a_lease_that_is_too_long_is_refused(store: Arc<dyn Store>) {
    assert!(is_refused(&store.grant(Duration::MAX).await));
}

/// When a lease runs out its keys go, and watches are told without anybody asking.
pub async fn expiry_deletes_the_keys_and_watches_see_it(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "expiry");
    let lease = scope.store.grant(SECOND).await.unwrap();
    let ops = vec![scope.put_leased("a", lease.id), scope.put_leased("b", lease.id)];
    let written = scope.write([ops, vec![scope.put("c", "stays")]].concat()).await;
    let mut changes = scope.watch(&[scope.range("")], written.next()).await;

    let event = next_event(&mut changes).await;
    let revision = event[0].revision();
    assert!(revision > written);
    let told: Vec<String> = event.iter().map(|change| scope.tell(change)).collect();
    assert_eq!(told, [format!("-a@{}", revision.0), format!("-b@{}", revision.0)]);
    assert_eq!(scope.names(scope.range("")).await, ["c"]);
    assert_eq!(scope.store.time_to_live(lease.id).await.unwrap(), None);
}

/// A lease that is renewed in time lives on, and renewal tells its full time.
pub async fn keep_alive_extends(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "keep-alive");
    let lease = scope.store.grant(2 * SECOND).await.unwrap();
    scope.write(vec![scope.put_leased("a", lease.id)]).await;
    for _ in 0..10 {
        time::sleep(lease.ttl / 4).await;
        assert_eq!(scope.store.keep_alive(lease.id).await.unwrap(), lease.ttl);
    }
    assert!(scope.exists("a").await);
    scope.store.revoke(lease.id).await.unwrap();
}

/// A lease that is gone, or never was, can't be renewed.
pub async fn keep_alive_of_a_dead_lease_fails(store: Arc<dyn Store>) {
    let revoked = store.grant(10 * SECOND).await.unwrap().id;
    store.revoke(revoked).await.unwrap();
    let expired = store.grant(SECOND).await.unwrap().id;
    in_time("the end of a lease", async {
        while store.time_to_live(expired).await.unwrap().is_some() {
            time::sleep(SECOND / 10).await;
        }
    })
    .await;
    for id in [revoked, expired, LeaseId(0x0bad), LeaseId(0)] {
        let result = store.keep_alive(id).await;
        assert!(matches!(result, Err(StoreError::NoSuchLease(dead)) if dead == id), "{result:?}");
        assert_eq!(store.time_to_live(id).await.unwrap(), None);
    }
}

/// The time left shrinks by itself and is full again after a renewal.
pub async fn time_to_live_counts_down(store: Arc<dyn Store>) {
    let lease = store.grant(60 * SECOND).await.unwrap();
    let left = async || store.time_to_live(lease.id).await.unwrap().unwrap();
    assert!(left().await <= lease.ttl);
    time::sleep(SECOND * 21 / 10).await;
    let later = left().await;
    assert!(later <= lease.ttl - 2 * SECOND && later >= lease.ttl - 20 * SECOND, "{later:?}");
    store.keep_alive(lease.id).await.unwrap();
    assert!(left().await > later);
    store.revoke(lease.id).await.unwrap();
}

/// The keys of a revoked lease go in one revision.
pub async fn revoking_deletes_the_keys_at_once_and_together(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "revoke");
    let lease = scope.store.grant(60 * SECOND).await.unwrap();
    let written = scope.write(["a", "b"].map(|name| scope.put_leased(name, lease.id)).into()).await;
    assert_eq!(scope.get("a").await.unwrap().lease, Some(lease.id));

    scope.store.revoke(lease.id).await.unwrap();
    assert!(scope.names(scope.range("")).await.is_empty());
    let mut changes = scope.watch(&[scope.range("")], written.next()).await;
    let event = next_event(&mut changes).await;
    assert_eq!(event.len(), 2, "{event:?}");
    assert_eq!(event[0].revision(), event[1].revision());
    assert!(event.iter().all(|change| matches!(change, Change::Delete { .. })));
}

/// Ending what has ended is fine.
pub async fn revoking_again_is_no_error(store: Arc<dyn Store>) {
    let lease = store.grant(60 * SECOND).await.unwrap();
    store.revoke(lease.id).await.unwrap();
    store.revoke(lease.id).await.unwrap();
    store.revoke(LeaseId(0x0bad)).await.unwrap();
}

/// A put on a lease that is gone fails the whole transaction, and the error names the lease.
pub async fn a_put_with_a_dead_lease_fails_and_nothing_is_applied(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "dead-lease");
    let dead = scope.store.grant(60 * SECOND).await.unwrap().id;
    scope.store.revoke(dead).await.unwrap();
    let alive = scope.store.grant(60 * SECOND).await.unwrap().id;
    for id in [dead, LeaseId(0)] {
        let ops = vec![
            scope.put("a", "1"),
            scope.put_leased("b", alive),
            scope.put_leased("c", id),
            scope.put_leased("d", alive),
        ];
        let result = scope.try_commit(vec![], ops).await;
        assert!(matches!(result, Err(StoreError::NoSuchLease(gone)) if gone == id), "{result:?}");
        assert!(scope.names(scope.range("")).await.is_empty());
    }
}

/// Leases are only looked at when the writes are made.
pub async fn a_dead_lease_in_a_transaction_that_does_not_apply_is_no_error(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "dead-lease-unused");
    let dead = scope.store.grant(60 * SECOND).await.unwrap().id;
    scope.store.revoke(dead).await.unwrap();
    let never = vec![Compare::Exists(scope.key("never"))];
    for id in [dead, LeaseId(0)] {
        let ops = vec![scope.put_leased("a", id)];
        let outcome = scope.try_commit(never.clone(), ops).await.unwrap();
        assert!(!outcome.applied, "{id:?}");
    }
}

/// A key hangs on the lease of its last put.
pub async fn a_key_leaves_its_lease_when_put_without_or_with_another(store: Arc<dyn Store>) {
    let scope = Scope::new(store, "move-lease");
    let first = scope.store.grant(60 * SECOND).await.unwrap().id;
    let second = scope.store.grant(60 * SECOND).await.unwrap().id;
    scope.write(["stays", "moves", "again"].map(|name| scope.put_leased(name, first)).into()).await;
    scope.write(vec![scope.put("stays", "1"), scope.put_leased("moves", second)]).await;
    scope.write(vec![scope.delete("again")]).await;
    scope.write(vec![scope.put("again", "1")]).await;

    scope.store.revoke(first).await.unwrap();
    assert_eq!(scope.names(scope.range("")).await, ["again", "moves", "stays"]);
    assert_eq!(scope.get("stays").await.unwrap().lease, None);
    assert_eq!(scope.get("moves").await.unwrap().lease, Some(second));
    scope.store.revoke(second).await.unwrap();
    assert_eq!(scope.names(scope.range("")).await, ["again", "stays"]);
}
