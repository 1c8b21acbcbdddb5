//! What `MemoryStore` promises beyond the contract.

use std::time::Duration;

use fleet_store::{
    Change, Changes, Compare, Key, MemoryStore, Op, Range, Revision, Store, StoreError, Txn,
    WatchEvent,
};
use tokio::time::{self, Instant};

const TTL: Duration = Duration::from_secs(10);

fn put(key: &str) -> Op {
    Op::Put { key: key.into(), value: b"x".to_vec(), lease: None }
}

async fn write(store: &MemoryStore, then: Vec<Op>) -> Revision {
    store.commit(Txn { compare: vec![], then }).await.unwrap().revision
}

async fn names(store: &MemoryStore) -> Vec<String> {
    let snapshot = store.read(&[everything()], None).await.unwrap();
    snapshot.ranges[0].kvs.iter().map(|kv| kv.key.to_string()).collect()
}

fn everything() -> Range {
    Range::prefix(&Key::from("/"))
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// The watch's end; events before it are skipped.
async fn end_of(changes: &mut Changes) -> StoreError {
    loop {
        if let Err(error) = changes.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn revisions_rise_by_one_per_transaction_that_writes() {
    let store = MemoryStore::new();
    assert_eq!(store.revision(), Revision(1), "as a new etcd");
    assert_eq!(write(&store, vec![put("/a"), put("/b")]).await, Revision(2));
    assert_eq!(write(&store, vec![Op::Delete("/never".into())]).await, Revision(2));
    assert_eq!(write(&store, vec![Op::DeletePrefix("/".into())]).await, Revision(3));
    let never = vec![Compare::Exists("/never".into())];
    let outcome = store.commit(Txn { compare: never, then: vec![put("/a")] }).await.unwrap();
    assert_eq!((outcome.applied, outcome.revision), (false, Revision(3)));
}

#[tokio::test]
async fn clones_share_their_content() {
    let store = MemoryStore::new();
    write(&store.clone(), vec![put("/a")]).await;
    assert_eq!(names(&store).await, ["/a"]);
}

#[tokio::test(start_paused = true)]
async fn leases_end_on_the_second() {
    let store = MemoryStore::new();
    let start = Instant::now();
    let late = store.grant(3 * TTL).await.unwrap().id;
    let early = store.grant(TTL).await.unwrap().id; // wakes the expiry task from a longer sleep
    for (key, lease) in [("/late", late), ("/early", early)] {
        write(&store, vec![Op::Put { key: key.into(), value: vec![], lease: Some(lease) }]).await;
    }
    let mut changes = store.watch(&[everything()], store.revision().next()).await.unwrap();
    for (key, after) in [("/early", TTL), ("/late", 3 * TTL)] {
        let event = changes.next().await.unwrap();
        let [Change::Delete { key: deleted, .. }] = &event[..] else { panic!("{event:?}") };
        assert_eq!(deleted.as_str(), key);
        let elapsed = start.elapsed();
        assert!(elapsed >= after && elapsed < after + Duration::from_millis(10), "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_sees_an_overdue_lease() {
    let store = MemoryStore::new();
    let lease = store.grant(TTL).await.unwrap().id;
    write(&store, vec![Op::Put { key: "/a".into(), value: vec![], lease: Some(lease) }]).await;
    time::advance(TTL).await;
    assert!(names(&store).await.is_empty());
    assert!(matches!(store.keep_alive(lease).await, Err(StoreError::NoSuchLease(_))));
}

#[tokio::test(start_paused = true)]
async fn an_outage_fails_calls_breaks_watches_and_stops_the_leases() {
    let store = MemoryStore::new();
    let lease = store.grant(TTL).await.unwrap().id;
    write(&store, vec![Op::Put { key: "/a".into(), value: vec![], lease: Some(lease) }]).await;
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();

    store.set_available(false);
    assert!(is_unavailable(&store.read(&[everything()], None).await));
    assert!(is_unavailable(&store.commit(Txn::default()).await));
    assert!(is_unavailable(&store.watch(&[everything()], Revision(1)).await));
    assert!(is_unavailable(&store.grant(TTL).await));
    assert!(is_unavailable(&store.keep_alive(lease).await));
    assert!(is_unavailable(&store.time_to_live(lease).await));
    assert!(is_unavailable(&store.revoke(lease).await));
    assert!(matches!(end_of(&mut changes).await, StoreError::Unavailable(_)));
    time::sleep(100 * TTL).await;

    store.set_available(true);
    assert_eq!(names(&store).await, ["/a"]);
    assert_eq!(store.time_to_live(lease).await.unwrap(), Some(TTL));
    time::sleep(TTL).await;
    assert!(names(&store).await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_hides_what_was_applied() {
    let store = MemoryStore::new();
    store.lose_next_answer();
    let then = vec![put("/a")];
    assert!(is_unavailable(&store.commit(Txn { compare: vec![], then }).await));
    assert_eq!(names(&store).await, ["/a"]);
    write(&store, vec![put("/b")]).await;
}

#[tokio::test]
async fn watches_break_when_the_store_goes() {
    let store = MemoryStore::new();
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    drop(store);
    assert!(matches!(end_of(&mut changes).await, StoreError::Unavailable(_)));
}

#[tokio::test]
async fn history_is_bounded() {
    const WRITES: i64 = 50_000;
    let store = MemoryStore::new();
    let mut live = store.watch(&[Range::key("/other".into())], Revision(1)).await.unwrap();
    tokio::task::yield_now().await; // so that it has seen that there is nothing yet
    for n in 0..WRITES {
        write(&store, vec![put(&format!("/{}", n % 7))]).await;
    }
    let newest = store.revision();
    assert_eq!(newest, Revision(WRITES + 1));
    for (back, kept) in [(5_000, true), (30_000, false)] {
        let at = Revision(newest.0 - back);
        let read = store.read(&[everything()], Some(at)).await;
        assert_eq!(read.is_ok(), kept, "{back} back: {read:?}");
        assert_eq!(store.watch(&[everything()], at).await.is_ok(), kept, "{back} back");
    }
    write(&store, vec![put("/other")]).await;
    let event: WatchEvent = live.next().await.unwrap();
    assert_eq!(event.len(), 1, "a watch with nothing to tell isn't disturbed");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_so() {
    let store = MemoryStore::new();
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    // The channel holds 256 events and the follower one; each is taken before the next.
    for _ in 0..300 {
        write(&store, vec![put("/a")]).await;
        tokio::task::yield_now().await;
    }
    store.compact(store.revision());
    assert!(matches!(end_of(&mut changes).await, StoreError::Compacted(_)));
}
