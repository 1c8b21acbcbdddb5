//! Restarts of a unit: ask for one, see what has become of it (`spec/README.md` 14).

use fleet_core::MachineId;
use fleet_registry::{Attempts, RegistryError, RestartError, Unit};
use fleet_schema::{RestartAsked, RestartPending};

use crate::{
    Api,
    error::ApiError,
    handlers::units::existing,
    query::Query,
    reply::{self, Reply},
};

/// Asks the machines that have the unit, or the one that the query names.
pub(crate) async fn post(api: &Api, name: &str, query: &Query) -> Result<Reply, ApiError> {
    let machine = machine(query);
    let mut attempts = Attempts::within(api.limits().store_time);
    loop {
        let unit = existing(api, name).await?;
        match ask(api, &unit, machine.as_ref()).await {
            Ok(asked) => return Ok(reply::accepted(&RestartAsked { machines: texts(asked) })),
            Err(RestartError::NotLaunched) => {
                return Err(ApiError::conflict("unit is not launched"));
            }
            Err(RestartError::Registry(RegistryError::Conflict(_))) if attempts.again().await => {}
            Err(RestartError::Registry(error)) => return Err(error.into()),
        }
    }
}

async fn ask(
    api: &Api,
    unit: &Unit,
    machine: Option<&Result<MachineId, ()>>,
) -> Result<Vec<MachineId>, RestartError> {
    match machine {
        None => api.registry.ask_restart(unit, None).await,
        Some(Ok(machine)) => api.registry.ask_restart(unit, Some(machine)).await,
        Some(Err(())) => Err(RestartError::NotLaunched),
    }
}

/// The machines that haven't acknowledged yet: of all, or the one that the query names.
pub(crate) async fn get(api: &Api, name: &str, query: &Query) -> Result<Reply, ApiError> {
    let unit = existing(api, name).await?;
    let pending = match machine(query) {
        None => api.registry.pending_restarts(&unit, None).await?,
        Some(Ok(machine)) => api.registry.pending_restarts(&unit, Some(&machine)).await?,
        Some(Err(())) => Vec::new(),
    };
    Ok(reply::entity(&RestartPending { pending: texts(pending) }))
}

/// The machine that the query names; one that can't be a machine has no unit.
fn machine(query: &Query) -> Option<Result<MachineId, ()>> {
    query.first("machineID").map(|id| id.parse().map_err(|_| ()))
}

fn texts(machines: Vec<MachineId>) -> Vec<String> {
    machines.into_iter().map(String::from).collect()
}
