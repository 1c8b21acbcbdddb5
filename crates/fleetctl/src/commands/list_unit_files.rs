//! `fleetctl list-unit-files` (`fleetctl.md` 5.11).

use std::collections::BTreeSet;

use clap::{ArgMatches, Command};
use fleet_schema::{Unit, UnitState};
use futures::{StreamExt, future::ready, stream};
use tracing::debug;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    legend::{self, Machines, Width},
    render::{Column, List, machines_for, or_dash},
    units::{unit, why},
};

/// What can be shown of a unit.
static COLUMNS: [Column<Unit>; 9] = [
    Column { key: "unit", names_machine: false, cell: |unit, _, _| unit.name.clone() },
    Column { key: "hash", names_machine: false, cell: |unit, _, width| hash(unit, width) },
    Column { key: "dstate", names_machine: false, cell: |unit, _, _| or_dash(&unit.desired_state) },
    Column { key: "state", names_machine: false, cell: |unit, _, _| state(unit) },
    Column { key: "target", names_machine: true, cell: target },
    Column { key: TMACHINE, names_machine: true, cell: target },
    Column { key: "desc", names_machine: false, cell: |unit, _, _| description(unit) },
    Column {
        key: "global",
        names_machine: false,
        cell: |unit, _, _| unit::is_global(unit).to_string(),
    },
    Column {
        key: WHY,
        names_machine: false,
        cell: |unit, _, _| or_dash(&why::line(&unit.pending).unwrap_or_default()),
    },
];

/// What the target was once called.
const TMACHINE: &str = "tmachine";

/// Why units aren't running where they should, which takes a question for each such unit.
const WHY: &str = "why";

/// Questions that are asked side by side.
const AT_ONCE: usize = 8;

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("List the units that exist in the cluster.")
        .override_usage("list-unit-files [--no-legend] [-l|--full] [--fields]")
        .long_about(
            "List all units that the cluster has, whether they run or not.\n\
             \n\
             DSTATE is what is desired of a unit, STATE what fleet made of it, TARGET the machine\n\
             it is for; units that run on all machines have the target \"global\".\n\
             WHY tells of units that aren't running where they should what keeps them from it.",
        )
        .args(flags::listing(
            "Columns to print: unit, hash, dstate, state, target, desc, global, why",
            "unit,hash,dstate,state,target",
        ))
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let list = List::new(&COLUMNS, matches)?;
    for _ in list.keys().filter(|key| *key == TMACHINE) {
        session.ui.err("WARNING: The \"tmachine\" field is deprecated. Use \"target\" instead");
    }
    let mut units = session.api.units().await.map_err(|error| {
        CliError::Failed(format!("Error retrieving list of units from repository: {error}"))
    })?;
    if list.keys().any(|key| key == WHY) {
        explain(session, &mut units).await;
    }
    let placed = units.iter().any(|unit| !unit.machine_id.is_empty());
    let machines = machines_for(session, &list, placed).await;
    session.ui.text(&list.text(&units, &machines))
}

/// Asks for what lists don't tell: why units aren't running. Without an answer nothing is shown.
async fn explain(session: &Session<'_>, units: &mut [Unit]) {
    let ailing = ailing(session, units).await;
    let is_pending = |unit: &Unit| {
        unit.desired_state != "inactive"
            && (unit::is_global(unit)
                || unit.desired_state != unit.current_state
                || ailing.contains(&unit.name))
    };
    let pending = units.iter_mut().filter(|unit| is_pending(unit));
    let answers = pending.map(|unit| async {
        match session.api.unit(&unit.name).await {
            Ok(answer) => unit.pending = answer.unwrap_or_default().pending,
            Err(error) => debug!("no answer on why {} is not running: {error}", unit.name),
        }
    });
    stream::iter(answers).buffer_unordered(AT_ONCE).for_each(|()| ready(())).await;
}

/// Units that systemd reports as failed, inactive or about to be started again somewhere, though they
/// were launched.
async fn ailing(session: &Session<'_>, units: &[Unit]) -> BTreeSet<String> {
    if !units.iter().any(|unit| unit.current_state == "launched") {
        return BTreeSet::new();
    }
    let states = session.api.states().await.unwrap_or_else(|error| {
        debug!("no answer on which units don't run: {error}");
        Vec::new()
    });
    let is_ailing = |state: &UnitState| {
        matches!(&*state.systemd_active_state, "failed" | "inactive")
            || state.systemd_sub_state.starts_with("auto-restart")
    };
    states.into_iter().filter(is_ailing).map(|state| state.name).collect()
}

fn hash(unit: &Unit, width: Width) -> String {
    let hash = unit::file(unit).hash();
    match width {
        Width::Short => hash.short(),
        Width::Full => hash.to_string(),
    }
}

fn state(unit: &Unit) -> String {
    if unit::is_global(unit) { "-".to_owned() } else { or_dash(&unit.current_state) }
}

fn target(unit: &Unit, machines: &Machines, width: Width) -> String {
    if unit::is_global(unit) {
        "global".to_owned()
    } else if unit.machine_id.is_empty() {
        "-".to_owned()
    } else {
        legend::full(&unit.machine_id, machines, width)
    }
}

fn description(unit: &Unit) -> String {
    or_dash(unit::file(unit).description().unwrap_or_default())
}
