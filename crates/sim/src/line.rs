//! A fleetd's way to its store, where the order of things is drawn, and where requests and answers are
//! lost.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use fleet_store::{
    ChangeSink, Changes, Compare, Lease, LeaseId, MemoryStore, Outcome, Range, Revision, Snapshot,
    Store, StoreError, Txn, watch_channel,
};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    checks,
    life::Life,
    machine::{Machine, Network},
    sometimes::Rare,
    world::{self, World},
};

/// A request is given up after that (`etcd_request_timeout`).
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest a request or an answer is on its way when all is well, in milliseconds.
const WAY: u64 = 2;

/// Within how long, at most, the store serves what waited for it, in milliseconds.
const LATE: u64 = 400;

/// After how long, at most, a watch notices that nothing gets through, in milliseconds.
const NOTICED: (u64, u64) = (1_000, 6_000);

/// See the module.
#[derive(Debug)]
pub struct Line {
    world: World,
    machine: Arc<Machine>,
    life: Arc<Life>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Lost,
    Refused,
    /// It is served, and nobody learns of it.
    AnswerLost,
}

impl Line {
    /// The line of a machine's fleetd in this life.
    #[must_use]
    pub fn new(world: World, machine: Arc<Machine>, life: Arc<Life>) -> Self {
        Self { world, machine, life }
    }

    fn fate(&self) -> Fate {
        match self.machine.network.get() {
            Network::Cut => Fate::Lost,
            Network::Calm | Network::Slow(_) => Fate::Served,
            Network::Lossy(percent) => match self.world.draw(|chance| chance.u8(0..100)) {
                drawn if drawn < percent => Fate::Lost,
                drawn if drawn < percent.saturating_mul(2) => Fate::AnswerLost,
                drawn if drawn < percent.saturating_mul(2).saturating_add(percent / 2) => {
                    Fate::Refused
                }
                _ => Fate::Served,
            },
        }
    }

    fn way(&self) -> Duration {
        let longest = match self.machine.network.get() {
            Network::Slow(millis) => millis,
            _ => WAY,
        };
        self.world.pause(0, longest)
    }

    /// Makes a request: `effect` is what the store does.
    async fn call<T: Send + 'static>(
        &self,
        what: &str,
        effect: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let died = |side| world::died(&self.world, &self.machine, what, false, side);
        self.life.around(false, died, self.request(what, effect)).await
    }

    async fn request<T: Send + 'static>(
        &self,
        what: &str,
        effect: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let given_up = Instant::now() + PATIENCE;
        let fate = self.fate();
        if fate == Fate::Refused {
            time::sleep(self.way()).await;
            return Err(unavailable("refused"));
        }
        let way = self.way();
        time::sleep(way.min(PATIENCE)).await;
        if fate == Fate::Lost || self.machine.network.get() == Network::Cut || way > PATIENCE {
            time::sleep_until(given_up).await;
            return Err(unavailable("no answer in time"));
        }
        tokio::select! {
            biased;
            () = self.world.thawed() => {}
            () = time::sleep_until(given_up) => {
                if self.world.happens(50) {
                    self.have_effect_later(what, effect);
                }
                return Err(unavailable("no answer in time"));
            }
        }
        let answer = effect.await;
        checks::after_change(&self.world);
        let way = self.way();
        let is_lost = fate == Fate::AnswerLost || self.machine.network.get() == Network::Cut;
        if is_lost || Instant::now() + way > given_up {
            self.world.sometimes.reached(Rare::AnswerLost);
            time::sleep_until(given_up).await;
            return Err(unavailable("no answer in time"));
        }
        time::sleep(way).await;
        answer
    }

    /// The request waits at the store's process, and is served when that goes on.
    fn have_effect_later<T: Send + 'static>(
        &self,
        what: &str,
        effect: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) {
        let (world, machine, what) = (self.world.clone(), self.machine.number, what.to_owned());
        self.world.later(async move {
            world.thawed().await;
            // What waited there is served in no order.
            time::sleep(world.pause(0, LATE)).await;
            let had_effect = effect.await.is_ok();
            world.trace.note(format_args!("m{machine}"), format_args!("late {what}: {had_effect}"));
            world.sometimes.reached(Rare::LateEffect);
            checks::after_change(&world);
        });
    }

    fn store(&self) -> MemoryStore {
        self.world.store.clone()
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

#[async_trait]
impl Store for Line {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        let (store, ranges) = (self.store(), ranges.to_vec());
        if at.is_some_and(|at| at < store.revision()) {
            self.world.sometimes.reached(Rare::SnapshotInBurst);
        }
        self.call("read", async move { store.read(&ranges, at).await }).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let what = described(&txn);
        let insists_on_lead = txn.compare.iter().any(
            |compare| matches!(compare, Compare::CreateRevision(key, _) | Compare::ModRevision(key, _) if key.as_str().ends_with("engine-leader")),
        );
        let (store, world, machine) = (self.store(), self.world.clone(), Arc::clone(&self.machine));
        let shown = what.clone();
        let effect = async move {
            let leads = insists_on_lead && world.truth().leads(&machine.id);
            let outcome = store.commit(txn).await;
            let applied = outcome.as_ref().map(|outcome| outcome.applied);
            world.trace.note(&*machine, format_args!("{shown}: {applied:?}"));
            if insists_on_lead && matches!(applied, Ok(false)) {
                let rare = if leads { Rare::DecisionRefused } else { Rare::DeposedLeaderWrites };
                world.sometimes.reached(rare);
            }
            outcome
        };
        self.call(&what, effect).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        let (store, ranges) = (self.store(), ranges.to_vec());
        let changes = self.call("watch", async move { store.watch(&ranges, from).await }).await?;
        let (sink, followed) = watch_channel();
        let mut tasks = JoinSet::new();
        let (world, machine, life) =
            (self.world.clone(), Arc::clone(&self.machine), Arc::clone(&self.life));
        tasks.spawn(async move {
            let line = Self { world, machine, life };
            line.pass_on(changes, sink).await;
        });
        Ok(followed.fed_by(tasks))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        let store = self.store();
        self.call("grant", async move { store.grant(ttl).await }).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        let store = self.store();
        self.call("keep alive", async move { store.keep_alive(lease).await }).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        let store = self.store();
        self.call("time to live", async move { store.time_to_live(lease).await }).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let store = self.store();
        self.call("revoke", async move { store.revoke(lease).await }).await
    }
}

