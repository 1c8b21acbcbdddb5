//! Engines on one store in memory, each over a line of its own that can be cut or held up.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleet_core::{JobState, UnitFile};
use fleet_engine::{Config, Engine, EngineHandle, SharedMetrics};
use fleet_registry::{
    Capabilities, Contact, Gone, Keys, MachineRecord, MetadataChange, Presence, Registry,
    UnitRecord, Versioned,
};
use fleet_store::{
    Changes, Key, Lease, LeaseId, MemoryStore, Op, Outcome, Range, Revision, Snapshot, Store,
    StoreError, Txn, watch_channel,
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::fixture::{id, machine_record, name};

/// `engine_reconcile_interval` of all engines here; the lease lives five times as long.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const TTL: Duration = Duration::from_secs(10);
pub(crate) const AGENT_TTL: Duration = Duration::from_secs(30);

/// How a line treats what goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// Nothing passes, watches fall silent.
    Cut,
    /// Transactions wait on the way until the line is open again, and renewals fail.
    Held,
    /// Transactions that write a unit called `big…` are refused as they are.
    Picky,
}

/// One process's connection to the store.
pub(crate) struct Line {
    store: MemoryStore,
    mode: watch::Sender<Mode>,
    /// Transactions on the way, and those that were refused.
    held: Mutex<Vec<Txn>>,
    /// How many leases were asked for.
    grants: AtomicUsize,
}

impl Line {
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn grants(&self) -> usize {
        self.grants.load(Ordering::Relaxed)
    }

    pub(crate) fn held(&self) -> Vec<Txn> {
        self.held.lock().unwrap().clone()
    }

    fn check(&self, blocked: &[Mode]) -> Result<(), StoreError> {
        if blocked.contains(&*self.mode.borrow()) {
            return Err(StoreError::Unavailable("the line is cut".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Line {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        self.check(&[Mode::Cut])?;
        self.store.read(ranges, at).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.check(&[Mode::Cut])?;
        let mut mode = self.mode.subscribe();
        if *mode.borrow() == Mode::Held {
            self.held.lock().unwrap().push(txn.clone());
            let opened = mode.wait_for(|mode| *mode == Mode::Open).await;
            drop(opened.map_err(|_| StoreError::Unavailable("the line is gone".into()))?);
            self.held.lock().unwrap().retain(|held| *held != txn);
        }
        let is_big =
            |op: &Op| matches!(op, Op::Put { key, .. } if key.as_str().contains("/unit/big"));
        if *mode.borrow() == Mode::Picky && txn.then.iter().any(is_big) {
            self.held.lock().unwrap().push(txn);
            return Err(StoreError::Refused("too large".into()));
        }
        self.store.commit(txn).await
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        self.check(&[Mode::Cut])?;
        let mut source = self.store.watch(ranges, from).await?;
        let (sink, changes) = watch_channel();
        let mut mode = self.mode.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let next = source.next().await;
                let is_over = next.is_err();
                let open = mode.wait_for(|mode| *mode != Mode::Cut).await.map(|_| ());
                if open.is_err() || sink.send(next).await.is_err() || is_over {
                    return;
                }
            }
        });
        Ok(changes.fed_by(tasks))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.check(&[Mode::Cut])?;
        self.grants.fetch_add(1, Ordering::Relaxed);
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        self.check(&[Mode::Cut, Mode::Held])?;
        self.store.keep_alive(lease).await
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.check(&[Mode::Cut])?;
        self.store.time_to_live(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.check(&[Mode::Cut])?;
        self.store.revoke(lease).await
    }
}

/// An engine that runs.
pub(crate) struct Running {
    pub(crate) handle: EngineHandle,
    pub(crate) line: Arc<Line>,
    stop: CancellationToken,
    abort: AbortHandle,
}

impl Running {
    /// Tells it to stop, as a shutdown does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&self) {
        self.abort.abort();
    }
}

/// A cluster without agents.
pub(crate) struct Lab {
    pub(crate) store: MemoryStore,
    pub(crate) registry: Registry,
    /// What engines started from now on are told of their contact.
    pub(crate) in_touch_since: Instant,
    /// Whether they watch nothing.
    pub(crate) disable_watches: bool,
    /// What engines that begin from now on count in; each in its own when there is none.
    pub(crate) metrics: Option<SharedMetrics>,
    tasks: JoinSet<()>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let registry = registry(Arc::new(store.clone()));
        let in_touch_since = Instant::now() - 2 * TTL;
        let tasks = JoinSet::new();
        Self { store, registry, in_touch_since, disable_watches: false, metrics: None, tasks }
    }

    /// A cluster with machines that stay.
    pub(crate) async fn with_machines(machines: &[&str]) -> Self {
        let lab = Self::new();
        for machine in machines {
            lab.machine(machine, &[]).await;
        }
        lab
    }

    /// Makes a machine present until it leaves.
    pub(crate) async fn machine(&self, machine: &str, metadata: &[(&str, &str)]) -> Presence {
        let long = Duration::from_secs(1_000_000);
        let record = machine_record(metadata);
        self.registry.register(&id(machine), &record, long).await.unwrap()
    }

