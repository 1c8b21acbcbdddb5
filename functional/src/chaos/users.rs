//! What users do, over the API of any host.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::asked::Outcome;
use super::plan::{Desired, Operation, Step};
use super::units::Kind;
use super::world::World;
use crate::api::{Api, options};
use crate::host::Host;

/// For how long nobody turns to a host that didn't answer.
const SHUNNED: Duration = Duration::from_secs(8);

/// Carries out what users do in a round.
pub(crate) fn carry_out(world: &World<'_>, steps: &[Step<(Operation, usize)>]) {
    let begun = world.now();
    let hosts = world.lab.hosts();
    let mut shunned = vec![Duration::ZERO; hosts.len()];
    for Step { at, what: (operation, first) } in steps {
        world.sleep((begun + Duration::from_millis(*at)).saturating_sub(world.now()));
        let order = (0..hosts.len()).map(|i| (first + i) % hosts.len());
        for i in order {
            let (Some(host), Some(until)) = (hosts.get(i), shunned.get_mut(i)) else { continue };
            if *until > world.now() || world.health(host).is_down {
                continue;
            }
            let Ok(mut api) = host.api() else { continue };
            if operate(world, host, &mut api, operation) == Outcome::Unclear {
                *until = world.now() + SHUNNED;
            }
            break;
        }
    }
}

/// Asks for something, and remembers that.
pub(crate) fn operate(
    world: &World<'_>,
    host: &Host,
    api: &mut Api,
    operation: &Operation,
) -> Outcome {
    let answer = ask(world, api, operation);
    let (outcome, told) = match &answer {
        Ok((200..300, _)) => (Outcome::Done, String::new()),
        Ok((400..500, body)) => (Outcome::Refused, body.clone()),
        Ok((status, body)) => (Outcome::Unclear, format!("{status} {body}")),
        Err(error) => (Outcome::Unclear, format!("{error:#}")),
    };
    world.note(format!("{} is asked: {operation:?}: {outcome:?} {told}", host.name()));
    world.count(&format!("requests: {outcome:?}"));
    world.asked().add(operation, outcome);
    outcome
}

fn ask(world: &World<'_>, api: &mut Api, operation: &Operation) -> Result<(u16, String)> {
    let (method, path, body): (_, _, Option<Value>) = match operation {
        Operation::Submit(name, variant, desired) => {
            let text = Kind::of_name(name).map(|kind| kind.text(*variant)).unwrap_or_default();
            let body = json!({ "desiredState": desired.word(), "options": options(&text) });
            ("PUT", format!("/units/{name}"), Some(body))
        }
        Operation::Want(name, desired) => {
            let body = json!({ "desiredState": desired.word() });
            ("PUT", format!("/units/{name}"), Some(body))
        }
        Operation::Destroy(name) => ("DELETE", format!("/units/{name}"), None),
        Operation::Restart(name) => ("POST", format!("/units/{name}/restart"), None),
        Operation::Role(host, is_odd) => {
            let path = format!("/{}/metadata/role", world.lab.host(*host)?.machine_id());
            let op = if *is_odd { "add" } else { "remove" };
            let body = json!([{ "op": op, "path": path, "value": "odd" }]);
            ("PATCH", "/machines".to_owned(), Some(body))
        }
    };
    let reply = api.send_once(method, &path, body.as_ref())?;
    Ok((reply.status, reply.body.trim().to_owned()))
}

/// Reads what is wanted as records have it.
pub(crate) fn desired(word: &str) -> Desired {
    match word {
        "launched" => Desired::Launched,
        "loaded" => Desired::Loaded,
        _ => Desired::Inactive,
    }
}
