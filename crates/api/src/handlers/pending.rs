//! Why a unit isn't running where it should: the `pending` of a single unit.

use fleet_registry::why::{Pending, Said};
use fleet_schema as schema;

/// What the registry says of it, as clients read it.
pub(crate) fn entity(pending: Pending) -> schema::Pending {
    let Pending { reason, message, machines } = pending;
    let machine = |Said { machine, reason, message, refused }| schema::PendingMachine {
        machine_id: machine.into(),
        message,
        reason: reason.to_owned(),
        refused,
    };
    let machines = machines.into_iter().map(machine).collect();
    schema::Pending { machines, message, reason: reason.to_owned() }
}
