//! Why a unit isn't running where it should: the `pending` of a single unit.
//!
//! Costs nothing for a unit that is where it should be, one small read for one that has a machine,
//! and an explanation ([`Explain`](crate::Explain)) for one that has none.

use fleet_core::{JobState, MachineId, UnitName, eligibility::Refusal};
use fleet_registry::{Unit, UnitRecord};
use fleet_schema::{Pending, PendingMachine};
use tracing::debug;

use crate::{
    Api, Objection,
    explain::{Engine, Explanation},
};

/// Machines that are named at most: an answer stays small in any cluster.
const NAMED: usize = 100;

/// What keeps `unit` from running; empty when it is as it should be or nothing is known.
pub(crate) async fn of(api: &Api, unit: &Unit) -> Pending {
    let record = &unit.record.value;
    if record.desired_state == JobState::Inactive || record.template {
        return Pending::default();
    }
    match &record.machine {
        _ if record.global => of_global(api, &unit.name).await,
        None => api.explain(&unit.name).await.map(unplaced).unwrap_or_default(),
        Some(machine) => of_placed(api, record, machine, unit.current_state).await,
    }
}

/// A global unit waits while no machine reports anything of it.
async fn of_global(api: &Api, name: &UnitName) -> Pending {
    // Only a remark is lost when this fails: the unit itself has been read.
    if api.registry.is_reported(name).await.unwrap_or(true) {
        return Pending::default();
    }
    match api.explain(name).await {
        Some(explanation) if explanation.machines.values().any(Option::is_none) => {
            let machines = explanation.machines.into_iter().take(NAMED);
            let machines = machines.map(|(machine, objection)| match objection {
                None => on(&machine, "not-loaded", "has not loaded it yet"),
                objection => answer(&machine, objection.as_ref()),
            });
            let message = "machines that take it have not loaded it yet".to_owned();
            Pending { machines: machines.collect(), message, reason: "not-loaded".to_owned() }
        }
        Some(explanation) => unplaced(explanation),
        None => Pending::default(),
    }
}

async fn of_placed(
    api: &Api,
    record: &UnitRecord,
    machine: &MachineId,
    current: JobState,
) -> Pending {
    let (reason, message) = match (record.desired_state, current) {
        (JobState::Launched, JobState::Loaded) => ("not-launched", "has not started it yet"),
        (_, JobState::Inactive) => match api.registry.machine(machine).await {
            Ok(None) => ("machine-absent", "is not present"),
            Ok(Some(_)) => ("not-loaded", "has not loaded it yet"),
            Err(error) => {
                debug!(%error, "nothing is told of why a unit isn't running");
                return Pending::default();
            }
        },
        _ => return Pending::default(),
    };
    let message_of_all = format!("machine {machine} {message}");
    let machines = vec![on(machine, reason, message)];
    Pending { machines, message: message_of_all, reason: reason.to_owned() }
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
