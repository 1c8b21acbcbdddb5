//! `fleetctl restart` (`fleetctl.md` 5.8, `spec/README.md` 14).

use clap::{ArgMatches, Command};
use fleet_client::ClientError;
use fleet_core::JobState;
use fleet_schema::Unit;
use tracing::info;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    units::{
        name::UnitArg,
        select::pick,
        unit,
        wait::{
            AwaitedUnit, Block, EarlierStarts, Goal, OnFailure, for_restart, for_state, for_systemd,
        },
    },
};

/// The first fleet whose fleetd restarts units.
const FIRST: &str = "2.0.0";

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Instruct systemd to rolling restart one or more units in the cluster.")
        .override_usage("restart [--block-attempts=N] UNIT...")
        .long_about(
            "Restart one or more units in the cluster, one after the other. Each stays on its\n\
             machine. Units that run on all machines are restarted on one machine after the other.\n\
             Units that are loaded but not running are started.\n\
             \n\
             Waits until each unit runs again before it goes on with the next; --block-attempts\n\
             bounds each of these waits.",
        )
        .args([flags::attempts(), flags::ssh_port().help(flags::DEPRECATED)])
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let words = flags::words(matches);
    if words.is_empty() {
        session.ui.err("No units given");
        return Ok(());
    }
    let arguments = UnitArg::all(&words)?;
    let (found, missing) = pick(session, &arguments).await?;
    for name in &missing {
        session.ui.err(format_args!("unable to find unit {name}"));
    }
    if !missing.is_empty() {
        return Err(CliError::Reported);
    }
    let block = flags::attempts_block(matches);
    let (globals, scheduled): (Vec<_>, Vec<_>) = found.into_iter().partition(unit::is_global);
    let mut refused = false;
    for unit in &scheduled {
        refused |= scheduled_unit(session, unit, block).await? == Outcome::Refused;
    }
    for unit in &globals {
        refused |= global_unit(session, unit, block).await? == Outcome::Refused;
    }
    if refused { Err(CliError::Reported) } else { Ok(()) }
}

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It can't be restarted; the user was told.
    Refused,
}

async fn scheduled_unit(
    session: &Session<'_>,
    unit: &Unit,
    block: Block,
) -> Result<Outcome, CliError> {
    let name = &unit.name;
    match &*unit.current_state {
        "loaded" => {
            info!("Unit({name}) already loaded, starting.");
            launch(session, name).await?;
            let names = [name.clone()];
            let (goal, stop) = (Goal::Is(JobState::Launched), OnFailure::Stop);
            let failed = for_state(session, &names, goal, block, stop).await?;
            if let Some((_, error)) = failed.into_iter().next() {
                return Err(not_awaited(session, &error));
            }
            match for_systemd(session, &[AwaitedUnit::of(unit)], block).await? {
                Some(error) => Err(not_awaited(session, &error)),
                None => Ok(Outcome::Done),
            }
        }
        "launched" => {
            if unit.desired_state != JobState::Launched.as_str() {
                launch(session, name).await?;
            }
            let before = EarlierStarts::of(session, name, None).await;
            if let Err(error) = session.api.restart(name, None).await {
                let error = why_not(session, name, &error).await;
                return Err(CliError::Failed(format!("Error restarting unit {name}: {error}")));
            }
            match for_restart(session, name, None, &before, block).await? {
                Some(error) => return Err(not_awaited(session, &error)),
                None => info!("Unit({name}) was restarted."),
            }
            Ok(Outcome::Done)
        }
        _ => Ok(refuse(session, name)),
    }
}

async fn global_unit(
    session: &Session<'_>,
    unit: &Unit,
    block: Block,
) -> Result<Outcome, CliError> {
    let name = &unit.name;
    let failed = |error: String| {
        CliError::Failed(format!("Error restarting global units: unit {name}: {error}"))
    };
    match &*unit.desired_state {
        "launched" => {}
        "loaded" => {
            info!("Unit({name}) already loaded, starting.");
            launch(session, name).await?;
            session.ui.out(format_args!("Triggered global unit {name} start"))?;
            return Ok(Outcome::Done);
        }
        _ => return Ok(refuse(session, name)),
    }
    let states = session.api.states_of(name, None).await;
    let mut machines: Vec<String> = states
        .map_err(|error| failed(error.to_string()))?
        .into_iter()
        .map(|state| state.machine_id)
        .collect();
    machines.sort();
    if machines.is_empty() {
        return Ok(refuse(session, name));
    }
    for machine in &machines {
        let before = EarlierStarts::of(session, name, Some(machine)).await;
        if let Err(error) = session.api.restart(name, Some(machine)).await {
            let error = why_not(session, name, &error).await;
            return Err(failed(format!("machine {machine}: {error}")));
        }
        if let Some(error) = for_restart(session, name, Some(machine), &before, block).await? {
            return Err(failed(error));
        }
    }
    info!("Unit({name}) was restarted.");
    Ok(Outcome::Done)
}

/// Why a restart could not be asked for. A server that knows the unit and not the question is an
/// original fleetd.
async fn why_not(session: &Session<'_>, name: &str, error: &ClientError) -> String {
    if error.is_not_found() && matches!(session.api.unit(name).await, Ok(Some(_))) {
        return format!(
            "this fleetd can't restart units: it is older than {FIRST}. \
             Instead: fleetctl stop {name} && fleetctl start {name} ({error})"
        );
    }
    error.to_string()
}

async fn launch(session: &Session<'_>, name: &str) -> Result<(), CliError> {
    session.api.set_state(name, JobState::Launched).await.map_err(|error| {
        CliError::Failed(format!("Error setting target state for unit {name}: {error}"))
    })
}

fn refuse(session: &Session<'_>, name: &str) -> Outcome {
    session.ui.err(format_args!("Unable to restart unit {name} in state inactive"));
    Outcome::Refused
}

/// The two lines about a wait that failed.
fn not_awaited(session: &Session<'_>, error: &str) -> CliError {
    session.ui.err(format_args!("Error waiting for units: {error}"));
    CliError::Failed(format!("Error waiting for unit states, exit status: {error}"))
}
