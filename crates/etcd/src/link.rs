//! The one connection: who makes it, who shares it, when it is replaced.
//!
//! ```text
//!            get (no link)                  answers
//!   none ────────────────────▶ dialling ─────────────▶ linked ──┐ get: the same link
//!    ▲                            │ every endpoint failed  │ ◀──┘
//!    └────────────────────────────┴────────────────────────┘ condemn: a call failed on it
//! ```
//!
//! Dialling is one future that all waiting calls share and drive, so that there is one
//! attempt however many want it; nothing runs when nobody waits. A condemned link lives on
//! as long as watches use it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use etcd_client::{Channel, Client, ConnectOptions, KvClient, LeaseClient, WatchClient};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time;
use tonic::transport::{Endpoint, Uri};
use tracing::{debug, info, warn};

use crate::{
    config::Login,
    dial::Reach,
    failure::{Failure, is_auth_disabled},
};

/// The largest answer that is taken; etcd itself has no limit, gRPC's default is 4 MiB.
const MAX_ANSWER: usize = 256 << 20;

/// A connection to one member, logged in.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
    /// Its place in the list.
    endpoint: usize,
    /// Tells it from earlier links.
    number: u64,
    /// Whether the member has answered; being connected to says little.
    answered: Arc<AtomicBool>,
}

/// Keeps the connection.
pub(crate) struct Links {
    dialler: Arc<Dialler>,
    slot: Mutex<Slot>,
}

struct Slot {
    /// The endpoint to begin with.
    first: usize,
    /// How many links were dialled.
    dialled: u64,
    link: Option<Dialling>,
}

type Dialling = Shared<BoxFuture<'static, Result<Link, Failure>>>;

/// What it takes to make a connection.
struct Dialler {
    endpoints: Vec<Endpoint>,
    reach: Reach,
    login: Option<Login>,
    /// For one endpoint.
    timeout: Duration,
}

impl Links {
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        reach: Reach,
        login: Option<Login>,
        timeout: Duration,
    ) -> Self {
        let dialler = Arc::new(Dialler { endpoints, reach, login, timeout });
        Self { dialler, slot: Mutex::new(Slot { first: 0, dialled: 0, link: None }) }
    }

    /// How many endpoints there are.
    pub(crate) fn endpoints(&self) -> u32 {
        u32::try_from(self.dialler.endpoints.len()).unwrap_or(u32::MAX)
    }

    /// The connection that there is, or a new one.
    ///
    /// Bounded by the timeout of each endpoint. Cancel-safe: the next caller goes on.
    pub(crate) async fn get(&self) -> Result<Link, Failure> {
        let dialling = self.dialling();
        let result = dialling.clone().await;
        if result.is_err() {
            let mut slot = self.slot();
            if slot.link.as_ref().is_some_and(|link| link.ptr_eq(&dialling)) {
                slot.link = None;
            }
        }
        result
    }

    fn dialling(&self) -> Dialling {
        let mut slot = self.slot();
        if let Some(link) = &slot.link {
            return link.clone();
        }
        slot.dialled += 1;
        let dial = Arc::clone(&self.dialler).dial(slot.first, slot.dialled).boxed().shared();
        slot.link = Some(dial.clone());
        dial
    }

    /// Notes that the member has answered over `link`.
    pub(crate) fn answered(&self, link: &Link) {
        if !link.answered.swap(true, Ordering::Relaxed) {
            info!(endpoint = %self.dialler.uri(link.endpoint), "connected to etcd");
        }
    }

    /// Has the next call make a new connection, beginning with the next endpoint.
    pub(crate) fn condemn(&self, condemned: &Link, why: &Failure) {
        let mut slot = self.slot();
        let current = slot.link.as_ref().and_then(|link| link.peek()?.as_ref().ok());
        if current.is_some_and(|current| current.number == condemned.number) {
            slot.link = None;
            slot.first = (condemned.endpoint + 1) % self.dialler.endpoints.len();
            drop(slot);
            let endpoint = self.dialler.uri(condemned.endpoint);
            if condemned.answered.load(Ordering::Relaxed) {
                warn!(%endpoint, error = %why, "etcd connection failed");
            } else {
                debug!(%endpoint, error = %why, "etcd does not answer");
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.dialler.endpoints.iter().map(Endpoint::uri);
        f.debug_list().entries(endpoints).finish()
    }
}

impl Dialler {
    /// Tries each endpoint once, from `first` on.
    async fn dial(self: Arc<Self>, first: usize, number: u64) -> Result<Link, Failure> {
        let count = self.endpoints.len();
        let mut failures = Vec::new();
        for endpoint in (first..first + count).map(|place| place % count) {
            let uri = self.uri(endpoint);
            let attempt = time::timeout(self.timeout, self.dial_one(endpoint, number)).await;
            match attempt.unwrap_or_else(|_| Err(Failure::timeout(self.timeout))) {
                Ok(link) => return Ok(link),
                // The others know the same users.
                Err(Failure::Refused(why)) => return Err(Failure::Refused(why)),
                Err(failure) => {
                    debug!(endpoint = %uri, error = %failure, "can't connect to etcd");
                    failures.push(format!("{uri}: {failure}"));
                }
            }
        }
        Err(Failure::NotSent(format!("can't connect to etcd: {}", failures.join(", "))))
    }

    async fn dial_one(&self, endpoint: usize, number: u64) -> Result<Link, Failure> {
        let connected = self.reach.connect(&self.endpoints[endpoint]).await;
        let channel = connected.map_err(|error| Failure::from(etcd_client::Error::from(error)))?;
        let client = self.log_in(channel).await?;
        Ok(Link {
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
            endpoint,
            number,
            answered: Arc::default(),
        })
    }

    fn uri(&self, endpoint: usize) -> &Uri {
        self.endpoints[endpoint].uri()
    }

    async fn log_in(&self, channel: tonic::transport::Channel) -> Result<Client, Failure> {
        // Streams to a member that has lost its leader end instead of going quiet.
        let options = ConnectOptions::new().with_require_leader(true);
        let channel = Channel::Tonic(channel);
        let Some(Login { user, password }) = &self.login else {
            return Ok(Client::from_channel(channel, Some(options)).await?);
        };
        let with_user = options.clone().with_user(user, password).with_auto_token_refresh(true);
        match Client::from_channel(channel.clone(), Some(with_user)).await {
            Err(error) if is_auth_disabled(&error) => {
                warn!(user, "etcd has authentication disabled, going on without a login");
                Ok(Client::from_channel(channel, Some(options)).await?)
            }
            result => Ok(result?),
        }
    }
}
