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
//! attempt however many want it; nothing runs when nobody waits, but for what closes a lane that
//! is idle. A condemned link lives on as long as watches use it, which are told to leave it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use etcd_client::{
    Channel, Client, ConnectOptions, KvClient, LeaseClient, MaintenanceClient, WatchClient,
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Uri};
use tracing::{debug, info, warn};

use crate::{
    config::Login,
    dial::Reach,
    failure::{Failure, is_auth_disabled},
    renewals::Renewals,
};

/// The largest answer that is taken; etcd itself has no limit, gRPC's default is 4 MiB.
const MAX_ANSWER: usize = 256 << 20;

/// For how many request timeouts nothing may come over a connection to the only member before it is
/// replaced. Where many machines reach a busy etcd at once, each new connection makes it busier.
const SILENT_TIMEOUTS: u32 = 3;

/// A connection to one member, logged in.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
    pub(crate) maintenance: MaintenanceClient,
    pub(crate) renewals: Arc<Renewals>,
    /// Its place in the list.
    endpoint: usize,
    /// Tells it from earlier links.
    number: u64,
    /// Held by whoever uses the link, so that counting them tells whether it is in use.
    pulse: Arc<Pulse>,
}

/// What is known of the member at the other end.
struct Pulse {
    since: Instant,
    /// Whether the member has answered; being connected to says little.
    answered: AtomicBool,
    /// When something came from it last, in microseconds since the link was made.
    heard: AtomicU64,
    /// Cancelled when a call has had no answer.
    left: CancellationToken,
}

impl Pulse {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            answered: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            left: CancellationToken::new(),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Link {
    /// Notes that something has come from the member.
    pub(crate) fn hear(&self) {
        self.pulse.heard.fetch_max(self.pulse.micros(Instant::now()), Ordering::Relaxed);
    }

    /// Whether something has come from the member since then.
    pub(crate) fn was_heard_since(&self, then: Instant) -> bool {
        self.pulse.heard.load(Ordering::Relaxed) > self.pulse.micros(then)
    }

    /// For how long nothing has come from the member.
    fn silent_for(&self) -> Duration {
        let heard = Duration::from_micros(self.pulse.heard.load(Ordering::Relaxed));
        self.pulse.since.elapsed().saturating_sub(heard)
    }

    /// Waits until a call over this link has had no answer.
    pub(crate) async fn left(&self) {
        self.pulse.left.cancelled().await;
    }

    /// For how long nobody has used it; `None` while somebody does.
    fn idle_for(&self) -> Option<Duration> {
        // One is the slot's.
        if Arc::strong_count(&self.pulse) > 1 {
            return None;
        }
        Some(self.silent_for())
    }
}

/// Keeps the connection.
pub(crate) struct Links {
    dialler: Arc<Dialler>,
    slot: Arc<Mutex<Slot>>,
    /// How long the connection is kept while nobody uses it; for ever where there is no bound.
    idle: Option<Duration>,
    /// What closes it then: one task for each link, until the link is gone.
    closing: Mutex<JoinSet<()>>,
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
        Self::over(Arc::new(Dialler { endpoints, reach, login, timeout }), 0, None)
    }

    fn over(dialler: Arc<Dialler>, first: usize, idle: Option<Duration>) -> Self {
        let slot = Arc::new(Mutex::new(Slot { first, dialled: 0, link: None }));
        Self { dialler, slot, idle, closing: Mutex::default() }
    }

    /// Another connection to the same members, which is closed when nobody has used it for `idle`.
    /// It begins with another member, where there are several.
    pub(crate) fn lane(&self, idle: Duration) -> Self {
        let first = (self.slot().first + 1) % self.dialler.endpoints.len();
        Self::over(Arc::clone(&self.dialler), first, Some(idle))
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
        if let Some(idle) = self.idle {
            let number = slot.dialled;
            let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
            while closing.try_join_next().is_some() {}
            closing.spawn(close_when_idle(Arc::clone(&self.slot), number, idle));
        }
        dial
    }

    /// Notes that the member has answered over `link`.
    pub(crate) fn answered(&self, link: &Link) {
        link.hear();
        if !link.pulse.answered.swap(true, Ordering::Relaxed) {
            info!(endpoint = %self.dialler.uri(link.endpoint), "connected to etcd");
        }
    }

    /// Has the next call make a new connection, beginning with the next endpoint. Watches leave
    /// this one too, unless only its login is of no use any more. A member that is the only one is
    /// borne with while it may be no more than busy.
    pub(crate) fn condemn(&self, condemned: &Link, why: &Failure) {
        let bearable = self.dialler.timeout * SILENT_TIMEOUTS;
        if matches!(why, Failure::Silence(_))
            && self.endpoints() == 1
            && condemned.silent_for() < bearable
        {
            return;
        }
        if !matches!(why, Failure::LoginExpired(_)) {
            condemned.pulse.left.cancel();
        }
        let mut slot = self.slot();
        let current = slot.link.as_ref().and_then(|link| link.peek()?.as_ref().ok());
        if current.is_some_and(|current| current.number == condemned.number) {
            slot.link = None;
            slot.first = (condemned.endpoint + 1) % self.dialler.endpoints.len();
            drop(slot);
            let endpoint = self.dialler.uri(condemned.endpoint);
            if condemned.pulse.answered.load(Ordering::Relaxed) {
                warn!(%endpoint, error = %why, "etcd connection failed");
            } else {
                debug!(%endpoint, error = %why, "etcd does not answer");
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        locked(&self.slot)
    }
}

fn locked(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes link `number` when nobody has used it for `idle`. Ends with the link.
async fn close_when_idle(slot: Arc<Mutex<Slot>>, number: u64, idle: Duration) {
    loop {
        time::sleep(idle).await;
        let mut slot = locked(&slot);
        let Some(dialling) = slot.link.as_ref().filter(|_| slot.dialled == number) else { return };
        let link = dialling.peek().and_then(|dialled| dialled.as_ref().ok());
        if link.and_then(Link::idle_for).is_some_and(|unused| unused >= idle) {
            slot.link = None;
            debug!("nobody uses this connection to etcd, it is closed");
            return;
        }
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
            maintenance: client.maintenance_client(),
            renewals: Arc::default(),
            endpoint,
            number,
            pulse: Arc::new(Pulse::new()),
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
