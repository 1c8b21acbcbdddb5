//! Looks after etcd while this machine leads, and says what an operator should see to: that it is
//! out of space, that its database grows, that nobody compacts it. It changes nothing there.
//!
//! One task of each fleetd. It wakes when its engine begins to lead, a minute later and once a day
//! from then on, and ends when fleetd does.

use std::{collections::VecDeque, time::Duration};

use fleet_core::error_text::chain;
use fleet_engine::EngineHandle;
use fleet_etcd::{EtcdStore, Status};
use fleet_store::{Revision, Store, StoreError};
use tokio::time;
use tracing::{debug, warn};

/// When a new leader looks first: it has better things to do before.
const FIRST: Duration = Duration::from_secs(60);
/// The time between two looks.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The looks that may show a history that isn't compacted: one that is kept for a day or more, on
/// purpose, is nothing to warn of.
const LOOKS_BACK: usize = 2;
/// The changes that are too few to be worth a word, compacted or not: some hundred megabytes.
const FEW: i64 = 100_000;
/// The part of a quota that is told of when it is used, in percent.
const QUOTA_USED: u64 = 80;

/// What is asked of etcd.
pub(crate) trait Etcd: Sync {
    /// How it is doing.
    fn status(&self) -> impl Future<Output = Result<Status, StoreError>> + Send;
    /// Its newest revision.
    fn newest(&self) -> impl Future<Output = Result<Revision, StoreError>> + Send;
    /// Whether it still has the history from `revision` on.
    fn has(&self, revision: Revision) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Etcd for EtcdStore {
    async fn status(&self) -> Result<Status, StoreError> {
        Self::status(self).await
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        Ok(self.read(&[], None).await?.revision)
    }

    async fn has(&self, revision: Revision) -> Result<bool, StoreError> {
        match self.read(&[], Some(revision)).await {
            Ok(_) => Ok(true),
            Err(StoreError::Compacted(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What was seen of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Observation {
    status: Status,
    newest: Revision,
    /// The revision from which on all history is still there, if there is more than since some
    /// looks ago.
    kept_from: Option<Revision>,
}

/// Looks after `etcd` for as long as `engine` leads, over and over. Never ends.
pub(crate) async fn look_after(etcd: &impl Etcd, mut engine: EngineHandle, size: u64) {
    loop {
        if !engine.is_leading() {
            if !engine.changed().await {
                return std::future::pending().await;
            }
            continue;
        }
        let mut seen = VecDeque::new();
        let looks = async {
            let mut pause = FIRST;
            loop {
                time::sleep(pause).await;
                match look(etcd, &mut seen).await {
                    Ok(look) => warnings(&look, size).into_iter().for_each(|line| warn!("{line}")),
                    Err(error) => debug!(error = %chain(&error), "can't look after etcd"),
                }
                pause = DAY;
            }
        };
        tokio::select! {
            biased;
            () = until_deposed(&mut engine) => {}
            () = looks => {}
        }
    }
}

async fn until_deposed(engine: &mut EngineHandle) {
    while engine.is_leading() {
        if !engine.changed().await {
            return;
        }
    }
}

/// Looks once, and remembers where etcd was.
async fn look(etcd: &impl Etcd, seen: &mut VecDeque<Revision>) -> Result<Observation, StoreError> {
    let status = etcd.status().await?;
    let newest = etcd.newest().await?;
    // A leader that is new doesn't know where etcd was yesterday, but where it began.
    let asked = if seen.len() < LOOKS_BACK { Revision(1) } else { seen[0] };
    let kept_from = etcd.has(asked).await?.then_some(asked);
    seen.push_back(newest);
    if seen.len() > LOOKS_BACK {
        seen.pop_front();
    }
    Ok(Observation { status, newest, kept_from })
}

/// What is to be said of it.
fn warnings(look: &Observation, bound: u64) -> Vec<String> {
    let Observation { status, newest, kept_from } = look;
    let mut lines = Vec::new();
    if status.is_out_of_space {
        lines.push(StoreError::OutOfSpace.to_string());
    }
    let (size, in_use) = (mib(status.size), mib(status.in_use));
    let quota = status.quota.filter(|quota| status.size >= quota / 100 * QUOTA_USED);
    if let Some(quota) = quota {
        let quota = mib(quota);
        lines.push(format!(
            "etcd's database has {size} MiB ({in_use} in use), its quota is {quota} MiB"
        ));
    } else if bound > 0 && status.size > bound {
        let bound = mib(bound);
        lines.push(format!(
            "etcd's database has {size} MiB ({in_use} in use), more than the {bound} MiB of \
             etcd_size_warning"
        ));
    }
    if let Some(from) = kept_from.filter(|from| newest.0 - from.0 > FEW) {
        let changes = newest.0 - from.0;
        lines.push(format!(
            "etcd isn't compacted: it keeps the last {changes} changes and grows for ever, start \
             it with --auto-compaction-retention"
        ));
    }
    lines
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use fleet_store::{MemoryStore, Op, Txn};

    use super::*;

    const BOUND: u64 = 1536 << 20;

    fn look_of(
        size: u64,
        quota: Option<u64>,
        full: bool,
        newest: i64,
        from: Option<i64>,
    ) -> Observation {
        let status = Status { size, in_use: size, quota, is_out_of_space: full };
        Observation { status, newest: Revision(newest), kept_from: from.map(Revision) }
    }

    #[test]
    fn what_an_operator_should_see_to_is_told_and_nothing_else() {
        let gib = 1 << 30;
        for (look, expected) in [
            (look_of(gib, None, false, 200_000, None), None),
            (look_of(gib, None, false, 50_000, Some(1)), None),
            (look_of(gib, Some(8 * gib), false, 1, None), None),
            (look_of(gib, None, true, 1, None), Some("etcd is out of space")),
            (look_of(2 * gib, None, false, 1, None), Some("has 2048 MiB (2048 in use), more than")),
            (look_of(2 * gib, Some(2 * gib), false, 1, None), Some("its quota is 2048 MiB")),
            (look_of(gib, None, false, 200_000, Some(1)), Some("keeps the last 199999 changes")),
        ] {
            let lines = warnings(&look, BOUND);
            match expected {
                None => assert_eq!(lines, [""; 0], "{look:?}"),
                Some(part) => assert!(lines.len() == 1 && lines[0].contains(part), "{lines:?}"),
            }
        }
        assert_eq!(
            warnings(&look_of(9 * gib, None, false, 1, None), 0),
            [""; 0],
            "it is switched off"
        );
    }

    /// An etcd that is well.
    struct Well(MemoryStore);

    impl Etcd for Well {
        async fn status(&self) -> Result<Status, StoreError> {
            Ok(look_of(1, None, false, 1, None).status)
        }

        async fn newest(&self) -> Result<Revision, StoreError> {
            Ok(self.0.read(&[], None).await?.revision)
        }

        async fn has(&self, revision: Revision) -> Result<bool, StoreError> {
            match self.0.read(&[], Some(revision)).await {
                Ok(_) => Ok(true),
                Err(StoreError::Compacted(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    #[tokio::test]
    async fn history_is_looked_for_from_its_beginning_and_then_from_some_looks_ago() {
        let etcd = Well(MemoryStore::new());
        let mut seen = VecDeque::new();
        let mut kept = Vec::new();
        for _ in 0..4 {
            kept.push(look(&etcd, &mut seen).await.unwrap().kept_from);
            let put = Op::Put { key: "/a".into(), value: vec![], lease: None };
            etcd.0.commit(Txn { compare: vec![], then: vec![put] }).await.unwrap();
        }
        assert_eq!(kept, [1, 1, 1, 2].map(|from| Some(Revision(from))));
        etcd.0.compact(etcd.0.revision());
        assert_eq!(look(&etcd, &mut seen).await.unwrap().kept_from, None);
    }
}
