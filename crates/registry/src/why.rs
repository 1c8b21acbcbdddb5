//! Why a unit isn't running where it should.
//!
//! Costs nothing for a unit that runs where it should, two small reads for one that has a machine
//! or is global, and one with an explanation for one that nobody has. Only an engine can give that:
//! [`Explain`] is the seam to it.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use fleet_core::{JobState, MachineId, MachineStanding, Obstacle, UnitName, eligibility::Refusal};
use fleet_store::StoreError;
use tracing::debug;

use crate::{PublishedState, Registry, RegistryError, Trouble, Unit};

/// The active state of a unit whose process failed.
const FAILED: &str = "failed";
/// How the sub state of a service begins that systemd is about to start again.
const AUTO_RESTART: &str = "auto-restart";
/// Machines that are named at most: an answer stays small in any cluster.
const NAMED: usize = 100;

/// Judges why a unit has no machine, at the moment it is asked.
pub trait Explain: Send + Sync {
    /// What there is to say of `unit`; `None` when it doesn't wait for a machine, or nothing is
    /// known. The caller bounds the time.
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a>;
}

/// An explanation on its way.
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Option<Explanation>> + Send + 'a>>;

/// Tells whether there is room for what would have to be written.
pub trait Room: Send + Sync {
    /// Whether the store takes nothing new. The caller bounds the time.
    fn is_out(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// Why a unit has no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who decides.
    pub engine: Engine,
    /// Every machine that is there with what keeps it from taking the unit; `None` is nothing.
    pub machines: BTreeMap<MachineId, Option<Obstacle>>,
}

/// Whether anybody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An engine leads the cluster.
    Leads,
    /// None does.
    Missing,
}

/// A word for machines.
type Reason = &'static str;

/// What machines say of a unit that they can't make what it should be.
type Troubles = BTreeMap<MachineId, Trouble>;

/// What keeps a unit from being what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// A word for machines (`api-v1.md`).
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// What single machines have to do with it, in order.
    pub machines: Vec<Said>,
}

/// What is to be said of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The machine.
    pub machine: MachineId,
    /// A word for machines.
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// Whether its service manager refuses the unit's content as things are.
    pub refused: bool,
}

impl Pending {
    /// The same, of a store that has no room: nobody can write down what would change it.
    #[must_use]
    pub fn out_of_space(self) -> Self {
        let message = format!("{} ({})", StoreError::OutOfSpace, self.message);
        Self { reason: "out-of-space", message, ..self }
    }
}

/// What keeps `unit` from running; `None` when it is as it should be or nothing is known.
pub async fn pending(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    unit: &Unit,
) -> Option<Pending> {
    let record = &unit.record.value;
    if record.desired_state == JobState::Inactive || record.template {
        return None;
    }
    let found = match &record.machine {
        _ if unit.file.hash() != record.hash => Ok(Some(contradictory(unit))),
        _ if record.global => of_global(registry, explainer, &unit.name).await,
        None => of_unplaced(registry, explainer, &unit.name).await,
        Some(machine) if record.leaving => {
            still_there(registry, &unit.name, machine).await.map(Some)
        }
        Some(machine) => of_placed(registry, unit, machine).await,
    };
    // Only a remark is lost when this fails: the unit itself has been read.
    let found = found.inspect_err(|error| debug!(%error, "nothing is told of why a unit waits"));
    found.ok().flatten()
}

/// No machine takes a content that isn't the one its record speaks of: the two are written together,
/// so somebody else wrote one of them.
fn contradictory(unit: &Unit) -> Pending {
    let (file, record) = (unit.file.hash(), unit.record.value.hash);
    let message = format!("its content has the hash {file}, its record says {record}");
    whole("content-differs", &message, Vec::new())
}

/// A global unit waits while no machine reports anything of it, or where one has trouble with it
/// or its process has failed.
async fn of_global(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    name: &UnitName,
) -> Result<Option<Pending>, RegistryError> {
    let troubles = registry.troubles(name, NAMED).await?;
    let states = registry.states_of(name, NAMED).await?;
    if !states.is_empty() {
        return Ok(failing(&troubles, &states));
    }
    Ok(explained(explainer, name).await.map(|explanation| {
        if explanation.machines.values().any(Option::is_none) {
            not_loaded(explanation, &troubles)
        } else {
            unplaced(explanation)
        }
    }))
}

