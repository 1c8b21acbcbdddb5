//! Joins the parts of fleetd: the only place where traits meet their adapters.

use std::{num::NonZeroU16, sync::Arc};

use fleet_agent::{Agent, UnitManager};
use fleet_api::{Api, Availability, Limits, Listener, Settings};
use fleet_engine::Engine;
use fleet_etcd::{EtcdConfig, EtcdStore, Login};
use fleet_registry::{Capabilities, MachineRecord, Registry};
use fleet_store::{MemoryStore, Store};
use fleet_systemd::{Bus, ConnectError, SystemdManager};
use tracing::info;

use crate::{
    VERSION,
    alone::{Alone, NotAlone},
    config::{Config, Etcd},
    identity::{self, NoMachineId},
    listen::{self, ListenError},
    metrics::Metrics,
};

/// Everything that runs, built and not yet running.
pub(crate) struct App {
    pub(crate) agent: Agent,
    /// `None` with `disable_engine`.
    pub(crate) engine: Option<Engine>,
    pub(crate) api: Arc<Api>,
    pub(crate) availability: Availability,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) systemd: Arc<SystemdManager>,
    _alone: Alone,
    pub(crate) purge_on_shutdown: bool,
    pub(crate) agent_ttl: std::time::Duration,
}

/// Where the registry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
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
    #[error(transparent)]
    Etcd(#[from] fleet_etcd::ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    NotAlone(#[from] NotAlone),
}

impl App {
    /// Builds the parts in the order of `fleetd.md` 3, so that errors come in that order too.
    pub(crate) async fn build(
        config: Config,
        keeping: Keeping,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BuildError> {
        let bus = if config.systemd_user { Bus::User } else { Bus::System };
        let units = config.units_directory.clone();
        let systemd = fleet_systemd::Config::new(bus, units, identity::is_root(), environment)?;
        let systemd = Arc::new(SystemdManager::connect(systemd).await?);
        // After the units directory: /run/fleet itself is for everybody to read.
        let alone = Alone::in_directory(&config.runtime_directory)?;
        let machine = identity::machine_id()?;
        let store = store(config.etcd, keeping)?;
        let registry = Registry::new(store, config.keys);
        let listeners = listen::listeners(&config.api_listen).await?;

        let record = MachineRecord {
            public_ip: config.public_ip.unwrap_or_default(),
            metadata: config.metadata,
            capabilities: Capabilities { disable_engine: config.disable_engine, grpc: false },
            version: VERSION.to_owned(),
            nonce: String::new(),
        };
        let agent = Agent::new(
            registry.clone(),
            Arc::clone(&systemd) as Arc<dyn UnitManager>,
            fleet_agent::Config {
                machine: machine.clone(),
                record,
                address: None,
                presence: None,
                ttl: config.agent_ttl,
                runtime_dir: config.runtime_directory,
                disable_watches: config.disable_watches,
            },
        );
        let interval = config.engine_reconcile_interval;
        let contact = agent.presence().contact;
        let engine = (!config.disable_engine).then(|| {
            let disable_watches = config.disable_watches;
            let config = fleet_engine::Config { machine, interval, contact, disable_watches };
            Engine::new(registry.clone(), config)
        });
        let availability = Availability::new();
        let settings = Settings {
            version: VERSION.to_owned(),
            token_limit: NonZeroU16::new(config.token_limit).unwrap_or(NonZeroU16::MIN),
            limits: Limits::default(),
        };
        let metrics =
            Metrics { registry: registry.clone(), engine: engine.as_ref().map(Engine::handle) };
        let api = Api::new(registry, availability.clone(), settings);
        let api = Arc::new(api.with_metrics(Arc::new(metrics)));
        Ok(Self {
            agent,
            engine,
            api,
            availability,
            listeners,
            systemd,
            _alone: alone,
            purge_on_shutdown: config.purge_on_shutdown,
            agent_ttl: config.agent_ttl,
        })
    }
}

fn store(etcd: Etcd, keeping: Keeping) -> Result<Arc<dyn Store>, fleet_etcd::ConfigError> {
    if keeping == Keeping::Memory {
        return Ok(Arc::new(MemoryStore::new()));
    }
    info!("using etcd at {}", etcd.servers.join(", "));
    let tls = etcd.tls.unwrap_or_default();
    Ok(Arc::new(EtcdStore::connect(EtcdConfig {
        endpoints: etcd.servers,
        login: etcd.user.map(|(user, password)| Login { user, password }),
        tls: fleet_etcd::Tls { ca: tls.ca, identity: tls.client },
        request_timeout: etcd.request_timeout,
    })?))
}