impl Line {
    /// Passes on what a watch says, late, until the watch breaks.
    async fn pass_on(&self, mut changes: Changes, sink: ChangeSink) {
        loop {
            let compactions = self.world.compactions.load(Ordering::Relaxed);
            let item = tokio::select! {
                biased;
                () = self.is_silent() => Err(unavailable("the watch is silent")),
                item = changes.next() => item,
            };
            if matches!(item, Err(StoreError::Compacted(_))) {
                self.world.sometimes.reached(Rare::WatchCompacted);
            }
            self.world.thawed().await;
            self.life.runs().await;
            time::sleep(self.way()).await;
            let breaks = match self.machine.network.get() {
                Network::Lossy(percent) => self.world.happens(percent / 2),
                _ => false,
            };
            let item = if breaks { Err(unavailable("the watch broke")) } else { item };
            let was_cut = self.machine.network.get() == Network::Cut;
            let item = tokio::select! {
                biased;
                () = self.is_silent() => Err(unavailable("the watch is silent")),
                () = self.gets_through() => item,
            };
            // The watch goes on from where it was, if that is still known.
            let is_behind = was_cut && self.world.compactions.load(Ordering::Relaxed) > compactions;
            let item = if is_behind {
                self.world.sometimes.reached(Rare::WatchCompacted);
                Err(StoreError::Compacted(self.world.store.revision()))
            } else {
                item
            };
            let is_end = item.is_err();
            if sink.send(item).await.is_err() || is_end {
                return;
            }
        }
    }

    /// Waits while nothing gets through.
    async fn gets_through(&self) {
        self.machine.network.wait_until(|network| network != Network::Cut).await;
    }

    /// Waits until nothing has got through for a while.
    async fn is_silent(&self) {
        loop {
            self.machine.network.wait_until(|network| network == Network::Cut).await;
            let noticed = time::sleep(self.world.pause(NOTICED.0, NOTICED.1));
            tokio::select! {
                biased;
                () = self.gets_through() => {}
                () = noticed => return,
            }
        }
    }
}

/// What a transaction writes, in short.
fn described(txn: &Txn) -> String {
    use fleet_store::Op;
    let words: Vec<String> = txn
        .then
        .iter()
        .map(|op| match op {
            Op::Put { key, .. } => format!("put {}", short(key.as_str())),
            Op::Delete(key) => format!("delete {}", short(key.as_str())),
            Op::DeletePrefix(key) => format!("delete {}*", short(key.as_str())),
        })
        .collect();
    words.join(", ")
}

fn short(key: &str) -> &str {
    key.strip_prefix(world::PREFIX).unwrap_or(key).trim_start_matches('/')
}
