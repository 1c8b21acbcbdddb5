//! The HTTP API of one fleetd, as a test wants to speak it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::{Connection, Reply};

const PREFIX: &str = "/fleet/v1";

/// A client of one fleetd's API. It keeps its connection open between requests.
#[derive(Debug)]
pub struct Api {
    socket: PathBuf,
    connection: Option<Connection>,
}

/// A unit's state on one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// The unit.
    pub unit: String,
    /// The id of the machine that reports it.
    pub machine: String,
    /// systemd's active state.
    pub active: String,
    /// systemd's sub state.
    pub sub: String,
}

impl Api {
    pub(crate) fn unix(socket: PathBuf) -> Self {
        Self { socket, connection: None }
    }

    /// Sends one request; `path` is what follows `/fleet/v1`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
        let path = format!("{PREFIX}{path}");
        let body = body.map(Value::to_string);
        // A kept connection may have been closed meanwhile, for instance with its fleetd.
        if let Some(mut kept) = self.connection.take()
            && let Ok(reply) = kept.send(method, &path, body.as_deref())
        {
            self.connection = Some(kept);
            return Ok(reply);
        }
        let mut fresh = Connection::unix(&self.socket)?;
        let reply = fresh.send(method, &path, body.as_deref())?;
        self.connection = Some(fresh);
        Ok(reply)
    }

    /// As [`Self::send`], on a connection of its own: nothing is sent twice.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send_once(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
        self.connection = None;
        self.send(method, path, body)
    }

    /// Returns all items of a collection (`units`, `state`, `machines`), page by page.
    ///
    /// # Errors
    /// When a page isn't answered with 200.
    pub fn list(&mut self, collection: &str) -> Result<Vec<Value>> {
        let key = if collection == "state" { "states" } else { collection };
        let mut items = Vec::new();
        let mut path = format!("/{collection}");
        loop {
            let reply = self.send("GET", &path, None)?;
            ensure!(reply.status == 200, "GET {path}: {} {}", reply.status, reply.body);
            let mut page: Value = serde_json::from_str(&reply.body)?;
            if let Some(Value::Array(more)) = page.get_mut(key).map(Value::take) {
                items.extend(more);
            }
            match page.get("nextPageToken").and_then(Value::as_str) {
                Some(token) => path = format!("/{collection}?nextPageToken={token}"),
                None => return Ok(items),
            }
        }
    }

    /// Returns all states of all units.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn states(&mut self) -> Result<Vec<State>> {
        let states = self.list("state")?.into_iter().map(|item| State {
            unit: text(&item, "name"),
            machine: text(&item, "machineID"),
            active: text(&item, "systemdActiveState"),
            sub: text(&item, "systemdSubState"),
        });
        Ok(states.collect())
    }

    /// Returns the ids of the machines that are present.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn machines(&mut self) -> Result<Vec<String>> {
        Ok(self.list("machines")?.iter().map(|item| text(item, "id")).collect())
    }

    /// Returns the machine that reports `unit` as active.
    ///
    /// # Errors
    /// When none or more than one does: with what is reported.
    pub fn active_on(&mut self, unit: &str) -> Result<String> {
        let states: Vec<_> = self.states()?.into_iter().filter(|s| s.unit == unit).collect();
        match states.as_slice() {
            [state] if state.active == "active" => Ok(state.machine.clone()),
            other => bail!("{unit} is reported as {other:?}"),
        }
    }

    /// Submits `text` as `unit` with a desired state.
    ///
    /// # Errors
    /// When it isn't created.
    pub fn put(&mut self, unit: &str, text: &str, desired: &str) -> Result<()> {
        let body = json!({ "desiredState": desired, "options": options(text) });
        let reply = self.send("PUT", &format!("/units/{unit}"), Some(&body))?;
        ensure!(reply.status == 201, "PUT {unit}: {} {}", reply.status, reply.body);
        Ok(())
    }

    /// Sets the desired state of a unit that is there.
    ///
    /// # Errors
    /// When it is refused.
    pub fn desire(&mut self, unit: &str, state: &str) -> Result<()> {
        let body = json!({ "desiredState": state });
        let reply = self.send("PUT", &format!("/units/{unit}"), Some(&body))?;
        ensure!(reply.status == 204, "PUT {unit}: {} {}", reply.status, reply.body);
        Ok(())
    }

    /// Destroys a unit.
    ///
    /// # Errors
    /// When it is refused.
    pub fn destroy(&mut self, unit: &str) -> Result<()> {
        let reply = self.send("DELETE", &format!("/units/{unit}"), None)?;
        ensure!(reply.status == 204, "DELETE {unit}: {} {}", reply.status, reply.body);
        Ok(())
    }

    /// Returns the record of a unit.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn unit(&mut self, unit: &str) -> Result<Value> {
        let reply = self.send("GET", &format!("/units/{unit}"), None)?;
        ensure!(reply.status == 200, "GET {unit}: {} {}", reply.status, reply.body);
        serde_json::from_str(&reply.body).context("not JSON")
    }
}

fn text(item: &Value, key: &str) -> String {
    item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Turns a simple unit file (no comments, no continued lines) into the API's list of options.
pub(crate) fn options(text: &str) -> Value {
    let mut section = "";
    let mut options = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, value)) = line.split_once('=') {
            options.push(json!({ "section": section, "name": name, "value": value }));
        }
    }
    Value::Array(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_keep_their_sections_and_order() {
        let got = options("[Service]\nExecStart=/bin/a b=c\n\n[X-Fleet]\nGlobal=true\n");
        assert_eq!(
            got,
            json!([
                { "section": "Service", "name": "ExecStart", "value": "/bin/a b=c" },
                { "section": "X-Fleet", "name": "Global", "value": "true" },
            ])
        );
    }
}
