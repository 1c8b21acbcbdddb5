//! The calls of the API (`fleetctl.md` 3.2).

use std::{collections::HashSet, sync::Arc, time::Duration};

use fleet_core::JobState;
use fleet_net::{Dial, Direct, Tls};
use fleet_schema::{
    Machine, MachinePage, RestartAsked, RestartPending, Unit, UnitOption, UnitPage, UnitState,
    UnitStatePage, from_json, to_json,
};
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::{ClientError, Endpoint, transport::Transport, transport::word};

/// What is encoded in a path segment or a query value: everything but RFC 3986's unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The items that a page is asked to have once a list turns out to be long; a server ends it before
/// that when they are large, and an old one sends pages as ever.
const LONG_PAGE: usize = 10_000;

/// A client of one server.
pub struct Client {
    transport: Transport,
}

/// How removing a unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was no such unit.
    Absent,
}

impl Client {
    /// A client of `endpoint`. `timeout` bounds each request from connecting to the last byte of
    /// the answer; `None` waits for ever. Nothing is sent yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, timeout: Option<Duration>) -> Self {
        Self::with(endpoint, Arc::new(Direct), None, timeout)
    }

    /// As [`new`](Self::new), over streams that `dial` opens, and with certificates for an
    /// `https` endpoint; [`Tls::system`] when none are given.
    #[must_use]
    pub fn with(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        tls: Option<Tls>,
        timeout: Option<Duration>,
    ) -> Self {
        Self { transport: Transport::new(endpoint, dial, tls, timeout) }
    }

    /// The same for a server within this process: of its answers that are no success only its own
    /// words are told.
    #[must_use]
    pub fn local(self) -> Self {
        Self { transport: self.transport.plain() }
    }

    /// The same, taking what is large compressed: for servers that aren't on this machine.
    #[must_use]
    pub fn compressed(self) -> Self {
        Self { transport: self.transport.compressed() }
    }

    /// The same over so many connections at most.
    #[must_use]
    pub fn connections(self, most: usize) -> Self {
        Self { transport: self.transport.connections(most) }
    }

    /// All units, in the server's order.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn units(&self) -> Result<Vec<Unit>, ClientError> {
        let mut units: Vec<Unit> =
            self.pages("units", |page: UnitPage| (page.units, page.next_page_token)).await?;
        units.retain(|unit| *unit != Unit::default());
        Ok(units)
    }

    /// The same unless there are more than so many: `None` then, and no more than that was read.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn units_within(&self, most: usize) -> Result<Option<Vec<Unit>>, ClientError> {
        let open = |page: UnitPage| (page.units, page.next_page_token);
        self.pages_within("units", "", most, open).await
    }

    /// The unit called `name`, if there is one.
    ///
    /// # Errors
    /// The call fails.
    pub async fn unit(&self, name: &str) -> Result<Option<Unit>, ClientError> {
        self.item("units", name).await
    }

    /// The states of all units on all machines, in the server's order.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn states(&self) -> Result<Vec<UnitState>, ClientError> {
        self.pages("state", |page: UnitStatePage| (page.states, page.next_page_token)).await
    }

    /// The same unless there are more than so many: `None` then, and no more than that was read.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn states_within(&self, most: usize) -> Result<Option<Vec<UnitState>>, ClientError> {
        let open = |page: UnitStatePage| (page.states, page.next_page_token);
        self.pages_within("state", "", most, open).await
    }

    /// The state of the unit called `name`, on one of its machines, if there is one.
    ///
    /// # Errors
    /// The call fails.
    pub async fn state(&self, name: &str) -> Result<Option<UnitState>, ClientError> {
        self.item("state", name).await
    }

    /// All machines, in the server's order.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn machines(&self) -> Result<Vec<Machine>, ClientError> {
        let mut machines: Vec<Machine> = self
            .pages("machines", |page: MachinePage| (page.machines, page.next_page_token))
            .await?;
        machines.retain(|machine| *machine != Machine::default());
        Ok(machines)
    }

    /// Creates or replaces the unit called `name`; its desired state becomes `inactive`.
    ///
    /// # Errors
    /// The call fails.
    pub async fn put_unit(&self, name: &str, options: Vec<UnitOption>) -> Result<(), ClientError> {
        self.put(Unit { name: name.to_owned(), options, ..Unit::default() }).await
    }

    /// Sets the desired state of the unit called `name`.
    ///
    /// # Errors
    /// The call fails; there may be no such unit.
    pub async fn set_state(&self, name: &str, state: JobState) -> Result<(), ClientError> {
        let desired_state = state.as_str().to_owned();
        self.put(Unit { name: name.to_owned(), desired_state, ..Unit::default() }).await
    }

    /// Removes the unit called `name`.
    ///
    /// # Errors
    /// The call fails.
    pub async fn destroy(&self, name: &str) -> Result<Removal, ClientError> {
        let target = self.item_target("units", name);
        match self.transport.send(Method::DELETE, &target, None).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if error.is_not_found() => Ok(Removal::Absent),
            Err(error) => Err(error),
        }
    }

    /// The states of the unit called `name`, on all machines or only on `machine`.
    ///
    /// # Errors
    /// Any page fails.
    pub async fn states_of(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<UnitState>, ClientError> {
        let mut filter = format!("&unitName={}", utf8_percent_encode(name, ENCODED));
        if let Some(machine) = machine {
            filter.push_str(&format!("&machineID={}", utf8_percent_encode(machine, ENCODED)));
        }
        let open = |page: UnitStatePage| (page.states, page.next_page_token);
        self.filtered_pages("state", &filter, open).await
    }

    /// Asks the machines that have the unit called `name`, or only `machine`, to restart it.
    /// Returns those that were asked.
    ///
    /// # Errors
    /// The call fails; there may be no such unit, or it isn't launched.
    pub async fn restart(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<String>, ClientError> {
        let target = self.restart_target(name, machine);
        let body = self.transport.send(Method::POST, &target, None).await?;
        Ok(self.decode::<RestartAsked>(&Method::POST, &target, &body)?.machines)
    }

    /// The machines that were asked to restart the unit called `name` and haven't acknowledged
    /// yet; of all, or only of `machine`.
    ///
    /// # Errors
    /// The call fails; there may be no such unit.
    pub async fn pending_restarts(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<String>, ClientError> {
        let target = self.restart_target(name, machine);
        Ok(self.get::<RestartPending>(&target).await?.pending)
    }

    /// Creates or replaces a unit, or sets what is wanted of it, as `unit` says.
    ///
    /// # Errors
    /// The call fails.
    pub async fn put(&self, unit: Unit) -> Result<(), ClientError> {
        let target = self.item_target("units", &unit.name);
        self.transport.send(Method::PUT, &target, Some(to_json(&unit))).await?;
        Ok(())
    }

    async fn item<T: DeserializeOwned + Default>(
        &self,
        collection: &str,
        name: &str,
    ) -> Result<Option<T>, ClientError> {
        match self.get(&self.item_target(collection, name)).await {
            Ok(item) => Ok(Some(item)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pages<P: DeserializeOwned + Default, T>(
        &self,
        collection: &str,
        open: impl Fn(P) -> (Vec<T>, String),
    ) -> Result<Vec<T>, ClientError> {
        self.filtered_pages(collection, "", open).await
    }

    async fn filtered_pages<P: DeserializeOwned + Default, T>(
        &self,
        collection: &str,
        filter: &str,
        open: impl Fn(P) -> (Vec<T>, String),
    ) -> Result<Vec<T>, ClientError> {
        let all = self.pages_within(collection, filter, usize::MAX, open).await?;
        Ok(all.unwrap_or_default())
    }

    async fn pages_within<P: DeserializeOwned + Default, T>(
        &self,
        collection: &str,
        filter: &str,
        most: usize,
        open: impl Fn(P) -> (Vec<T>, String),
    ) -> Result<Option<Vec<T>>, ClientError> {
        let first = self.transport.target(&format!("/fleet/v1/{collection}?alt=json{filter}"));
        let mut seen = HashSet::new();
        let mut target = first.clone();
        let mut all = Vec::new();
        loop {
            let (items, token) = open(self.get(&target).await?);
            all.extend(items);
            if token.is_empty() {
                return Ok(Some(all));
            }
            if all.len() >= most {
                return Ok(None);
            }
            let token_of_it = utf8_percent_encode(&token, ENCODED);
            target = format!("{first}&limit={LONG_PAGE}&nextPageToken={token_of_it}");
            if !seen.insert(token.clone()) {
                return Err(ClientError::RepeatedToken { url: self.transport.url(&first), token });
            }
        }
    }

    async fn get<T: DeserializeOwned + Default>(&self, target: &str) -> Result<T, ClientError> {
        let body = self.transport.send(Method::GET, target, None).await?;
        self.decode(&Method::GET, target, &body)
    }

    fn decode<T: DeserializeOwned + Default>(
        &self,
        method: &Method,
        target: &str,
        body: &[u8],
    ) -> Result<T, ClientError> {
        from_json(body).map_err(|cause| ClientError::Decode {
            method: word(method),
            url: self.transport.url(target),
            cause,
        })
    }

    fn restart_target(&self, name: &str, machine: Option<&str>) -> String {
        let name = utf8_percent_encode(name, ENCODED);
        let mut target = format!("/fleet/v1/units/{name}/restart?alt=json");
        if let Some(machine) = machine {
            target.push_str(&format!("&machineID={}", utf8_percent_encode(machine, ENCODED)));
        }
        self.transport.target(&target)
    }

    fn item_target(&self, collection: &str, name: &str) -> String {
        let name = utf8_percent_encode(name, ENCODED);
        self.transport.target(&format!("/fleet/v1/{collection}/{name}?alt=json"))
    }
}
