//! The driver `etcd` (`fleetctl.md` 3.5): the registry without a fleetd in between. What the API
//! checks and answers, this checks and answers too, so that commands see no difference.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use fleet_client::Removal;
use fleet_core::{
    InvalidUnit, InvalidUnitName, JobState, MachineId, OwnName, UnitName, check_own_names_for,
    error_text::chain, validate,
};
use fleet_engine::Explainer;
use fleet_etcd::{ConfigError, Dial, EtcdConfig, EtcdStore, Tls, carries_login};
use fleet_registry::{
    Attempts, InvalidPrefix, Keys, MachineView, Page, Registry, RegistryError, RestartError, Start,
    StateFilter, StateView, TooLarge, Unit, check_size, why,
};
use fleet_schema as schema;
use tracing::error;

use crate::{
    api::{Api, ApiError},
    ui::Ui,
};

mod version;

/// How many items are read at a time.
const PAGE: usize = 1000;
/// For how long a change is decided anew because the unit changed meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// What stands for no limit.
const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where the registry is.
pub(crate) struct Settings<'a> {
    pub(crate) endpoints: Vec<String>,
    pub(crate) key_prefix: &'a str,
    pub(crate) tls: Tls,
    pub(crate) request_timeout: Option<Duration>,
    /// How its members are reached, unless directly.
    pub(crate) dial: Option<Arc<dyn Dial>>,
}

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

