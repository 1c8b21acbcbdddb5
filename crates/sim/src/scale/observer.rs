//! Follows the cluster in etcd as it is, over a connection of its own: who is present, what is placed,
//! what is active.

mod seen;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet_etcd::EtcdStore;
use fleet_store::{Key, KeyValue, Range, Revision, Store, StoreError};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};

pub(super) use seen::{Counts, Seen};

use super::role::PREFIX;

/// The most keys that are read at once.
const PAGE: usize = 2_000;

/// The pause while etcd is out of reach.
const PAUSE: Duration = Duration::from_millis(100);

/// What is followed.
const FOLLOWED: [&str; 4] = ["machine/", "unit/", "state/", "lease/engine-leader"];

/// See the module. Clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    store: EtcdStore,
    seen: Arc<Mutex<Seen>>,
    counts: watch::Receiver<Counts>,
    _task: Arc<JoinSet<()>>,
}

impl Observer {
    /// One that follows what is in `store` from now on.
    pub(super) fn start(store: EtcdStore) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (told, counts) = watch::channel(Counts::default());
        let mut task = JoinSet::new();
        let (follower, model) = (store.clone(), Arc::clone(&seen));
        task.spawn(async move {
            loop {
                // It says so by what it knows no more; the next try is as good as any.
                let _ = follow(&follower, &model, &told).await;
                time::sleep(PAUSE).await;
            }
        });
        Self { store, seen, counts, _task: Arc::new(task) }
    }

    /// All that is known.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// How many there are of what.
    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// For whoever samples them.
    pub(super) fn follow_counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// Waits until this is so of what is known, for `patience` at most; says when it was.
    pub(super) async fn wait_until(
        &self,
        patience: Duration,
        what: &str,
        mut is_so: impl FnMut(&Seen) -> bool,
    ) -> Result<Instant, String> {
        let mut counts = self.counts.clone();
        let waiting = async {
            while !is_so(&self.seen()) {
                if counts.changed().await.is_err() {
                    return Err("the observer has ended".to_owned());
                }
            }
            Ok(Instant::now())
        };
        match time::timeout(patience, waiting).await {
            Ok(result) => result,
            Err(_) => Err(format!("not {what} after {patience:?}: {:?}", self.counts())),
        }
    }

    /// Reads all anew, at one revision, into a picture of its own.
    pub(super) async fn picture(&self) -> Result<Seen, String> {
        let (kvs, _) = snapshot(&self.store).await.map_err(|error| error.to_string())?;
        let mut seen = Seen::default();
        kvs.into_iter().for_each(|kv| seen.put(&kv));
        Ok(seen)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ranges() -> [Range; 4] {
    FOLLOWED.map(|kind| Range::prefix(&Key::from(format!("{PREFIX}{kind}"))))
}

/// Reads all, and follows it until that fails.
async fn follow(
    store: &EtcdStore,
    seen: &Mutex<Seen>,
    told: &watch::Sender<Counts>,
) -> Result<Infallible, StoreError> {
    let (kvs, revision) = snapshot(store).await?;
    let counts = {
        let mut seen = lock(seen);
        seen.replace(&kvs);
        seen.counts()
    };
    told.send_replace(counts);
    let mut changes = store.watch(&ranges(), revision.next()).await?;
    loop {
        let event = changes.next().await?;
        let counts = {
            let mut seen = lock(seen);
            event.iter().for_each(|change| seen.apply(change));
            seen.counts()
        };
        told.send_replace(counts);
    }
}

async fn snapshot(store: &EtcdStore) -> Result<(Vec<KeyValue>, Revision), StoreError> {
    let (mut kvs, mut at) = (Vec::new(), None);
    for whole in ranges() {
        let mut rest = Some(whole.clone().limit(PAGE));
        while let Some(range) = rest.take() {
            let found = store.read(&[range], at).await?;
            at = at.or(Some(found.revision));
            for page in found.ranges {
                if page.more
                    && let Some(last) = page.kvs.last()
                {
                    let start = format!("{}\0", last.key).into();
                    rest = Some(Range { start, end: whole.end.clone(), limit: PAGE });
                }
                kvs.extend(page.kvs);
            }
        }
    }
    Ok((kvs, at.unwrap_or_default()))
}