/// A unit that nobody has waits for the machine that still stops what had its name before, or for one
/// that takes it.
async fn of_unplaced(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    name: &UnitName,
) -> Result<Option<Pending>, RegistryError> {
    match registry.leaving(name).await? {
        Some(machine) => still_there(registry, name, &machine).await.map(Some),
        None => Ok(explained(explainer, name).await.map(unplaced)),
    }
}

/// A unit that leaves a machine starts nowhere else while it may run there.
async fn still_there(
    registry: &Registry,
    name: &UnitName,
    machine: &MachineId,
) -> Result<Pending, RegistryError> {
    let trouble = registry.trouble(name, machine).await?;
    let (of_all, of_it) = match registry.machine(machine).await? {
        Some(_) => ("where it still stops", "still stops it"),
        None => ("which is not present", "is not present, and may still have it"),
    };
    let of_all = because(&format!("it is leaving machine {machine}, {of_all}"), trouble.as_ref());
    let of_it = because(of_it, trouble.as_ref());
    Ok(whole("stopping", &of_all, vec![on(machine, "stopping", &of_it)]))
}

async fn explained(explainer: Option<&dyn Explain>, name: &UnitName) -> Option<Explanation> {
    explainer?.explain(name).await
}

fn failing(troubles: &Troubles, states: &BTreeMap<MachineId, PublishedState>) -> Option<Pending> {
    let failed = states.iter().filter_map(|(machine, state)| {
        let launched = state.claim == JobState::Launched;
        let (reason, message) = has_failed(state).filter(|_| launched)?;
        Some((machine, on(machine, reason, &message)))
    });
    let troubled =
        troubles.iter().map(|(machine, said)| (machine, on(machine, "failing", &said.error)));
    // What systemd reports says more than that a start failed.
    let machines: BTreeMap<&MachineId, Said> = troubled.chain(failed).collect();
    let message = "some machines can't make it what it should be";
    (!machines.is_empty()).then(|| whole("failing", message, machines.into_values().collect()))
}

fn not_loaded(explanation: Explanation, troubles: &Troubles) -> Pending {
    let machines = explanation.machines.into_iter().take(NAMED);
    let machines = machines.map(|(machine, obstacle)| match obstacle {
        None => {
            let message = because("has not loaded it yet", troubles.get(&machine));
            on(&machine, "not-loaded", &message)
        }
        obstacle => answer(&machine, obstacle.as_ref()),
    });
    whole("not-loaded", "machines that take it have not loaded it yet", machines.collect())
}

async fn of_placed(
    registry: &Registry,
    unit: &Unit,
    machine: &MachineId,
) -> Result<Option<Pending>, RegistryError> {
    let unclear = Obstacle::Unclear.to_string();
    let (reason, message) = match (unit.record.value.desired_state, unit.current_state) {
        (JobState::Launched, JobState::Launched) => {
            return of_launched(registry, unit, machine).await;
        }
        (JobState::Launched, JobState::Loaded) => ("not-launched", "has not started it yet"),
        (_, JobState::Inactive) => match registry.machine(machine).await {
            Ok(Some(entry)) => not_loaded_by(entry.value.standing),
            Ok(None) => ("machine-absent", "is not present"),
            Err(RegistryError::Corrupt { .. }) => ("machine-unclear", &*unclear),
            Err(error) => return Err(error),
        },
        _ => return Ok(None),
    };
    // It goes with its machine.
    let trouble = registry.trouble(&unit.name, machine).await?;
    let said = on(machine, reason, &because(message, trouble.as_ref()));
    let refused = trouble.is_some_and(|said| said.refused == Some(unit.record.value.hash));
    Ok(Some(of_one(Said { refused, ..said })))
}

/// What is said of a machine that is to load a unit and hasn't.
fn not_loaded_by(standing: MachineStanding) -> (&'static str, &'static str) {
    match standing {
        MachineStanding::InService => ("not-loaded", "has not loaded it yet"),
        MachineStanding::Leaving => ("not-loaded", "is leaving and will not load it"),
        MachineStanding::Silent => {
            ("not-loaded", "has not loaded it yet, its systemd does not answer")
        }
    }
}