/// A call that failed.
#[derive(Debug, thiserror::Error)]
enum EtcdError {
    #[error(
        "client: etcd cluster is unavailable or misconfigured; error #0: {}",
        chain(.0)
    )]
    Unavailable(RegistryError),
    #[error("{}", chain(.0))]
    Registry(RegistryError),
    #[error(transparent)]
    Name(#[from] InvalidUnitName),
    #[error(transparent)]
    Invalid(#[from] InvalidUnit),
    #[error(transparent)]
    OwnName(#[from] OwnName),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("unit does not exist and options field empty")]
    NoContent,
    #[error("unit is not launched")]
    NotLaunched,
    #[error("cannot activate template \"{0}\"")]
    Template(UnitName),
}

impl From<RegistryError> for EtcdError {
    fn from(error: RegistryError) -> Self {
        let is_away = error.is_unavailable() && !error.is_out_of_space();
        if is_away { Self::Unavailable(error) } else { Self::Registry(error) }
    }
}

impl From<EtcdError> for ApiError {
    fn from(error: EtcdError) -> Self {
        Self::new(error)
    }
}

/// A cluster's registry.
pub(crate) struct Etcd {
    registry: Registry,
    explainer: Explainer,
}

impl Etcd {
    /// The registry that `settings` name. Nothing is sent yet.
    pub(crate) fn connect(settings: Settings<'_>) -> Result<Self, BadSettings> {
        let keys = Keys::new(settings.key_prefix)?;
        // Before anything of them is shown, be it a scheme.
        if settings.endpoints.iter().any(|url| carries_login(url)) {
            return Err(ConfigError::Credentials.into());
        }
        if let Some(scheme) = settings.endpoints.iter().find_map(|url| foreign_scheme(url)) {
            return Err(BadSettings::Scheme(scheme.to_owned()));
        }
        let config = EtcdConfig {
            endpoints: settings.endpoints,
            login: None,
            tls: settings.tls,
            request_timeout: settings.request_timeout.unwrap_or(UNLIMITED),
        };
        let store = match settings.dial {
            None => EtcdStore::connect(config)?,
            Some(dial) => EtcdStore::connect_with(config, dial)?,
        };
        let registry = Registry::new(Arc::new(store), keys);
        Ok(Self { explainer: Explainer::new(registry.clone(), None), registry })
    }

    /// Warns when the cluster has machines of a newer version than this fleetctl.
    pub(crate) async fn check_version(&self, ui: &Ui) {
        match self.registry.machine_versions().await {
            Ok(versions) => {
                if let Some(warning) = version::warning(fleet_core::VERSION, &versions) {
                    ui.err(warning);
                }
            }
            Err(cause) => {
                let cause = EtcdError::from(cause);
                error!("error attempting to check latest fleet version in Registry: {cause}");
            }
        }
    }

    async fn put(&self, name: &str, options: Vec<schema::UnitOption>) -> Result<(), EtcdError> {
        let name: UnitName = name.parse()?;
        if options.is_empty() {
            return Err(EtcdError::NoContent);
        }
        let file = validate(&name, options.into_iter().map(Into::into).collect())?;
        check_size(&file)?;
        let inactive = JobState::Inactive;
        decided(async || match self.registry.unit(&name).await? {
            None => self.registry.create_unit(&name, &file, inactive).await,
            Some(seen) => self.registry.replace_unit(&seen, &file, inactive).await,
        })
        .await
    }

    /// The unit called `name`; an error when there is none.
    async fn existing(&self, name: &str) -> Result<Unit, EtcdError> {
        let name: UnitName = name.parse()?;
        let unit = self.registry.unit(&name).await?;
        Ok(unit.ok_or(RegistryError::NoSuchUnit(name))?)
    }

    async fn restart(&self, name: &str, machine: Option<&str>) -> Result<(), EtcdError> {
        let machine: Option<MachineId> = machine
            .map(|machine| machine.parse().map_err(|_| EtcdError::NotLaunched))
            .transpose()?;
        let mut attempts = Attempts::within(PATIENCE);
        loop {
            let unit = self.existing(name).await?;
            match self.registry.ask_restart(&unit, machine.as_ref()).await {
                Err(RestartError::Registry(RegistryError::Conflict(_)))
                    if attempts.again().await => {}
                result => return Ok(result.map(drop)?),
            }
        }
    }

    async fn set(&self, name: &str, state: JobState) -> Result<(), EtcdError> {
        let name: UnitName = name.parse()?;
        if state != JobState::Inactive && name.is_template() {
            return Err(EtcdError::Template(name));
        }
        let mut attempts = Attempts::within(PATIENCE);
        loop {
            let seen = self.existing(name.as_str()).await?;
            check_own_names_for(state, &name, &seen.file)?;
            match self.registry.set_desired_state(&seen, state).await {
                Err(RegistryError::Conflict(_)) if attempts.again().await => {}
                result => return Ok(result?),
            }
        }
    }
}

impl From<RestartError> for EtcdError {
    fn from(error: RestartError) -> Self {
        match error {
            RestartError::NotLaunched => Self::NotLaunched,
            RestartError::Registry(error) => error.into(),
        }
    }
}

/// Decides again whenever what was decided on has changed.
async fn decided(decide: impl AsyncFn() -> Result<(), RegistryError>) -> Result<(), EtcdError> {
    let mut attempts = Attempts::within(PATIENCE);
    loop {
        match decide().await {
            Err(RegistryError::Conflict(_)) if attempts.again().await => {}
            result => return Ok(result?),
        }
    }
}

#[async_trait(?Send)]
impl Api for Etcd {
    async fn units(&self) -> Result<Vec<schema::Unit>, ApiError> {
        let page = async |after: Option<&str>| self.registry.units_page(after, PAGE).await;
        Ok(all(page, unit_of).await?)
    }

    async fn unit(&self, name: &str) -> Result<Option<schema::Unit>, ApiError> {
        // A name that isn't valid can't exist.
        let Ok(name) = name.parse() else { return Ok(None) };
        let unit = self.registry.unit(&name).await.map_err(EtcdError::from)?;
        let Some(unit) = unit else { return Ok(None) };
        let pending = why::pending(&self.registry, Some(&self.explainer), &unit).await;
        let pending = pending.map(pending_of).unwrap_or_default();
        let global = unit.record.value.global;
        let mut unit = schema::Unit { pending, ..unit_of(unit) };
        if global {
            unit.current_state.clear();
        }
        Ok(Some(unit))
    }

    async fn states(&self) -> Result<Vec<schema::UnitState>, ApiError> {
        let filter = StateFilter::default();
        let page =
            async |after: Option<&str>| self.registry.states_page(&filter, after, PAGE).await;
        Ok(all(page, state_of).await?)
    }

    async fn state(&self, name: &str) -> Result<Option<schema::UnitState>, ApiError> {
        let Ok(unit) = name.parse() else { return Ok(None) };
        let filter = StateFilter { unit: Some(unit), machine: None };
        let page = self.registry.states_page(&filter, None, 1).await.map_err(EtcdError::from)?;
        Ok(page.items.into_iter().next().map(state_of))
    }

    async fn machines(&self) -> Result<Vec<schema::Machine>, ApiError> {
        let page = async |after: Option<&str>| self.registry.machines_page(after, PAGE).await;
        Ok(all(page, machine_of).await?)
    }

    async fn put_unit(&self, name: &str, options: Vec<schema::UnitOption>) -> Result<(), ApiError> {
        Ok(self.put(name, options).await?)
    }

    async fn set_state(&self, name: &str, state: JobState) -> Result<(), ApiError> {
        Ok(self.set(name, state).await?)
    }

    async fn destroy(&self, name: &str) -> Result<Removal, ApiError> {
        let Ok(name) = name.parse() else { return Ok(Removal::Absent) };
        match self.registry.destroy_unit(&name).await {
            Ok(()) => Ok(Removal::Removed),
            Err(RegistryError::NoSuchUnit(_)) => Ok(Removal::Absent),
            Err(error) => Err(EtcdError::from(error).into()),
        }
    }

    async fn states_of(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<schema::UnitState>, ApiError> {
        let Ok(unit) = name.parse() else { return Ok(Vec::new()) };
        let filter = StateFilter { unit: Some(unit), machine: machine.map(str::to_owned) };
        let page =
            async |after: Option<&str>| self.registry.states_page(&filter, after, PAGE).await;
        Ok(all(page, state_of).await?)
    }

    async fn restart(&self, name: &str, machine: Option<&str>) -> Result<(), ApiError> {
        Ok(Self::restart(self, name, machine).await?)
    }

    async fn pending_restarts(&self, name: &str, machine: &str) -> Result<Vec<String>, ApiError> {
        let Ok(machine) = machine.parse() else { return Ok(Vec::new()) };
        let unit = self.existing(name).await?;
        let pending = self.registry.pending_restarts(&unit, Some(&machine)).await;
        Ok(pending.map_err(EtcdError::from)?.into_iter().map(String::from).collect())
    }
}

/// A whole list, page by page.
async fn all<T, U>(
    page: impl AsyncFn(Option<&str>) -> Result<Page<T>, RegistryError>,
    shown: impl Fn(T) -> U,
) -> Result<Vec<U>, EtcdError> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let Page { items: more, next } = page(after.as_deref()).await?;
        items.extend(more.into_iter().map(&shown));
        match next {
            None => return Ok(items),
            next => after = next,
        }
    }
}

fn unit_of(unit: Unit) -> schema::Unit {
    let Unit { name, record, file, current_state, .. } = unit;
    schema::Unit {
        name: name.into(),
        options: file.options().iter().map(Into::into).collect(),
        desired_state: record.value.desired_state.to_string(),
        current_state: current_state.to_string(),
        machine_id: record.value.machine.map(String::from).unwrap_or_default(),
        ..schema::Unit::default()
    }
}

fn pending_of(why::Pending { reason, message, machines }: why::Pending) -> schema::Pending {
    let machine = |said: why::Said| schema::PendingMachine {
        machine_id: said.machine.into(),
        message: said.message,
        reason: said.reason.to_owned(),
        refused: said.refused,
    };
    let machines = machines.into_iter().map(machine).collect();
    schema::Pending { machines, message, reason: reason.to_owned() }
}

fn state_of(view: StateView) -> schema::UnitState {
    let StateView { unit, machine, state } = view;
    let start = state.start.map(|Start { at, settled, failure }| schema::UnitStart {
        at,
        failure,
        settled,
    });
    schema::UnitState {
        name: unit.into(),
        hash: state.hash.to_string(),
        machine_id: machine.into(),
        start: start.unwrap_or_default(),
        systemd_load_state: state.systemd.load,
        systemd_active_state: state.systemd.active,
        systemd_sub_state: state.systemd.sub,
    }
}

fn machine_of(view: MachineView) -> schema::Machine {
    let MachineView { id, public_ip, metadata, standing } = view;
    let standing = standing.noteworthy().unwrap_or_default().to_owned();
    schema::Machine { id: id.into(), primary_ip: public_ip, metadata, standing }
}

/// The scheme of a URL that etcd isn't reached by, where it has one.
fn foreign_scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    (!matches!(scheme, "http" | "https")).then_some(scheme)
}
