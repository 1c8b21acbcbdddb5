//! A machine: a real agent over a service manager that is played, each with its own connection to etcd.

use std::{path::PathBuf, sync::Arc, time::Duration};

use fleet_agent::{
    Agent, PresenceHandle,
    fake::{Call, FakeManager},
};
use fleet_api::Availability;
use fleet_core::{Machine, UnitName, VERSION};
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_registry::{Capabilities, Keys, MachineRecord, Registry};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    process::INTERVAL,
    role::{PREFIX, Setup, Told},
};
use crate::fleetd::serve_agent;

/// How long a request to etcd may take, as fleetd has it by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The host of an agent, for as long as it has power.
pub(super) struct Host {
    units: Arc<FakeManager>,
    told: Told,
    presence: PresenceHandle,
    task: JoinSet<()>,
}

/// Prepares a connection to etcd.
pub(super) fn store(endpoint: &str) -> Result<EtcdStore, fleet_etcd::ConfigError> {
    EtcdStore::connect(EtcdConfig {
        endpoints: vec![endpoint.to_owned()],
        login: None,
        tls: Certificates::default(),
        request_timeout: REQUEST_TIMEOUT,
    })
}

/// The registry in a store.
pub(super) fn registry(store: EtcdStore) -> Registry {
    let keys = Keys::new(PREFIX).unwrap_or_else(|_| unreachable!("this is a prefix"));
    Registry::new(Arc::new(store), keys)
}

/// The agent of a machine, which begins its boot of this number.
pub(super) fn agent(
    setup: &Setup,
    machine: &Machine,
    number: usize,
    boot: usize,
    has_engine: bool,
    registry: Registry,
    units: Arc<FakeManager>,
) -> Agent {
    let record = MachineRecord {
        boot_id: format!("{number:08x}-{boot:08x}"),
        public_ip: format!("198.18.{}.{}", number / 250, number % 250 + 1),
        metadata: machine.metadata.clone(),
        capabilities: Capabilities { disable_engine: !has_engine, ..Capabilities::default() },
        version: VERSION.to_owned(),
        ..MachineRecord::default()
    };
    let runtime_dir: PathBuf = setup.folder.join(format!("{number}-{boot}"));
    let config = fleet_agent::Config {
        machine: machine.id.clone(),
        record,
        address: None,
        presence: None,
        contact: None,
        ttl: setup.lease(),
        interval: INTERVAL,
        runtime_dir,
        disable_watches: false,
    };
    Agent::new(registry, units, config)
}

impl Host {
    /// Switches the machine of this number on, for the `boot`th time.
    pub(super) fn start(
        setup: &Setup,
        number: usize,
        boot: usize,
    ) -> Result<Self, fleet_etcd::ConfigError> {
        let machine = setup.workload().machine(number);
        let units = Arc::new(FakeManager::new());
        let registry = registry(store(&setup.endpoint)?);
        let agent = agent(setup, &machine, number, boot, false, registry, Arc::clone(&units));
        Ok(Self::of(units, agent, Availability::new()))
    }

    /// One that runs this agent.
    pub(super) fn of(units: Arc<FakeManager>, agent: Agent, availability: Availability) -> Self {
        let (presence, mut task) = (agent.presence(), JoinSet::new());
        task.spawn(async move {
            serve_agent(agent, availability, CancellationToken::new()).await;
        });
        Self { units, told: Told::default(), presence, task }
    }

    /// How often its service manager was told something so far.
    pub(super) fn told(&mut self) -> Told {
        for call in self.units.take_calls() {
            match call {
                Call::Start(_) | Call::Restart(_) => self.told.starts += 1,
                Call::Stop(_) => self.told.stops += 1,
                _ => {}
            }
        }
        self.told
    }

    /// Whether its beats succeed.
    pub(super) fn is_in_touch(&self) -> bool {
        self.presence.contact.borrow().is_some_and(|contact| contact.lasts(Instant::now()))
    }

    /// The units that run on it.
    pub(super) fn running(&self) -> impl Iterator<Item = UnitName> {
        let units = Arc::clone(&self.units);
        let in_memory = units.in_memory().into_iter();
        in_memory.filter(move |unit| units.running(unit).is_some())
    }

    /// Whether its agent still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        self.task.try_join_next().is_none()
    }
}