/// A unit that was started may have failed, and may never have begun to run. One that ran and
/// ended well is as it should be.
async fn of_launched(
    registry: &Registry,
    unit: &Unit,
    machine: &MachineId,
) -> Result<Option<Pending>, RegistryError> {
    let Some(state) = &unit.published else { return Ok(None) };
    if let Some((reason, message)) = has_failed(state) {
        return Ok(Some(there(machine, reason, &message)));
    }
    if state.systemd.active != "inactive" {
        return Ok(None);
    }
    let trouble = registry.trouble(&unit.name, machine).await?;
    Ok(trouble.map(|trouble| {
        let message = because("could not start it", Some(&trouble));
        there(machine, "not-started", &message)
    }))
}

/// What is said of the one machine that has to do with it.
fn there(machine: &MachineId, reason: Reason, message: &str) -> Pending {
    of_one(on(machine, reason, message))
}

fn of_one(said: Said) -> Pending {
    let of_all = format!("machine {} {}", said.machine, said.message);
    whole(said.reason, &of_all, vec![said])
}

/// What is said of a unit that was started and has failed, for good or until systemd tries again.
fn has_failed(
    PublishedState { systemd, failure, .. }: &PublishedState,
) -> Option<(Reason, String)> {
    let (reason, what) = if systemd.active == FAILED {
        ("failed", format!("systemd reports {} ({})", systemd.active, systemd.sub))
    } else if systemd.sub.starts_with(AUTO_RESTART) && !failure.is_empty() {
        ("restarting", "it is in a restart loop".to_owned())
    } else {
        return None;
    };
    let how = if failure.is_empty() { String::new() } else { format!(": {failure}") };
    Some((reason, format!("started it, and {what}{how}")))
}

/// What isn't so yet, and what the machine says of why.
fn because(message: &str, trouble: Option<&Trouble>) -> String {
    trouble.map_or_else(|| message.to_owned(), |said| format!("{message}: {}", said.error))
}

fn unplaced(Explanation { engine, machines }: Explanation) -> Pending {
    let is_taken = machines.values().any(Option::is_none);
    let (reason, message) = match (machines.is_empty(), is_taken, engine) {
        (true, ..) => ("no-machine", "no machine is present"),
        (_, false, _) => ("refused", "no machine takes it"),
        (_, true, Engine::Missing) => ("no-engine", "no engine leads the cluster"),
        (_, true, Engine::Leads) => ("unscheduled", "the engine has not given it a machine yet"),
    };
    let machines = machines.iter().take(NAMED);
    let machines = machines.map(|(machine, obstacle)| answer(machine, obstacle.as_ref()));
    whole(reason, message, machines.collect())
}

fn whole(reason: &'static str, message: &str, machines: Vec<Said>) -> Pending {
    Pending { reason, message: message.to_owned(), machines }
}

fn answer(machine: &MachineId, obstacle: Option<&Obstacle>) -> Said {
    let reason = match obstacle {
        None => return on(machine, "eligible", "takes it"),
        Some(Obstacle::Replaced(_)) => "replaced",
        Some(Obstacle::Unclear) => "machine-unclear",
        Some(Obstacle::Refused(Refusal::OtherMachine { .. })) => "other-machine",
        Some(Obstacle::Refused(Refusal::Metadata)) => "metadata",
        Some(Obstacle::Refused(Refusal::PeerAbsent(_))) => "peer-absent",
        Some(Obstacle::Refused(Refusal::Conflict(_))) => "conflict",
        Some(Obstacle::Refused(Refusal::Leaving)) => "leaving",
        Some(Obstacle::Refused(Refusal::Silent)) => "silent",
        Some(Obstacle::Refused(Refusal::NameTaken(_))) => "name-taken",
        Some(Obstacle::Refused(Refusal::Excess(_))) => "excess",
    };
    let message = obstacle.map(ToString::to_string).unwrap_or_default();
    on(machine, reason, &message)
}

fn on(machine: &MachineId, reason: &'static str, message: &str) -> Said {
    Said { machine: machine.clone(), reason, message: message.to_owned(), refused: false }
}
