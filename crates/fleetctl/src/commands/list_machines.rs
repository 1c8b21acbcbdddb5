//! `fleetctl list-machines` (`fleetctl.md` 5.10).

use clap::{ArgMatches, Command};
use fleet_schema::Machine;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    legend::{self, Machines},
    render::{Column, List, or_dash},
};

/// What can be shown of a machine.
static COLUMNS: [Column<Machine>; 3] = [
    Column {
        key: "machine",
        names_machine: false,
        cell: |machine, _, width| legend::id(&machine.id, width),
    },
    Column { key: "ip", names_machine: false, cell: |machine, _, _| or_dash(&machine.primary_ip) },
    Column { key: "metadata", names_machine: false, cell: |machine, _, _| metadata(machine) },
];

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Enumerate the current hosts in the cluster")
        .override_usage("list-machines [--no-legend] [-l|--full] [--fields]")
        .long_about(
            "List all machines of the cluster with their addresses and metadata.\n\
             \n\
             Print only the whole ids:\n\
             \tfleetctl list-machines --no-legend --full --fields=machine",
        )
        .args(flags::listing("Columns to print: machine, ip, metadata", "machine,ip,metadata"))
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let list = List::new(&COLUMNS, matches)?;
    let machines = session.api.machines().await.map_err(|error| {
        CliError::Failed(format!(
            "Error retrieving list of active machines from fleet API ({error})\n\
             Possible issues:\n  \
             etcd is unhealthy and/or lost quorum\n  \
             connection cannot be established to any etcd servers"
        ))
    })?;
    session.ui.text(&list.text(&machines, &Machines::new()))
}

/// Metadata as `key=value`, by key.
fn metadata(machine: &Machine) -> String {
    let pairs: Vec<_> =
        machine.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    or_dash(&pairs.join(","))
}
