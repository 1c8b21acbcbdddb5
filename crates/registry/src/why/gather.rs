//! What there is to know of a unit that may be waiting. Reads, and has no opinion.

use std::collections::BTreeMap;

use fleet_core::{JobState, MachineId, MachineStanding, UnitHash, UnitName};

use super::{Explain, Explanation, NAMED};
use crate::{PublishedState, Registry, RegistryError, Trouble, Unit};

/// What machines say of a unit that they can't make what it should be.
pub(super) type Troubles = BTreeMap<MachineId, Trouble>;

/// What is known of a unit that should be somewhere.
#[derive(Debug)]
pub(super) enum Facts {
    /// Its content isn't the one its record speaks of.
    Contradictory { content: UnitHash, recorded: UnitHash },
    /// It is global.
    Global {
        troubles: Troubles,
        states: BTreeMap<MachineId, PublishedState>,
        /// Only where no machine reports a state.
        explanation: Option<Explanation>,
    },
    /// Nobody has it.
    Unplaced(Explanation),
    /// It starts nowhere else while this machine may have it.
    Leaving { machine: MachineId, is_present: bool, trouble: Option<Trouble> },
    /// This machine is to have this content of it.
    Placed { machine: MachineId, hash: UnitHash, progress: Progress, trouble: Option<Trouble> },
}

/// How far a machine has come with a unit.
#[derive(Debug)]
pub(super) enum Progress {
    /// It hasn't loaded it.
    NotLoaded(Entry),
    /// It hasn't started it, and should.
    NotLaunched,
    /// It has started it, and this is what became of it.
    Launched(PublishedState),
}

/// What a machine says of itself.
#[derive(Debug)]
pub(super) enum Entry {
    Present(MachineStanding),
    Absent,
    Unclear,
}

/// What is known of `unit`; `None` when it need not be anywhere, or there is nothing to say.
pub(super) async fn facts(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    unit: &Unit,
) -> Result<Option<Facts>, RegistryError> {
    let record = &unit.record.value;
    Ok(match &record.machine {
        _ if record.desired_state == JobState::Inactive || record.template => None,
        _ if unit.file.hash() != record.hash => {
            Some(Facts::Contradictory { content: unit.file.hash(), recorded: record.hash })
        }
        _ if record.global => Some(of_global(registry, explainer, &unit.name).await?),
        None => of_unplaced(registry, explainer, &unit.name).await?,
        Some(machine) if record.leaving => Some(of_leaving(registry, &unit.name, machine).await?),
        Some(machine) => of_placed(registry, unit, machine).await?,
    })
}

async fn of_global(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    name: &UnitName,
) -> Result<Facts, RegistryError> {
    let troubles = registry.published_by_all(name, NAMED).await?;
    let states: BTreeMap<_, _> = registry.published_by_all(name, NAMED).await?;
    let explanation = if states.is_empty() { explained(explainer, name).await } else { None };
    Ok(Facts::Global { troubles, states, explanation })
}

/// A unit that nobody has waits for the machine that still stops what had its name before, or for one
/// that takes it.
async fn of_unplaced(
    registry: &Registry,
    explainer: Option<&dyn Explain>,
    name: &UnitName,
) -> Result<Option<Facts>, RegistryError> {
    match registry.leaving(name).await? {
        Some(machine) => of_leaving(registry, name, &machine).await.map(Some),
        None => Ok(explained(explainer, name).await.map(Facts::Unplaced)),
    }
}

async fn of_leaving(
    registry: &Registry,
    name: &UnitName,
    machine: &MachineId,
) -> Result<Facts, RegistryError> {
    let trouble = registry.trouble(name, machine).await?;
    let is_present = registry.machine(machine).await?.is_some();
    Ok(Facts::Leaving { machine: machine.clone(), is_present, trouble })
}

async fn of_placed(
    registry: &Registry,
    unit: &Unit,
    machine: &MachineId,
) -> Result<Option<Facts>, RegistryError> {
    let record = &unit.record.value;
    let progress = match (record.desired_state, unit.current_state, &unit.published) {
        (JobState::Launched, JobState::Launched, Some(state)) => Progress::Launched(state.clone()),
        (JobState::Launched, JobState::Loaded, _) => Progress::NotLaunched,
        (_, JobState::Inactive, _) => Progress::NotLoaded(entry(registry, machine).await?),
        _ => return Ok(None),
    };
    // A unit that runs costs nothing, and of one that failed its state says more.
    let is_told = matches!(&progress, Progress::Launched(state) if !state.is_at_rest());
    let trouble = if is_told { None } else { registry.trouble(&unit.name, machine).await? };
    Ok(Some(Facts::Placed { machine: machine.clone(), hash: record.hash, progress, trouble }))
}

async fn entry(registry: &Registry, machine: &MachineId) -> Result<Entry, RegistryError> {
    match registry.machine(machine).await {
        Ok(Some(entry)) => Ok(Entry::Present(entry.value.standing)),
        Ok(None) => Ok(Entry::Absent),
        Err(RegistryError::Corrupt { .. }) => Ok(Entry::Unclear),
        Err(error) => Err(error),
    }
}

async fn explained(explainer: Option<&dyn Explain>, name: &UnitName) -> Option<Explanation> {
    explainer?.explain(name).await
}
