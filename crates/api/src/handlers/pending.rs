//! Why a unit isn't running where it should: the `pending` of a single unit.
//!
//! Costs nothing for a unit that is where it should be, two small reads for one that has a machine
//! or is global, and an explanation ([`Explain`](crate::Explain)) for one that nobody has.

use std::collections::BTreeMap;

use fleet_core::{JobState, MachineId, UnitName, eligibility::Refusal};
use fleet_registry::{Registry, RegistryError, Trouble, Unit};
use fleet_schema::{Pending, PendingMachine};
use tracing::debug;

use crate::{
    Objection,
    explain::{Engine, Explainer, Explanation},
};

/// Machines that are named at most: an answer stays small in any cluster.
const NAMED: usize = 100;

/// What machines say of a unit that they can't make what it should be.
type Troubles = BTreeMap<MachineId, Trouble>;

/// What keeps `unit` from running; empty when it is as it should be or nothing is known.
pub(crate) async fn pending(
    registry: &Registry,
    explainer: Option<&Explainer>,
    unit: &Unit,
) -> Pending {
    let record = &unit.record.value;
    if record.desired_state == JobState::Inactive || record.template {
        return Pending::default();
    }
    let found = match &record.machine {
        _ if record.global => of_global(registry, explainer, &unit.name).await,
        None => Ok(explained(explainer, &unit.name).await.map(unplaced)),
        Some(machine) => of_placed(registry, unit, machine).await,
    };
    // Only a remark is lost when this fails: the unit itself has been read.
    let found = found.inspect_err(|error| debug!(%error, "nothing is told of why a unit waits"));
    found.ok().flatten().unwrap_or_default()
}

/// A global unit waits while no machine reports anything of it, or where one has trouble with it.
async fn of_global(
    registry: &Registry,
    explainer: Option<&Explainer>,
    name: &UnitName,
) -> Result<Option<Pending>, RegistryError> {
    let troubles = registry.troubles(name, NAMED).await?;
    if registry.is_reported(name).await? {
        return Ok((!troubles.is_empty()).then(|| failing(&troubles)));
    }
    Ok(explained(explainer, name).await.map(|explanation| {
        if explanation.machines.values().any(Option::is_none) {
            not_loaded(explanation, &troubles)
        } else {
            unplaced(explanation)
        }
    }))
}

async fn explained(explainer: Option<&Explainer>, name: &UnitName) -> Option<Explanation> {
    explainer?.explain(name).await
}

fn failing(troubles: &Troubles) -> Pending {
    let machines = troubles.iter().map(|(machine, said)| on(machine, "failing", &said.error));
    whole("failing", "some machines can't make it what it should be", machines.collect())
}

fn not_loaded(explanation: Explanation, troubles: &Troubles) -> Pending {
    let machines = explanation.machines.into_iter().take(NAMED);
    let machines = machines.map(|(machine, objection)| match objection {
        None => {
            let message = because("has not loaded it yet", troubles.get(&machine));
            on(&machine, "not-loaded", &message)
        }
        objection => answer(&machine, objection.as_ref()),
    });
    whole("not-loaded", "machines that take it have not loaded it yet", machines.collect())
}

async fn of_placed(
    registry: &Registry,
    unit: &Unit,
    machine: &MachineId,
) -> Result<Option<Pending>, RegistryError> {
    let (reason, message) = match (unit.record.value.desired_state, unit.current_state) {
        (JobState::Launched, JobState::Loaded) => ("not-launched", "has not started it yet"),
        (_, JobState::Inactive) if registry.machine(machine).await?.is_none() => {
            ("machine-absent", "is not present")
        }
        (_, JobState::Inactive) => ("not-loaded", "has not loaded it yet"),
        _ => return Ok(None),
    };
    // It goes with its machine.
    let message = because(message, registry.trouble(&unit.name, machine).await?.as_ref());
    let of_all = format!("machine {machine} {message}");
    Ok(Some(whole(reason, &of_all, vec![on(machine, reason, &message)])))
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
    let machines = machines.map(|(machine, objection)| answer(machine, objection.as_ref()));
    whole(reason, message, machines.collect())
}

fn whole(reason: &str, message: &str, machines: Vec<PendingMachine>) -> Pending {
    Pending { machines, message: message.to_owned(), reason: reason.to_owned() }
}

fn answer(machine: &MachineId, objection: Option<&Objection>) -> PendingMachine {
    let reason = match objection {
        None => return on(machine, "eligible", "takes it"),
        Some(Objection::Replaced(_)) => "replaced",
        Some(Objection::Refused(Refusal::OtherMachine { .. })) => "other-machine",
        Some(Objection::Refused(Refusal::Metadata)) => "metadata",
        Some(Objection::Refused(Refusal::PeerAbsent(_))) => "peer-absent",
        Some(Objection::Refused(Refusal::Conflict(_))) => "conflict",
    };
    let message = objection.map(ToString::to_string).unwrap_or_default();
    on(machine, reason, &message)
}

fn on(machine: &MachineId, reason: &str, message: &str) -> PendingMachine {
    PendingMachine {
        machine_id: machine.to_string(),
        message: message.to_owned(),
        reason: reason.to_owned(),
    }
}