    /// The same for one whose agent says when units are gone from it.
    pub(crate) async fn host(&self, machine: &str) -> Presence {
        let long = Duration::from_secs(1_000_000);
        let capabilities = Capabilities { handover: true, ..Capabilities::default() };
        let record = MachineRecord { capabilities, ..machine_record(&[]) };
        self.registry.register(&id(machine), &record, long).await.unwrap()
    }

    /// Does what an agent does once a unit is gone from its machine; whether there was anything to do.
    pub(crate) async fn let_go(&self, presence: &Presence, unit: &str) -> bool {
        let gone = [(name(unit), Gone::Gone)];
        self.registry.release(presence, &gone).await.unwrap().contains(&name(unit))
    }

    /// Whether the registry has this key.
    pub(crate) async fn has(&self, key: &str) -> bool {
        let range = Range::key(Key::from(format!("/test/{key}").as_str()));
        !self.store.read(&[range], None).await.unwrap().ranges[0].kvs.is_empty()
    }

    pub(crate) async fn leave(&self, presence: &Presence) {
        self.registry.leave(presence).await.unwrap();
    }

    /// Lets only `machine` have the metadata `here=yes`.
    pub(crate) async fn only_here(&self, machine: &str, other: &str) {
        let change = |machine: &str, value: &str| MetadataChange {
            machine: id(machine),
            key: "here".to_owned(),
            value: value.to_owned(),
        };
        let changes = [change(machine, "yes"), change(other, "")];
        self.registry.change_metadata(&changes).await.unwrap();
    }

    /// Starts the engine of a machine.
    pub(crate) fn engine(&mut self, machine: &str) -> Running {
        let until = Instant::now() + Duration::from_secs(24 * 60 * 60);
        let contact = Contact { since: self.in_touch_since, until, after_gap: false };
        self.engine_in(machine, watch::channel(Some(contact)).1)
    }

    /// Starts the engine of a machine whose contact is as told.
    pub(crate) fn engine_in(
        &mut self,
        machine: &str,
        contact: watch::Receiver<Option<Contact>>,
    ) -> Running {
        let mode = watch::Sender::new(Mode::Open);
        let (held, grants) = (Mutex::default(), AtomicUsize::new(0));
        let line = Arc::new(Line { store: self.store.clone(), mode, held, grants });
        let disable_watches = self.disable_watches;
        let metrics = self.metrics.clone().unwrap_or_default();
        let (machine, interval, agent_ttl) = (id(machine), INTERVAL, AGENT_TTL);
        let config = Config { machine, interval, agent_ttl, contact, disable_watches, metrics };
        let engine = Engine::new(registry(line.clone()), config);
        let (handle, stop) = (engine.handle(), CancellationToken::new());
        let abort = self.tasks.spawn(engine.run(stop.clone()));
        Running { handle, line, stop, abort }
    }

    /// Runs something for as long as the lab lasts.
    pub(crate) fn alongside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Creates a launched unit with `[X-Fleet]` options.
    pub(crate) async fn create(&self, unit: &str, x_fleet: &str) {
        let file = file(x_fleet);
        self.registry.create_unit(&name(unit), &file, JobState::Launched).await.unwrap();
    }

    /// Replaces its content and what is wanted of it.
    pub(crate) async fn replace(&self, unit: &str, x_fleet: &str, desired: JobState) {
        let seen = self.registry.unit(&name(unit)).await.unwrap().unwrap();
        self.registry.replace_unit(&seen, &file(x_fleet), desired).await.unwrap();
    }

    /// Writes a record by hand.
    pub(crate) async fn write_record(&self, unit: &str, text: &str) {
        let key = Key::from(format!("/test/unit/{unit}").as_str());
        let then = vec![Op::Put { key, value: text.as_bytes().to_vec(), lease: None }];
        self.store.commit(Txn { compare: Vec::new(), then }).await.unwrap();
    }

    pub(crate) async fn set_desired_state(&self, unit: &str, desired: JobState) {
        let seen = self.registry.unit(&name(unit)).await.unwrap().unwrap();
        self.registry.set_desired_state(&seen, desired).await.unwrap();
    }

    pub(crate) async fn record(&self, unit: &str) -> Versioned<UnitRecord> {
        self.registry.unit(&name(unit)).await.unwrap().unwrap().record
    }

    /// The machine a unit is scheduled to; empty when there is none.
    pub(crate) async fn target(&self, unit: &str) -> String {
        let target = self.record(unit).await.value.machine;
        target.map_or_else(String::new, |machine| machine.to_string())
    }

    /// Waits until a unit is scheduled to `machine`.
    pub(crate) async fn scheduled(&self, unit: &str, machine: &str) -> Duration {
        eventually(&format!("{unit} on {machine:?}"), async || self.target(unit).await == machine)
            .await
    }
}

fn file(x_fleet: &str) -> UnitFile {
    let text = format!("[Service]\nExecStart=/bin/true\n[X-Fleet]\n{x_fleet}\n");
    UnitFile::parse(text.as_bytes()).unwrap()
}

fn registry(store: Arc<dyn Store>) -> Registry {
    Registry::new(store, Keys::new("/test/").unwrap())
}

/// Waits until `condition` holds and returns how long that took.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Lets time pass.
pub(crate) async fn pass(duration: Duration) {
    time::sleep(duration).await;
}

/// Waits until an engine leads.
pub(crate) async fn leads(engine: &Running) -> Duration {
    eventually("leading", async || engine.handle.is_leading()).await
}
