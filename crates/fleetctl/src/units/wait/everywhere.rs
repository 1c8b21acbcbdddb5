//! Waiting for global units whose content was replaced, on the machines that had them before.

use std::collections::BTreeMap;

use fleet_schema::UnitState;

use super::{
    ATTEMPT, AwaitedUnit, Block, Cause, OnFailure, Poll, Since, Wait,
    launched::{Judged, RestingSince, shown},
};
use crate::{
    cluster::session::Session,
    error::CliError,
    legend::{self, Width},
    ui::tame,
};

/// A global unit, and the machines that had it.
pub(crate) struct Everywhere {
    pub(crate) asked: AwaitedUnit,
    pub(crate) machines: Vec<String>,
}

/// Waits until each of `units` has been started on its machines, or can't be. A machine that says
/// nothing of it for a while doesn't take its new content, or is gone. Returns the first failure.
pub(crate) async fn for_everywhere(
    session: &Session<'_>,
    units: &[Everywhere],
    block: Block,
) -> Result<Option<String>, CliError> {
    let units: BTreeMap<&str, &Everywhere> =
        units.iter().map(|unit| (&*unit.asked.name, unit)).collect();
    let names: Vec<String> = units.keys().map(|name| (*name).to_owned()).collect();
    let (rest, silent) = (RestingSince::default(), Since::default());
    let wait = Wait {
        ui: session.ui,
        goal: "to become active",
        units: &names,
        limit: block.limit(),
        on_failure: OnFailure::Stop,
    };
    let failures = wait
        .run(async |name, since| {
            let Some(unit) = units.get(name) else { return Ok(Poll::Reached) };
            let states = match session.api.states_of(name, None).await {
                Ok(states) => states,
                Err(error) => return Ok(Poll::NotYet(error.to_string())),
            };
            let look = |machine: &String| {
                let label = format!("{name} on {machine}");
                let state = states.iter().find(|state| state.machine_id == *machine);
                match state {
                    None if silent.lasts(&label, since) < ATTEMPT => {
                        Poll::NotYet("no state published".to_owned())
                    }
                    None => Poll::Reached,
                    Some(state) if !unit.asked.is_of(state) => {
                        Poll::NotYet(format!("its old content, {}", shown(state)))
                    }
                    Some(state) => {
                        silent.forget(&label);
                        let state = UnitState { name: label, ..state.clone() };
                        match rest.judge(&state, since) {
                            Judged::Ended => Poll::Reached,
                            Judged::Is(poll) => poll,
                        }
                    }
                }
            };
            Ok(whole(unit.machines.iter().map(|machine| (machine, look(machine)))))
        })
        .await?;
    Ok(failures.into_iter().next().map(|failure| {
        let name = failure.unit;
        match failure.cause {
            Cause::TimedOut => format!("timed out waiting for unit {name} to become active"),
            Cause::Never(why) => format!("Failed to find an active unit {name}, err: {why}"),
        }
    }))
}

/// What single machines come to: all have to be there before one that failed counts.
fn whole<'a>(machines: impl Iterator<Item = (&'a String, Poll)>) -> Poll {
    let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = None;
    for (machine, poll) in machines {
        let machine = legend::id(machine, Width::Short);
        match poll {
            Poll::Reached => {}
            Poll::NotYet(what) => open = open.or_else(|| Some(format!("{what} on {machine}"))),
            Poll::Never(why) => failed.entry(tame(&why)).or_default().push(machine),
        }
    }
    if let Some(open) = open {
        return Poll::NotYet(open);
    }
    let told = failed.into_iter().map(|(why, machines)| format!("{}: {why}", machines.join(", ")));
    let told: Vec<String> = told.collect();
    if told.is_empty() { Poll::Reached } else { Poll::Never(told.join("; ")) }
}
