//! Joins the parts of fleetd: the only place where traits meet their adapters.

use std::{num::NonZeroU16, path::Path, pin::Pin, sync::Arc, time::Duration};

use fleet_agent::{Agent, UnitManager};
use fleet_api::{Api, Availability, Limits, Listener, Settings};
use fleet_core::{MachineId, error_text::chain};
use fleet_engine::{Engine, Explainer, SharedMetrics};
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_registry::{
    Capabilities, Contact, FileCounters, MachineRecord, Presence, Registry, why::StoreSpace,
};
use fleet_runtime::clock;
use fleet_store::{MemoryStore, Store};
use fleet_systemd::{Bus, ConnectError, SystemdManager};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, info};

use crate::{
    VERSION, address,
    config::{Config, Etcd},
    identity::{self, NoMachineId},
    instance_lock::{InstanceLock, InstanceLockError},
    listen::{self, ListenError},
    logging::Queue,
    metrics::Metrics,
};

/// For how long the connection for users is kept when nobody uses it: connections cost etcd
/// memory, and making one takes milliseconds.
const USERS_IDLE: Duration = Duration::from_secs(60);

/// Where the registry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// In etcd.
    Etcd,
    /// In this process, until it ends (`--dev`).
    Memory,
}

/// What keeps fleetd from starting. Logged behind `Failed creating Server: ` (`fleetd.md` 3).
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Systemd(#[from] ConnectError),
    #[error(transparent)]
    Identity(#[from] NoMachineId),
    #[error("{}", chain(.0))]
    Etcd(#[from] fleet_etcd::ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    InstanceLockError(#[from] InstanceLockError),
}

/// The systemd of this machine, or of its user.
pub(crate) struct Systemd {
    pub(crate) units: Arc<dyn UnitManager>,
    /// Since when it has been out of reach; `None` while it isn't.
    pub(crate) lost_since: Arc<dyn Fn() -> Option<Instant> + Send + Sync>,
}

impl From<SystemdManager> for Systemd {
    fn from(manager: SystemdManager) -> Self {
        let manager = Arc::new(manager);
        let watched = Arc::clone(&manager);
        Self { units: manager, lost_since: Arc::new(move || watched.lost_since()) }
    }
}

/// What stays as it is for as long as fleetd runs.
pub(crate) struct Base {
    pub(crate) machine: MachineId,
    pub(crate) systemd: Systemd,
    pub(crate) availability: Availability,
    /// The detected address.
    pub(crate) address: watch::Sender<String>,
    pub(crate) backend: Backend,
    pub(crate) counts: Counts,
    pub(crate) log: Queue,
    pub(crate) _instance_lock: InstanceLock,
}

/// What is counted since fleetd started, by all parts that there were.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    files: Arc<FileCounters>,
    engine: SharedMetrics,
}

/// What a reload replaces: built, and not yet running.
pub(crate) struct Parts {
    pub(crate) agent: Agent,
    /// `None` with `disable_engine`.
    pub(crate) engine: Option<Engine>,
    pub(crate) api: Arc<Api>,
    /// The etcd to look after, and the size in bytes that its database shouldn't exceed.
    pub(crate) upkeep: Option<(EtcdStore, u64)>,
}

/// The registry, by two ways that don't get into each other's (decision 18).
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    /// For presence, leadership and orders.
    pub(crate) orders: Registry,
    /// For what users read and write.
    pub(crate) users: Registry,
    /// What both lead to, over the lane for users, unless that is this process.
    pub(crate) etcd: Option<EtcdStore>,
}

/// Asks etcd whether it has room.
struct EtcdSpace(EtcdStore);

impl StoreSpace for EtcdSpace {
    fn is_exhausted(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async { self.0.status().await.is_ok_and(|status| status.is_out_of_space) })
    }
}

/// What the agent of a reload takes over from the one before it.
#[derive(Debug, Default)]
pub(crate) struct PriorPresence {
    presence: Option<Presence>,
    contact: Option<Contact>,
}

impl PriorPresence {
    /// What `agent` has.
    pub(crate) fn by(agent: &Agent) -> Self {
        let handle = agent.presence();
        Self { presence: handle.current.borrow().clone(), contact: *handle.contact.borrow() }
    }
}

/// Everything, built and not yet running.
pub(crate) struct App {
    pub(crate) base: Base,
    pub(crate) config: Config,
    pub(crate) lanes: Lanes,
    pub(crate) listeners: Vec<Listener>,
}

impl App {
    /// Builds what fleetd stands on in the order of `fleetd.md` 3, so that errors come in that
    /// order too.
    pub(crate) async fn build(
        config: Config,
        backend: Backend,
        environment: impl Fn(&str) -> Option<String>,
        log: Queue,
    ) -> Result<Self, BuildError> {
        debug!("Creating Server");
        let bus = if config.systemd_user { Bus::User } else { Bus::System };
        let units = config.units_directory.clone();
        let systemd = fleet_systemd::Config::new(bus, units, identity::is_root(), environment)?;
        let systemd = Systemd::from(SystemdManager::connect(systemd).await?);
        // After the units directory: /run/fleet itself is for everybody to read.
        let instance_lock = InstanceLock::in_directory(&config.runtime_directory)?;
        let machine = identity::machine_id(Path::new(identity::MACHINE_ID))?;
        let address = watch::Sender::new(address::primary());
        let availability = Availability::new();
        let counts = Counts::default();
        let base = Base {
            machine,
            systemd,
            availability,
            address,
            backend,
            counts,
            log,
            _instance_lock: instance_lock,
        };
        let lanes = base.lanes(&config)?;
        let listeners = listen::listeners(&config.api_listen).await?;
        Ok(Self { base, config, lanes, listeners })
    }
}

