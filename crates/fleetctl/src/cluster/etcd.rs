//! The driver `etcd` (`fleetctl.md` 3.5): the registry without a fleetd in between. The API that a
//! fleetd serves is served in this process, so that commands see no difference.

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fleet_api::{Api, Availability, Limits, serve_local};
use fleet_client::Client;
use fleet_core::{
    VERSION,
    error_text::{carries_login, chain},
};
use fleet_engine::Explainer;
use fleet_etcd::{ConfigError, EtcdConfig, EtcdStore};
use fleet_net::{BoxStream, Certificates, Dial, DialError, Target};
use fleet_registry::{InvalidPrefix, Keys, Registry, RegistryError};
use tokio::{io::duplex, task::JoinSet};
use tracing::error;

use crate::{config::Config, flags::ENDPOINT, ui::Ui};

mod version;

/// Where etcd was looked for before fleet had an API.
const OLD_ETCD: &str = "http://127.0.0.1:2379,http://127.0.0.1:4001";
/// How many items are read at a time.
const PAGE: NonZeroU16 = NonZeroU16::new(1000).expect("it isn't zero");
/// What stands for no limit.
const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);
/// How many bytes are on their way between client and API.
const BUFFER: usize = 64 * 1024;

/// Settings that can't work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSettings {
    #[error("unsupported protocol scheme \"{0}\"")]
    Scheme(String),
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    #[error("{}", chain(.0))]
    Etcd(#[from] ConfigError),
}

/// A client of the registry that `config` names, whose members are reached by `dial`, or directly.
/// Warns when the cluster has machines of a newer version than this fleetctl.
pub(crate) async fn connect(
    config: &Config,
    certificates: Option<Certificates>,
    dial: Option<Arc<dyn Dial>>,
    ui: &Ui,
) -> Result<Client, BadSettings> {
    let registry = registry(config, certificates, dial)?;
    check_version(&registry, ui).await;
    let here = "http://etcd".parse().expect("this is a URL");
    let local = Local::new(registry, config.request_timeout);
    // What takes its time is etcd, and that has been given one.
    Ok(Client::with(here, Arc::new(local), None, None).local())
}

fn registry(
    config: &Config,
    certificates: Option<Certificates>,
    dial: Option<Arc<dyn Dial>>,
) -> Result<Registry, BadSettings> {
    let keys = Keys::new(&config.etcd_key_prefix)?;
    let unused_api = config.endpoint == ENDPOINT && !config.experimental_api;
    let endpoints = if unused_api { OLD_ETCD } else { &config.endpoint };
    // Before anything of them is shown, be it a scheme.
    if carries_login(endpoints) {
        return Err(ConfigError::Credentials.into());
    }
    let endpoints: Vec<String> = endpoints.split(',').map(|url| url.trim().to_owned()).collect();
    if let Some(scheme) = endpoints.iter().find_map(|url| foreign_scheme(url)) {
        return Err(BadSettings::Scheme(scheme.to_owned()));
    }
    let config = EtcdConfig {
        endpoints,
        login: None,
        tls: certificates.unwrap_or_default(),
        request_timeout: config.request_timeout.unwrap_or(UNLIMITED),
    };
    let store = match dial {
        None => EtcdStore::connect(config)?,
        Some(dial) => EtcdStore::connect_with(config, dial)?,
    };
    Ok(Registry::new(Arc::new(store), keys))
}

async fn check_version(registry: &Registry, ui: &Ui) {
    match registry.machine_versions().await {
        Ok(versions) => {
            if let Some(warning) = version::warning(VERSION, &versions) {
                ui.err(warning);
            }
        }
        Err(cause) => {
            let cause = words(&cause);
            error!("error attempting to check latest fleet version in Registry: {cause}");
        }
    }
}

/// What is said of a registry that fails.
fn words(error: &RegistryError) -> String {
    let cause = chain(error);
    if error.is_unavailable() && !error.is_out_of_space() {
        format!("client: etcd cluster is unavailable or misconfigured; error #0: {cause}")
    } else {
        cause
    }
}

/// The scheme of a URL that etcd isn't reached by, where it has one.
fn foreign_scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    (!matches!(scheme, "http" | "https")).then_some(scheme)
}

/// An API in this process, and those who serve it: one for each stream that was opened to it.
struct Local {
    api: Arc<Api>,
    serving: Mutex<JoinSet<()>>,
}

impl Local {
    fn new(registry: Registry, request_timeout: Option<Duration>) -> Self {
        let availability = Availability::new();
        availability.set(true);
        let limits = Limits::default();
        // It ends what etcd's own limit does not, and not before that.
        let store_time = request_timeout.map_or(UNLIMITED, |limit| limit.max(limits.store_time));
        let settings = fleet_api::Settings {
            version: VERSION.to_owned(),
            token_limit: PAGE,
            limits: Limits { store_time, ..limits },
            hosts: Vec::new(),
        };
        let explainer = Explainer::new(registry.clone(), None);
        let api = Api::new(registry, availability, settings)
            .with_explain(Arc::new(explainer))
            .with_causes(words);
        Self { api: Arc::new(api), serving: Mutex::default() }
    }
}

#[async_trait]
impl Dial for Local {
    async fn dial(&self, _: &Target) -> Result<BoxStream, DialError> {
        let (near, far) = duplex(BUFFER);
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        while serving.try_join_next().is_some() {}
        serving.spawn(serve_local(far, Arc::clone(&self.api)));
        Ok(Box::new(near))
    }
}
