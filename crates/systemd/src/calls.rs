//! The methods of systemd that fleet uses (org.freedesktop.systemd1(5)).

use std::{collections::HashMap, sync::Arc, time::Duration};

use fleet_agent::manager::{JobKind, Run, RunId};
use fleet_core::{UnitName, UnitState};
use serde::de::DeserializeOwned;
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::{
    bus::{CallError, Limits},
    interfaces::{JOB, MANAGER, MANAGER_PATH, PEER, PROPERTIES, SYSTEMD, UNIT},
    object_path,
    session::Session,
};

/// A change that systemd made to its links: what it did, the link, where that points.
pub(crate) type LinkChange = (String, String, String);

/// A row of a list of units: name, description, load, active, sub, followed unit, path, and the
/// number, type and path of its job.
type Row =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// What to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    /// As it is written in log lines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// A unit that systemd has in memory.
#[derive(Clone, Debug)]
pub(crate) struct InMemory {
    pub(crate) load: String,
    pub(crate) active: String,
    /// The file it was read from; empty when there was none.
    pub(crate) fragment: String,
}

impl InMemory {
    /// It is only known since something refers to it, or has failed and is gone: nothing of it is
    /// anybody's.
    pub(crate) fn is_nobodys(&self) -> bool {
        self.load == "not-found" && matches!(&*self.active, "inactive" | "failed")
    }

    /// It was read from a file, or was masked, and doesn't run: what files say now is what counts.
    pub(crate) fn is_idle_file(&self) -> bool {
        self.active == "inactive" && (!self.fragment.is_empty() || self.load == "masked")
    }
}

/// Calls systemd over the connection of the moment.
#[derive(Debug)]
pub(crate) struct Calls {
    session: Arc<Session>,
    limits: Limits,
}

impl Calls {
    pub(crate) fn new(session: Arc<Session>, limits: Limits) -> Self {
        Self { session, limits }
    }

    /// The major version of systemd.
    pub(crate) fn version(&self) -> Result<u32, CallError> {
        Ok(self.session.live()?.version)
    }

    /// Links unit files from outside systemd's folders into its runtime folder, where nothing else is
    /// in their places.
    pub(crate) async fn link(&self, paths: &[&str]) -> Result<Vec<LinkChange>, CallError> {
        self.manager("LinkUnitFiles", &(paths, true, false)).await
    }

    /// Follows a unit file's `[Install]`, likewise; says whether there was anything in it, and what
    /// that has led to.
    pub(crate) async fn enable(&self, path: &str) -> Result<(bool, Vec<LinkChange>), CallError> {
        self.manager("EnableUnitFiles", &(&[path][..], true, false)).await
    }

    /// What systemd has in memory under a name, if anything.
    pub(crate) async fn in_memory(&self, unit: &str) -> Result<Option<InMemory>, CallError> {
        let path: OwnedObjectPath = match self.manager("GetUnit", &unit).await {
            Err(error) if error.is_no_possible_unit() => return Ok(None),
            path => path?,
        };
        let properties: HashMap<String, OwnedVariant> =
            self.call(path.as_str(), PROPERTIES, "GetAll", &UNIT).await?;
        let text = |name: &str| {
            let value = properties.get(name).and_then(|value| <&str>::try_from(value).ok());
            value.unwrap_or_default().to_owned()
        };
        let [load, active, fragment] = ["LoadState", "ActiveState", "FragmentPath"].map(text);
        Ok(Some(InMemory { load, active, fragment }))
    }

    /// Where systemd has read a unit from.
    pub(crate) async fn fragment(&self, unit: &UnitName) -> Result<String, CallError> {
        let path = object_path::of_unit(unit.as_str());
        self.property(unit, &path, UNIT, "FragmentPath").await
    }

    /// Whether a unit has a job to do.
    pub(crate) async fn has_job(&self, unit: &str) -> Result<bool, CallError> {
        let names: &[&str] = &[unit];
        let rows: Vec<Row> = self.manager("ListUnitsByNames", &names).await?;
        Ok(rows.iter().any(|(.., job, _, _)| *job != 0))
    }

    /// Removes all links to these units from systemd's runtime folder.
    pub(crate) async fn disable(&self, names: &[&str]) -> Result<Vec<LinkChange>, CallError> {
        self.manager("DisableUnitFiles", &(names, true)).await
    }

    /// Lets systemd forget that a unit failed, and with that the unit.
    pub(crate) async fn reset_failed(&self, unit: &UnitName) -> Result<(), CallError> {
        self.manager("ResetFailedUnit", &unit.as_str()).await
    }

    /// Asks systemd whether it is there. The bus doesn't answer for it.
    pub(crate) async fn ping(&self) -> Result<(), CallError> {
        self.call(MANAGER_PATH, PEER, "Ping", &()).await
    }

    /// Lets systemd read all its unit files again.
    pub(crate) async fn reload(&self) -> Result<(), CallError> {
        self.manager("Reload", &()).await
    }

