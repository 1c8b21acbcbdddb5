//! `fleetctl list-units` (`fleetctl.md` 5.11).

use clap::{ArgMatches, Command};
use fleet_schema::UnitState;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    legend::{self, Width},
    render::{Column, List, machines_for, or_dash},
};

/// The length of a short hash.
pub(crate) const SHORT_HASH: usize = 7;

/// What can be shown of a unit on a machine.
static COLUMNS: [Column<UnitState>; 6] = [
    Column { key: "unit", names_machine: false, cell: |state, _, _| or_dash(&state.name) },
    Column {
        key: "load",
        names_machine: false,
        cell: |state, _, _| or_dash(&state.systemd_load_state),
    },
    Column {
        key: "active",
        names_machine: false,
        cell: |state, _, _| or_dash(&state.systemd_active_state),
    },
    Column {
        key: "sub",
        names_machine: false,
        cell: |state, _, _| or_dash(&state.systemd_sub_state),
    },
    Column {
        key: "machine",
        names_machine: true,
        cell: |state, machines, width| match &*state.machine_id {
            "" => "-".to_owned(),
            id => legend::full(id, machines, width),
        },
    },
    Column {
        key: "hash",
        names_machine: false,
        cell: |state, _, width| match width {
            Width::Short => or_dash(legend::first(&state.hash, SHORT_HASH)),
            Width::Full => or_dash(&state.hash),
        },
    },
];

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("List the current state of units in the cluster")
        .override_usage("list-units [--no-legend] [-l|--full] [--fields]")
        .long_about(
            "List the state of all units on the machines that have them, as systemd gives it. A\n\
             unit that is on several machines has several rows, one that is on none has none.\n\
             \n\
             Print only the names and what they do:\n\
             \tfleetctl list-units --no-legend --fields=unit,active",
        )
        .args(flags::listing(
            "Columns to print: unit, load, active, sub, machine, hash",
            "unit,machine,active,sub",
        ))
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let list = List::new(&COLUMNS, matches)?;
    let states = session.api.states().await.map_err(|error| {
        CliError::Failed(format!("Error retrieving list of units from repository: {error}"))
    })?;
    let placed = states.iter().any(|state| !state.machine_id.is_empty());
    let machines = machines_for(session, &list, placed).await;
    session.ui.text(&list.text(&states, &machines))
}
