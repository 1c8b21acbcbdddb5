//! Whatever is known of a list, walking along it shows the list.

use std::sync::Arc;

use fleet_store::{MemoryStore, Op, Store, Txn};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{Keys, fences::Fences};

/// A key of a list, or one that is beside it.
fn key(n: u16) -> Key {
    format!("/f/{}/{n:05}", ["aaa", "unit", "unit", "unit", "z"][usize::from(n % 5)]).into()
}

async fn change(store: &MemoryStore, keys: &[u16], op: impl Fn(Key) -> Op) {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    for chunk in keys.chunks(100) {
        let then = chunk.iter().map(|n| op(key(*n))).collect();
        store.commit(Txn { compare: vec![], then }).await.unwrap();
    }
}

fn put(key: Key) -> Op {
    let value = vec![b'v'; key.as_str().bytes().map(usize::from).sum::<usize>() % 50];
    Op::Put { key, value, lease: None }
}

/// Teaches that there are fences which may be anywhere, and wrong in what they say.
fn teach(fences: &Fences, wrong: &[(u16, u16, bool)]) {
    let all = Range::prefix_after(&"/f/unit/".into(), &"/f/unit/".into());
    let kv = |n: u16| KeyValue {
        key: key(n),
        value: Vec::new(),
        create_revision: Revision(1),
        mod_revision: Revision(1),
        lease: None,
    };
    for (first, many, ends) in wrong {
        let mut kvs: Vec<KeyValue> = (*first..first.saturating_add(*many)).map(kv).collect();
        kvs.sort_by(|one, other| one.key.cmp(&other.key));
        let end = all.end.clone().filter(|_| *ends);
        fences.learn(&all, &key(*first), &kvs, end.as_ref());
    }
}

/// The list in parts, and how many reads that took at most for one.
async fn walked(registry: &Registry, most: usize, bytes: usize) -> Vec<Key> {
    let prefix: Key = "/f/unit/".into();
    let (mut found, mut from) = (Vec::new(), prefix.clone());
    loop {
        let part = registry.walk(&prefix, &from).part(most, bytes).await.unwrap();
        assert!(part.kvs.len() <= most);
        found.extend(part.kvs.into_iter().map(|kv| kv.key));
        match found.last() {
            Some(last) if part.more => from = last.clone(),
            _ => {
                assert!(!part.more, "nothing is behind nothing");
                return found;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fences_right_or_wrong_change_nothing(
        first in vec(0..9000_u16, 0..3000),
        wrong in vec((0..9000_u16, 0..5000_u16, any::<bool>()), 0..6),
        later in vec(0..9000_u16, 0..1500),
        gone in vec(0..9000_u16, 0..1500),
        range_gone in (0..9000_u16, 0..4000_u16),
        most in prop_oneof![1..50_usize, 100..5000_usize],
        bytes in prop_oneof![Just(usize::MAX), 1..20_000_usize],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new();
            let registry = Registry::new(Arc::new(store.clone()), Keys::new("/f").unwrap());
            teach(&registry.fences, &wrong);
            let until = range_gone.0.saturating_add(range_gone.1);
            let range: Vec<u16> = (range_gone.0..until).collect();
            for round in 0..4 {
                match round {
                    0 => change(&store, &first, put).await,
                    1 => change(&store, &later, put).await,
                    2 => change(&store, &gone, Op::Delete).await,
                    _ => change(&store, &range, Op::Delete).await,
                }
                let plain = store.read(&[Range::prefix(&"/f/unit/".into())], None).await.unwrap();
                let plain: Vec<Key> = plain.ranges[0].kvs.iter().map(|kv| kv.key.clone()).collect();
                for _ in 0..2 {
                    assert_eq!(walked(&registry, most, bytes).await, plain, "round {round}");
                }
            }
        });
    }
}