    /// Queues a job and returns its number: the last component of its path, 0 if that is none.
    pub(crate) async fn queue(&self, verb: Verb, unit: &UnitName) -> Result<u32, CallError> {
        let method = match verb {
            Verb::Start => "StartUnit",
            Verb::Stop => "StopUnit",
            Verb::Restart => "RestartUnit",
        };
        let job: OwnedObjectPath = self.manager(method, &(unit.as_str(), "replace")).await?;
        let id = job.as_str().rsplit('/').next().and_then(|id| id.parse().ok());
        Ok(id.unwrap_or(0))
    }

    /// Says whether systemd has read a unit from a file that has changed since.
    ///
    /// Asking for the property loads a unit that isn't in memory, only to drop it again: 3 ms for
    /// an answer that is always no. So this asks first whether it is there.
    pub(crate) async fn needs_reload(&self, unit: &UnitName) -> Result<bool, CallError> {
        let path: OwnedObjectPath = match self.manager("GetUnit", &unit.as_str()).await {
            Err(error) if error.is_no_such_unit() => return Ok(false),
            path => path?,
        };
        self.property(unit, path.as_str(), UNIT, "NeedDaemonReload").await
    }

    /// How long a unit may take to stop; `None` is without end. Types that have no processes stop
    /// at once.
    pub(crate) async fn stop_limit(&self, unit: &UnitName) -> Result<Option<Duration>, CallError> {
        let (kind, property) = match unit.as_str().rsplit_once('.').map_or("", |(_, kind)| kind) {
            "service" => ("Service", "TimeoutStopUSec"),
            "scope" => ("Scope", "TimeoutStopUSec"),
            "socket" => ("Socket", "TimeoutUSec"),
            "mount" => ("Mount", "TimeoutUSec"),
            "swap" => ("Swap", "TimeoutUSec"),
            _ => return Ok(Some(Duration::ZERO)),
        };
        let path = object_path::of_unit(unit.as_str());
        let interface = format!("{SYSTEMD}.{kind}");
        let limit: u64 = self.property(unit, &path, &interface, property).await?;
        Ok((limit != u64::MAX).then(|| Duration::from_micros(limit)))
    }

    /// What systemd has in memory of a unit; `None` when that is nothing. Asks first whether it is
    /// there, like [`Calls::needs_reload`].
    pub(crate) async fn run(&self, unit: &UnitName) -> Result<Option<Run>, CallError> {
        let path: OwnedObjectPath = match self.manager("GetUnit", &unit.as_str()).await {
            Err(error) if error.is_no_possible_unit() => return Ok(None),
            path => path?,
        };
        let properties = match self.call(path.as_str(), PROPERTIES, "GetAll", &UNIT).await {
            // It was forgotten between the two.
            Err(CallError::Refused { .. }) => return Ok(None),
            properties => properties?,
        };
        let (run, job) = run_of(unit, &properties)?;
        let kind = match job {
            Some(job) => self.job_kind(unit, &job).await?,
            None => None,
        };
        Ok(Some(Run { job: kind, ..run }))
    }

    /// What a job does; `None` when it has ended.
    async fn job_kind(
        &self,
        unit: &UnitName,
        job: &OwnedObjectPath,
    ) -> Result<Option<JobKind>, CallError> {
        match self.property::<String>(unit, job.as_str(), JOB, "JobType").await {
            Ok(kind) => Ok(Some(parse_job(&kind))),
            Err(CallError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        unit: &UnitName,
        path: &str,
        interface: &str,
        property: &str,
    ) -> Result<T, CallError> {
        let question = (interface, property);
        let answer: OwnedVariant = self.call(path, PROPERTIES, "Get", &question).await?;
        T::try_from(answer)
            .map_err(|_| CallError::Malformed(format!("{unit}: {property} is of another type")))
    }

    /// A property of an object, known by its type.
    pub(crate) async fn value<T>(
        &self,
        path: &str,
        interface: &str,
        property: &str,
    ) -> Result<T, CallError>
    where
        T: DeserializeOwned + zbus::Type + 'static,
    {
        let answer = self.call(path, PROPERTIES, "Get", &(interface, property)).await?;
        let Value(value) = answer;
        Ok(value)
    }

    /// The states of these units, by the name that systemd calls each.
    pub(crate) async fn list_by_names(
        &self,
        names: &[&str],
    ) -> Result<Vec<(String, UnitState)>, CallError> {
        Ok(states(self.manager("ListUnitsByNames", &names).await?))
    }

    /// The states of all units in memory, fleet's or not.
    pub(crate) async fn list(&self) -> Result<Vec<(String, UnitState)>, CallError> {
        Ok(states(self.manager("ListUnits", &()).await?))
    }

    /// The state of one unit. Any of its names will do.
    pub(crate) async fn state(&self, unit: &UnitName) -> Result<UnitState, CallError> {
        let path = object_path::of_unit(unit.as_str());
        let properties = self.call(&path, PROPERTIES, "GetAll", &UNIT).await?;
        state_of(unit, &properties)
    }

    async fn manager<B, R>(&self, member: &str, body: &B) -> Result<R, CallError>
    where
        B: serde::Serialize + zbus::DynamicType + Sync,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        self.call(MANAGER_PATH, MANAGER, member, body).await
    }

    async fn call<B, R>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<R, CallError>
    where
        B: serde::Serialize + zbus::DynamicType + Sync,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let live = self.session.live()?;
        self.limits.call(&live.connection, path, interface, member, body).await
    }
}

