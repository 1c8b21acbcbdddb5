//! How the run of a unit goes, or has ended: what systemd knows of it beyond its state.

use std::collections::BTreeSet;

use fleet_agent::manager::{Exit, Outcome};
use fleet_core::UnitName;

use crate::{
    bus::CallError,
    calls::Calls,
    interfaces::{SYSTEMD, UNIT},
    object_path, states,
};

/// A command of a service and how it ended: path, arguments, whether its failure counts for nothing,
/// when it began and ended (on two clocks each), its process, and how that ended.
type Command = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// How a process ended that called `exit` (`CLD_EXITED`), and how one that a signal ended
/// (`CLD_KILLED`, `CLD_DUMPED`).
const EXITED: i32 = 1;
const KILLED: [i32; 2] = [2, 3];

/// The first systemd that says when a process was handed over to its program. The one before it
/// executes a helper of its own first, too, and does not say when that is over.
const SAYS_HANDOVER: u32 = 256;

/// How often it is asked while what it says goes on changing.
const ATTEMPTS: usize = 5;

/// Asks systemd how the run of `unit` goes: its state, and what belongs to that. systemd tells of one
/// thing at a time, and may start the unit again in between: the result of that run would be taken for
/// that of the one before. So what isn't simply active has to be told twice alike.
pub(crate) async fn outcome(calls: &Calls, unit: &UnitName) -> Result<Outcome, CallError> {
    let mut run = look(calls, unit).await?;
    for _ in 1..ATTEMPTS {
        if run.state.active == "active" {
            break;
        }
        let before = std::mem::replace(&mut run, look(calls, unit).await?);
        if run == before {
            break;
        }
    }
    Ok(run)
}

/// One look. One call for the state, one for a service that is active, some more for what went wrong.
async fn look(calls: &Calls, unit: &UnitName) -> Result<Outcome, CallError> {
    let mut states = states::states(calls, &BTreeSet::from([unit.clone()])).await?;
    let mut run = Outcome { state: states.remove(unit).unwrap_or_default(), ..Outcome::default() };
    let Some(kind) = kind(unit) else { return Ok(run) };
    let path = object_path::of_unit(unit.as_str());
    let interface = format!("{SYSTEMD}.{kind}");
    let is_service = kind == "Service";
    if run.state.active == "inactive" {
        // Between two runs of a service that systemd starts again it is at rest, for a moment. systemd
        // may have forgotten one that is at rest for good.
        if is_service {
            run.restarts = calls.value(&path, &interface, "NRestarts").await.unwrap_or_default();
        }
        return Ok(run);
    }
    if is_service {
        run.restarts = calls.value(&path, &interface, "NRestarts").await?;
    }
    if run.state.active == "active" {
        run.only_forked = is_service && only_forked(calls, &path, &interface).await?;
        return Ok(run);
    }
    run.result = calls.value(&path, &interface, "Result").await?;
    if is_service && run.went_wrong() {
        run.exit = exit(calls, &path, &interface).await?;
    }
    if run.state.active == "failed" && run.restarts > 0 {
        // An older systemd leaves the result of the last run in place when it gives up.
        let burst: u32 = calls.value(&path, UNIT, "StartLimitBurst").await?;
        run.limit_hit = burst > 0 && run.restarts >= burst;
    }
    Ok(run)
}

/// Whether a service is active that systemd hasn't handed over to its program yet. Only where it
/// doesn't wait for that itself, and is told of it: not of a process that forked by itself.
async fn only_forked(calls: &Calls, path: &str, interface: &str) -> Result<bool, CallError> {
    if calls.version()? < SAYS_HANDOVER {
        return Ok(false);
    }
    let handed_over: u64 =
        calls.value(path, interface, "ExecMainHandoffTimestampMonotonic").await?;
    if handed_over > 0 || calls.value::<u32>(path, interface, "MainPID").await? == 0 {
        return Ok(false);
    }
    let kind: String = calls.value(path, interface, "Type").await?;
    Ok(matches!(&*kind, "simple" | "idle"))
}

/// How a service's process ended that went wrong: its main one, or the first of those around it.
async fn exit(calls: &Calls, path: &str, interface: &str) -> Result<Option<Exit>, CallError> {
    let code: i32 = calls.value(path, interface, "ExecMainCode").await?;
    let status: i32 = calls.value(path, interface, "ExecMainStatus").await?;
    if let Some(exit) = bad(code, status) {
        return Ok(Some(exit));
    }
    for property in ["ExecStartPre", "ExecStart", "ExecStartPost"] {
        let commands: Vec<Command> = calls.value(path, interface, property).await?;
        let mut ends = commands.into_iter().filter(|(_, _, ignored, ..)| !ignored);
        if let Some(exit) = ends.find_map(|(.., code, status)| bad(code, status)) {
            return Ok(Some(exit));
        }
    }
    Ok(None)
}

fn bad(code: i32, status: i32) -> Option<Exit> {
    match code {
        EXITED if status != 0 => Some(Exit::Status(status)),
        code if KILLED.contains(&code) => Some(Exit::Signal(status)),
        _ => None,
    }
}

/// The interface of the unit's type, where that says how a run ended.
fn kind(unit: &UnitName) -> Option<&'static str> {
    let (_, kind) = unit.as_str().rsplit_once('.')?;
    Some(match kind {
        "service" => "Service",
        "socket" => "Socket",
        "mount" => "Mount",
        "swap" => "Swap",
        "timer" => "Timer",
        "path" => "Path",
        "automount" => "Automount",
        "scope" => "Scope",
        _ => return None,
    })
}
