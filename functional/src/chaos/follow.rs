//! Follows etcd: all that changes there, and what its newest revision is.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::history::{Change, History};
use super::world::{Pulse, World};
use crate::etcd::Member;

/// Every key, as etcd's gateway wants it.
const ALL: &str = "AA==";
/// Pause after a failure, and between two beats.
const PAUSE: Duration = Duration::from_millis(300);

/// Takes in all that changes, until all is over.
pub(crate) fn changes(world: &World<'_>) {
    for member in world.lab.etcd().members().iter().cycle() {
        if world.is_over() {
            return;
        }
        // It is quiet for a while in the ordinary case; then the next one is asked.
        from_member(world, member).ok();
        world.sleep(PAUSE);
    }
}

fn from_member(world: &World<'_>, member: &Member) -> Result<()> {
    let from = world.history().seen + 1;
    let request = json!({ "key": ALL, "range_end": ALL, "start_revision": from.to_string() });
    let body = json!({ "create_request": request }).to_string();
    let mut lines = member.follow("/v3/watch", &body)?;
    while !world.is_over() {
        let line: Value = serde_json::from_str(&lines.next()?)?;
        let result = line.get("result").with_context(|| format!("etcd says {line}"))?;
        if result.get("canceled").and_then(Value::as_bool) == Some(true) {
            let Some(compacted) = number(result, "compact_revision") else { bail!("canceled") };
            world.note(format!("what was before revision {compacted} isn't known"));
            *world.history() = History::from(compacted - 1);
            return Ok(());
        }
        let events = result.get("events").and_then(Value::as_array);
        for event in events.into_iter().flatten() {
            if let Some(change) = change(event, world.now())
                && let Some(told) = world.history().apply(change)
            {
                world.note(told);
            }
        }
    }
    Ok(())
}

fn change(event: &Value, at: Duration) -> Option<Change> {
    let kv = event.get("kv")?;
    let word = |key| kv.get(key).and_then(Value::as_str);
    let is_gone = event.get("type").and_then(Value::as_str) == Some("DELETE");
    let value = || decoded(word("value").unwrap_or_default());
    Some(Change {
        revision: number(kv, "mod_revision")?,
        at,
        key: decoded(word("key")?),
        value: (!is_gone).then(value),
    })
}

/// A key or value, which the gateway writes in base64.
fn decoded(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A number, which the gateway writes as a text.
fn number(of: &Value, key: &str) -> Option<u64> {
    of.get(key)?.as_str()?.parse().ok()
}

/// Asks for the newest revision again and again, until all is over.
pub(crate) fn pulse(world: &World<'_>) {
    for member in world.lab.etcd().members().iter().cycle() {
        while !world.is_over() {
            let at = world.now();
            let Ok(revision) = revision(member) else { break };
            world.beats(Pulse { at, revision });
            world.sleep(PAUSE);
        }
        if world.is_over() {
            return;
        }
        world.sleep(PAUSE);
    }
}

fn revision(member: &Member) -> Result<u64> {
    let body = json!({ "key": ALL, "range_end": ALL, "count_only": true }).to_string();
    let answer: Value = serde_json::from_str(&member.send("POST", "/v3/kv/range", Some(&body))?)?;
    number(&answer["header"], "revision").context("no revision")
}

/// Everything that is in etcd now, with its revision.
pub(crate) fn everything(world: &World<'_>) -> Result<Vec<(String, String)>> {
    let body = json!({ "key": ALL, "range_end": ALL }).to_string();
    let answer = world.lab.etcd().send("POST", "/v3/kv/range", Some(&body))?;
    let answer: Value = serde_json::from_str(&answer)?;
    let kvs = answer.get("kvs").and_then(Value::as_array);
    let read =
        |kv: &Value, key: &str| decoded(kv.get(key).and_then(Value::as_str).unwrap_or_default());
    Ok(kvs.into_iter().flatten().map(|kv| (read(kv, "key"), read(kv, "value"))).collect())
}