impl Base {
    /// The ways to the registry that `config` describes.
    pub(crate) fn lanes(&self, config: &Config) -> Result<Lanes, fleet_etcd::ConfigError> {
        let registry = |store| {
            let registry = Registry::new(store, config.keys.clone());
            registry.counting_in(Arc::clone(&self.counts.files))
        };
        Ok(match self.backend {
            Backend::Memory => {
                let both = registry(Arc::new(MemoryStore::new()) as Arc<dyn Store>);
                Lanes { orders: both.clone(), users: both, etcd: None }
            }
            Backend::Etcd => {
                let etcd = etcd(&config.etcd)?;
                let users = etcd.lane(USERS_IDLE);
                Lanes {
                    orders: registry(Arc::new(etcd)),
                    users: registry(Arc::new(users.clone())),
                    etcd: Some(users),
                }
            }
        })
    }

    /// Builds the parts that `config` describes. An agent of them goes on with what one before it
    /// `held`.
    pub(crate) fn parts(&self, config: &Config, lanes: &Lanes, held: PriorPresence) -> Parts {
        let Lanes { orders, users, etcd } = lanes;
        let agent = self.agent(config, orders.clone(), held);
        let engine = (!config.disable_engine).then(|| {
            let settings = fleet_engine::Config {
                machine: self.machine.clone(),
                interval: config.engine_reconcile_interval,
                agent_ttl: config.agent_ttl,
                contact: agent.presence().contact,
                disable_watches: config.disable_watches,
                metrics: self.counts.engine.clone(),
            };
            Engine::new(orders.clone(), settings)
        });
        let settings = Settings {
            version: VERSION.to_owned(),
            token_limit: NonZeroU16::new(config.token_limit).unwrap_or(NonZeroU16::MIN),
            limits: Limits::default(),
            hosts: [identity::names(), config.api_hosts.clone()].concat(),
        };
        let metrics = Metrics {
            registry: users.clone(),
            engine: self.counts.engine.clone(),
            log: self.log.clone(),
            standing: agent.standing(),
        };
        let api = Api::new(users.clone(), self.availability.clone(), settings);
        let explainer = Explainer::new(users.clone(), engine.as_ref().map(Engine::handle));
        let api = api.with_metrics(Arc::new(metrics)).with_explain(Arc::new(explainer));
        let api = match etcd {
            Some(etcd) => api.with_store_space(Arc::new(EtcdSpace(etcd.clone()))),
            None => api,
        };
        let upkeep = etcd.clone().filter(|_| config.etcd_checks);
        let upkeep = upkeep.map(|etcd| (etcd, config.etcd_size_warning));
        Parts { agent, engine, api: Arc::new(api), upkeep }
    }

    fn agent(&self, config: &Config, registry: Registry, held: PriorPresence) -> Agent {
        let capabilities =
            Capabilities { disable_engine: config.disable_engine, ..Capabilities::default() };
        // Who has this answers when it is asked, and without watches it would hear nothing.
        let boot_id = if config.disable_watches { String::new() } else { clock::boot_id() };
        let record = MachineRecord {
            boot_id,
            public_ip: config.public_ip.clone().unwrap_or_default(),
            metadata: config.metadata.clone(),
            capabilities,
            version: VERSION.to_owned(),
            ..MachineRecord::default()
        };
        let detected = || self.address.subscribe();
        let manager = Arc::clone(&self.systemd.units);
        let settings = fleet_agent::Config {
            machine: self.machine.clone(),
            record,
            address: config.public_ip.is_none().then(detected),
            presence: held.presence,
            contact: held.contact,
            ttl: lease(config.agent_ttl),
            interval: config.engine_reconcile_interval,
            runtime_dir: config.runtime_directory.clone(),
            disable_watches: config.disable_watches,
        };
        Agent::new(registry, manager, settings)
    }
}

/// The lease to ask for, so that the units of a dead machine run elsewhere within `agent_ttl`:
/// etcd ends leases up to half a second late, and moving units takes its time.
fn lease(agent_ttl: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(1);
    if agent_ttl < 5 * MARGIN { agent_ttl } else { agent_ttl - MARGIN }
}

fn etcd(config: &Etcd) -> Result<EtcdStore, fleet_etcd::ConfigError> {
    info!("using etcd at {}", config.servers.join(", "));
    EtcdStore::connect(EtcdConfig {
        endpoints: config.servers.clone(),
        login: config.login.clone(),
        tls: config.tls.clone(),
        request_timeout: config.request_timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_leave_time_to_move_units_unless_they_are_very_short() {
        for (agent_ttl, expected) in [(1, 1), (4, 4), (5, 4), (30, 29)] {
            assert_eq!(lease(Duration::from_secs(agent_ttl)), Duration::from_secs(expected));
        }
    }
}