/// A value in a variant, of one type only.
struct Value<T>(T);

impl<'de, T: serde::Deserialize<'de> + zbus::Type + 'de> serde::Deserialize<'de> for Value<T> {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        zbus::as_variant::Deserialize::<T>::deserialize(input).map(|value| Self(value.0))
    }
}

impl<T> zbus::Type for Value<T> {
    const SIGNATURE: &'static zbus::Signature = &zbus::Signature::Variant;
}

fn states(rows: Vec<Row>) -> Vec<(String, UnitState)> {
    rows.into_iter()
        .map(|(name, _, load, active, sub, ..)| (name, UnitState { load, active, sub }))
        .collect()
}

/// A property that is missing or of another type is an error (`units.md` 7.4).
fn state_of(
    unit: &UnitName,
    properties: &HashMap<String, OwnedVariant>,
) -> Result<UnitState, CallError> {
    let text = |name: &str| {
        let value = properties
            .get(name)
            .ok_or_else(|| CallError::Malformed(format!("{unit}: property {name} is missing")))?;
        <&str>::try_from(value)
            .map(str::to_owned)
            .map_err(|_| CallError::Malformed(format!("{unit}: property {name} is no text")))
    };
    Ok(UnitState { load: text("LoadState")?, active: text("ActiveState")?, sub: text("SubState")? })
}

/// A unit's run, and the path of its job.
fn run_of(
    unit: &UnitName,
    properties: &HashMap<String, OwnedVariant>,
) -> Result<(Run, Option<OwnedObjectPath>), CallError> {
    let active = state_of(unit, properties)?.active;
    let bytes = |value: &OwnedVariant| Vec::<u8>::try_from(value.clone()).ok();
    let id = properties.get("InvocationID").and_then(bytes).filter(|id| !id.is_empty());
    let id = id.map(|id| RunId(id.iter().map(|byte| format!("{byte:02x}")).collect()));
    let job = |value: &OwnedVariant| <(u32, OwnedObjectPath)>::try_from(value.clone()).ok();
    let job = properties.get("Job").and_then(job);
    let job = job.filter(|(id, _)| *id != 0).map(|(_, path)| path);
    Ok((Run { id, active, job: None }, job))
}

fn parse_job(kind: &str) -> JobKind {
    match kind {
        "start" | "verify-active" => JobKind::Start,
        "stop" => JobKind::Stop,
        "restart" | "try-restart" => JobKind::Restart,
        _ => JobKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn properties(values: &[(&str, Variant<'static>)]) -> HashMap<String, OwnedVariant> {
        let own = |value: &Variant<'static>| OwnedVariant::try_from(value).unwrap();
        values.iter().map(|(name, value)| ((*name).to_owned(), own(value))).collect()
    }

    #[test]
    fn state_needs_all_three_properties_as_texts() {
        let unit: UnitName = "a.service".parse().unwrap();
        let load = ("LoadState", Variant::from("loaded"));
        let active = ("ActiveState", Variant::from("active"));
        let sub = ("SubState", Variant::from("running"));

        let all = properties(&[load.clone(), active.clone(), sub]);
        let state = state_of(&unit, &all).unwrap();
        assert_eq!((&*state.load, &*state.active, &*state.sub), ("loaded", "active", "running"));

        let missing = state_of(&unit, &properties(&[load.clone(), active.clone()]));
        assert_eq!(missing.unwrap_err().to_string(), "a.service: property SubState is missing");

        let odd = state_of(&unit, &properties(&[load, active, ("SubState", Variant::from(7u32))]));
        assert_eq!(odd.unwrap_err().to_string(), "a.service: property SubState is no text");
    }

    #[test]
    fn a_run_is_read_with_its_id_and_its_job() {
        let unit: UnitName = "a.service".parse().unwrap();
        let texts = [("LoadState", "loaded"), ("ActiveState", "active"), ("SubState", "running")];
        let texts = texts.map(|(name, value)| (name, Variant::from(value)));
        let path = |path: &'static str| zbus::ObjectPath::try_from(path).unwrap();
        let rows = [
            (vec![0x0fu8, 0xa0], (7u32, path("/job/7")), Some("0fa0"), Some("/job/7")),
            (vec![], (0, path("/")), None, None),
        ];
        for (id, job, run, at) in rows {
            let more = [("InvocationID", Variant::from(id)), ("Job", Variant::from(job))];
            let all: Vec<_> = texts.iter().cloned().chain(more).collect();
            let (found, job) = run_of(&unit, &properties(&all)).unwrap();
            assert_eq!(found.id, run.map(|run| RunId(run.to_owned())));
            assert_eq!(job.map(|job| job.as_str().to_owned()).as_deref(), at);
            assert_eq!(found.active, "active");
        }
        // An older systemd has no such id.
        assert_eq!(run_of(&unit, &properties(&texts)).unwrap().0.id, None);
    }
}
