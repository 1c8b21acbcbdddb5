//! A cluster of one registry in memory, and hosts with a fake service manager.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use fleet_agent::{
    Agent, Config, DumpHandle, Ended, PresenceHandle, StandingHandle, UnitManager,
    fake::{Call, FakeManager},
};
use fleet_core::{JobState, MachineId, UnitFile, UnitHash, UnitName};
use fleet_registry::{
    Decision, HostObstacle, Keys, LeaderRecord, Leadership, MachineRecord, MetadataChange,
    PublishedState, Registry, RegistryError, Start, Target,
};
use fleet_store::{KeyValue, MemoryStore, Op, Range, Store, Txn};
use fleet_testkit::eventually;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
pub(crate) const TTL: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) fn name(name: &str) -> UnitName {
    name.parse().unwrap()
}

pub(crate) fn file(text: &str) -> UnitFile {
    UnitFile::parse(text.as_bytes()).unwrap()
}

pub(crate) fn hash(text: &str) -> UnitHash {
    file(text).hash()
}

/// The registry, and who decides.
pub(crate) struct Cluster {
    pub(crate) store: MemoryStore,
    pub(crate) registry: Registry,
    lead: Leadership,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let store = MemoryStore::new();
        let registry = Registry::new(Arc::new(store.clone()), Keys::new("/fleet").unwrap());
        let me = LeaderRecord { machine: "engine".parse().unwrap(), version: 1 };
        let lead = registry.acquire_lead(&me, Duration::from_secs(1_000_000)).await.unwrap();
        Self { store, registry, lead: lead.unwrap() }
    }

    /// A unit with its desired state, as a user would submit it. Replaces what is there.
    pub(crate) async fn submit(&self, unit: &str, text: &str, desired: JobState) {
        match self.registry.unit(&name(unit)).await.unwrap() {
            Some(seen) => self.registry.replace_unit(&seen, &file(text), desired).await.unwrap(),
            None => self.registry.create_unit(&name(unit), &file(text), desired).await.unwrap(),
        }
    }

    pub(crate) async fn want(&self, unit: &str, desired: JobState) {
        let seen = self.registry.unit(&name(unit)).await.unwrap().unwrap();
        self.registry.set_desired_state(&seen, desired).await.unwrap();
    }

    pub(crate) async fn destroy(&self, unit: &str) {
        self.registry.destroy_unit(&name(unit)).await.unwrap();
    }

    /// Puts a unit onto a machine that is present, or takes it off, as the engine does.
    pub(crate) async fn place(&self, unit: &str, machine: Option<&str>) {
        let Some(machine) = machine else {
            return self.decide(unit, Target::None).await.unwrap();
        };
        let id: MachineId = machine.parse().unwrap();
        let entry = self.registry.machine(&id).await.unwrap().expect("it is present");
        // What is leaving this very machine needn't be waited for.
        let key = format!("/fleet/leaving/{unit}");
        let found = self.store.read(&[Range::key(key.into())], None).await.unwrap();
        let is_its = |kv: &&KeyValue| String::from_utf8_lossy(&kv.value).contains(machine);
        let leaving = found.ranges[0].kvs.first().filter(is_its).map(|kv| kv.mod_revision);
        let target = Target::Machine { id, created: entry.created, leaving };
        self.decide(unit, target).await.unwrap();
    }

    /// The same registry over another line to its store.
    pub(crate) fn over(&self, store: Arc<dyn Store>) -> Self {
        let registry = Registry::new(store, Keys::new("/fleet").unwrap());
        Self { store: self.store.clone(), registry, lead: self.lead.clone() }
    }

    /// Asks `m1` to let a unit go, as the engine does.
    pub(crate) async fn ask_to_leave(&self, unit: &str) {
        let entry = self.registry.machine(&"m1".parse().unwrap()).await.unwrap();
        let target = Target::Leaving(entry.expect("it is present").created);
        self.decide(unit, target).await.unwrap();
    }

    /// Decides where a unit goes, as the engine does.
    pub(crate) async fn decide(&self, unit: &str, target: Target) -> Result<(), RegistryError> {
        let seen = self.registry.unit(&name(unit)).await.unwrap().unwrap().record;
        let decision = Decision { unit: name(unit), seen, target, absent: None };
        self.registry.decide(&self.lead, &[decision]).await.unwrap().remove(0).map(drop)
    }

    /// Tries to put a unit onto a machine that is present; whether it may be there.
    pub(crate) async fn try_place(&self, unit: &str, machine: &str) -> bool {
        let id: MachineId = machine.parse().unwrap();
        let entry = self.registry.machine(&id).await.unwrap().expect("it is present");
        self.decide(unit, Some((id, entry.created)).into()).await.is_ok()
    }

    /// Waits until a unit that is to leave has no machine any more.
    pub(crate) async fn is_released(&self, unit: &str) {
        eventually(&format!("{unit} is released"), PATIENCE, || async {
            let record = self.registry.unit(&name(unit)).await.unwrap().unwrap().record.value;
            if record.machine.is_none() { Ok(()) } else { Err(format!("{record:?}")) }
        })
        .await;
    }

    /// Whether the registry has this key.
    pub(crate) async fn has(&self, key: &str) -> bool {
        let range = Range::key(format!("/fleet/{key}").into());
        !self.store.read(&[range], None).await.unwrap().ranges[0].kvs.is_empty()
    }

    /// Writes what nobody can understand under a key, and returns what is to be said of that.
    pub(crate) async fn garble(&self, key: &str) -> String {
        let key = format!("/fleet/{key}");
        let why = "EOF while parsing a value at line 1 column 8";
        let said = format!("{key} holds no valid value: {why}");
        let then = vec![Op::Put { key: key.into(), value: b"{\"hash\":".to_vec(), lease: None }];
        self.store.commit(Txn { compare: Vec::new(), then }).await.unwrap();
        said
    }

    /// Submits a unit and puts it onto `m1`, launched.
    pub(crate) async fn launch(&self, unit: &str, text: &str) {
        self.submit(unit, text, JobState::Launched).await;
        self.place(unit, Some("m1")).await;
    }

    /// Launches a unit on `m1`, and waits until it is active.
    pub(crate) async fn bring_up(&self, unit: &str, text: &str) {
        self.launch(unit, text).await;
        self.shows(unit, "active", JobState::Launched).await;
    }

    pub(crate) async fn set_metadata(&self, machine: &str, key: &str, value: &str) {
        let machine = machine.parse().unwrap();
        let change = MetadataChange { machine, key: key.into(), value: value.into() };
        self.registry.change_metadata(&[change]).await.unwrap();
    }

    /// What `m1` has published of a unit.
    pub(crate) async fn published(&self, unit: &str) -> Option<PublishedState> {
        let (machine, unit) = ("m1".parse().unwrap(), name(unit));
        self.registry.published(&machine, None, [&unit]).await.unwrap().remove(&unit)
    }

    /// What `m1` tells of why a unit isn't as it should be.
    pub(crate) async fn trouble(&self, unit: &str) -> Option<String> {
        let told = self.registry.trouble(&name(unit), &"m1".parse().unwrap()).await.unwrap();
        told.map(|trouble| trouble.error)
    }

    /// Waits until `m1` tells this of why a unit isn't as it should be; `None` is nothing.
    pub(crate) async fn tells(&self, unit: &str, error: Option<&str>) {
        let machine = "m1".parse().unwrap();
        eventually(&format!("{unit} has trouble: {error:?}"), PATIENCE, || async {
            let told = self.registry.trouble(&name(unit), &machine).await.unwrap();
            let told = told.map(|trouble| trouble.error);
            if told.as_deref() == error { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }

    /// What `m1` says that keeps a unit off it.
    pub(crate) async fn obstacle(&self, unit: &str) -> Option<String> {
        let (machine, unit) = ("m1".parse().unwrap(), name(unit));
        let found = self.registry.published::<HostObstacle>(&machine, None, [&unit]).await.unwrap();
        found.into_values().next().map(|found| found.reason)
    }

    /// Waits until `m1` says this of what keeps a unit off it.
    pub(crate) async fn has_obstacle(&self, unit: &str, reason: Option<&str>) {
        eventually(&format!("{unit} has the obstacle {reason:?}"), PATIENCE, || async {
            let found = self.obstacle(unit).await;
            if found.as_deref() == reason { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }

    /// Waits until `m1` publishes this of a unit: active state and claim.
    pub(crate) async fn shows(&self, unit: &str, active: &str, claim: JobState) {
        eventually(&format!("{unit} {active} and {claim}"), PATIENCE, || async {
            match self.published(unit).await {
                Some(state) if state.systemd.active == active && state.claim == claim => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until `m1` publishes how the unit's start went, and returns that with all of its state.
    pub(crate) async fn settled(&self, unit: &str) -> (PublishedState, Start) {
        eventually(&format!("the start of {unit} is settled"), PATIENCE, || async {
            let state = self.published(unit).await.ok_or("nothing is published")?;
            match state.start.clone() {
                Some(start) if start.settled => Ok((state, start)),
                _ => Err("it isn't settled"),
            }
        })
        .await
    }

    /// Waits until `m1` publishes that a unit is active with this content.
    pub(crate) async fn runs(&self, unit: &str, text: &str) {
        eventually(&format!("{unit} runs the content"), PATIENCE, || async {
            match self.published(unit).await {
                Some(state) if state.systemd.active == "active" && state.hash == hash(text) => {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until `m1` publishes nothing of a unit.
    pub(crate) async fn shows_nothing(&self, unit: &str) {
        eventually(&format!("{unit} has no state"), PATIENCE, || async {
            self.published(unit).await.map_or(Ok(()), |state| Err(format!("{state:?}")))
        })
        .await;
    }
}

/// A cluster of one host, `m1`, whose fleetd is there.
pub(crate) async fn one_host() -> (Cluster, Host, Daemon) {
    let (cluster, host) = (Cluster::new().await, Host::new("m1"));
    let daemon = host.boot(&cluster).await;
    (cluster, host, daemon)
}

/// A machine: its service manager and its runtime directory outlive its fleetds.
pub(crate) struct Host {
    pub(crate) manager: Arc<FakeManager>,
    pub(crate) runtime_dir: PathBuf,
    _runtime: TempDir,
    id: &'static str,
}

impl Host {
    pub(crate) fn new(id: &'static str) -> Self {
        let (manager, runtime) = (Arc::new(FakeManager::new()), tempfile::tempdir().unwrap());
        Self { manager, runtime_dir: runtime.path().to_owned(), _runtime: runtime, id }
    }

    pub(crate) fn agent(&self, cluster: &Cluster) -> Agent {
        self.agent_with(cluster, |_| {})
    }

    /// An agent with a configuration of its own.
    pub(crate) fn agent_with(
        &self,
        cluster: &Cluster,
        configure: impl FnOnce(&mut Config),
    ) -> Agent {
        self.agent_on(&cluster.registry, configure)
    }

    /// The same, whose way to the registry is its own.
    pub(crate) fn agent_on(
        &self,
        registry: &Registry,
        configure: impl FnOnce(&mut Config),
    ) -> Agent {
        let mut config = self.config();
        configure(&mut config);
        let manager: Arc<dyn UnitManager> = self.manager.clone();
        Agent::new(registry.clone(), manager, config)
    }

    pub(crate) fn config(&self) -> Config {
        let metadata = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let record = MachineRecord {
            public_ip: "198.18.0.1".into(),
            metadata,
            capabilities: fleet_registry::Capabilities::default(),
            version: "2.0.0".into(),
            nonce: String::new(),
            ..MachineRecord::default()
        };
        Config {
            machine: self.id.parse().unwrap(),
            record,
            address: None,
            presence: None,
            contact: None,
            ttl: TTL,
            interval: Duration::from_secs(2),
            runtime_dir: self.runtime_dir.clone(),
            disable_watches: false,
        }
    }

    /// Starts a fleetd: an agent and its supervisor. Returns when it is present.
    pub(crate) async fn boot(&self, cluster: &Cluster) -> Daemon {
        let daemon = Daemon::start(self.agent(cluster));
        daemon.is_present().await;
        daemon
    }

    /// The calls that change something, made since this was asked last.
    pub(crate) fn deeds(&self) -> Vec<Call> {
        let mut calls = self.manager.take_calls();
        calls.retain(|call| {
            let asks = matches!(call, Call::Units | Call::States(_) | Call::StopLimit(_));
            let asks = asks || matches!(call, Call::Outcome(_) | Call::Taken);
            !asks && !matches!(call, Call::Runs(_) | Call::Past(_))
        });
        calls
    }

    /// Waits until systemd says this of a unit.
    pub(crate) async fn has(&self, unit: &str, active: &str) {
        let unit = name(unit);
        eventually(&format!("{unit} is {active}"), PATIENCE, || async {
            let state = self.manager.state_of(&unit);
            if state.active == active { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
    }

    /// Whether a unit's file is here.
    pub(crate) async fn has_file(&self, unit: &str) -> bool {
        self.manager.units().await.unwrap().contains_key(&name(unit))
    }

    /// Waits until these are the unit files here.
    pub(crate) async fn has_files(&self, expected: &[&str]) {
        let expected: BTreeSet<UnitName> = expected.iter().map(|unit| name(unit)).collect();
        eventually(&format!("files {expected:?}"), PATIENCE, || async {
            let found: BTreeSet<UnitName> =
                self.manager.units().await.unwrap().into_keys().collect();
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
}

/// A running fleetd.
pub(crate) struct Daemon {
    task: JoinSet<Agent>,
    stop: CancellationToken,
    pub(crate) presence: PresenceHandle,
    pub(crate) standing: StandingHandle,
    pub(crate) dump: DumpHandle,
}

impl Daemon {
    pub(crate) fn start(mut agent: Agent) -> Self {
        let (presence, dump) = (agent.presence(), agent.dump());
        let standing = agent.standing();
        let stop = CancellationToken::new();
        let (mut task, token) = (JoinSet::new(), stop.clone());
        task.spawn(async move {
            while agent.register(&token).await.is_some() {
                if agent.run(&token).await == Ended::Stopped {
                    break;
                }
            }
            agent
        });
        Self { task, stop, presence, standing, dump }
    }

    pub(crate) async fn is_present(&self) {
        eventually("the machine is present", PATIENCE, || async {
            self.presence.current.borrow().clone()
        })
        .await;
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(mut self) {
        self.task.shutdown().await;
    }

    /// Ends it between passes, and returns its agent.
    pub(crate) async fn stop(mut self) -> Agent {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap()
    }
}
