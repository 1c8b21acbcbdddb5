//! A connection to a host, along its route (`ssh.md` 2).
//!
//! Each hop has the whole of the route's limit for itself: name lookup, TCP or the channel through
//! the hop before, key exchange, host key and login. The clock stands still while the user is
//! asked. Once established, a connection is asked for a sign of life after [`QUIET`] without one;
//! after [`SIGNS`] unanswered ones it counts as lost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    AlgorithmKind, Channel, Disconnect, Error, Preferred,
    client::{self, Handle, Msg},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};
use tracing::debug;

use crate::{
    Address, Ask, Cause, Hop, Place, Role, Route, SshError, Step, auth,
    clock::HopClock,
    dial::Dialing,
    handler::{Ended, Peer, Shared},
    host_key::Check,
    tcp,
    wire::{QUIET, SIGNS, Wire, WireOwner},
};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection to the last host of a route. Dropped, it hangs up, and on the hosts before it too
/// unless something else goes through them.
pub struct Connection {
    /// The connection to the last host.
    pub(crate) handle: Handle<Peer>,
    /// Where that is.
    pub(crate) place: Box<Place>,
    pub(crate) shared: Arc<Shared>,
    /// What its streams share.
    pub(crate) dialing: Dialing,
    owner: Mutex<Option<WireOwner>>,
    /// The connection that carries it. Dropped after the owner.
    _below: Option<Arc<Self>>,
}

/// A hop on which something failed.
struct Attempt<'a> {
    hop: &'a Hop,
    below: Option<&'a Arc<Connection>>,
    user: Arc<HopClock>,
    /// How far it came.
    step: Step,
}

impl Connection {
    /// Connects and logs in to each host of `route`.
    ///
    /// # Errors
    /// The host and the step that failed. Nothing is left behind.
    pub async fn open(route: &Route, ask: Arc<dyn Ask>) -> Result<Arc<Self>, SshError> {
        let mut before = None;
        for hop in &route.hops {
            check(hop, before.map(|before: &Hop| passed(before.role, &before.name))).await?;
            before = Some(hop);
        }
        let mut reached = None;
        for hop in &route.hops {
            reached = Some(Self::hop(reached.as_ref(), hop, route.timeout, &ask).await?);
        }
        reached.ok_or(SshError { place: None, step: Step::Prepare, cause: Cause::Nowhere })
    }

    /// Connects and logs in to `hop` through this connection, which it keeps alive.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn through(
        self: &Arc<Self>,
        hop: &Hop,
        timeout: Duration,
        ask: Arc<dyn Ask>,
    ) -> Result<Arc<Self>, SshError> {
        check(hop, Some(passed(self.place.role, &self.place.name))).await?;
        Self::hop(Some(self), hop, timeout, &ask).await
    }

    /// Whether it is over. One that carries nothing may be found out to be a minute late.
    pub fn is_lost(&self) -> bool {
        self.handle.is_closed()
    }

    /// Checks that there is an agent that the host could be given.
    ///
    /// # Errors
    /// [`Cause::NoIdentity`] without one, or [`Cause::Agent`].
    pub async fn check_agent(&self) -> Result<(), Cause> {
        match &self.shared.agent {
            Some(socket) => auth::check_agent(socket).await,
            None => Err(Cause::NoIdentity),
        }
    }

    /// Says goodbye to the host, after what was sent before, and waits a second at most until the
    /// connection is closed. Connections below stay.
    pub async fn close(&self) {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut owner) = owner else { return };
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        // Whether it is heard or not, this connection is over.
        let _ = time::timeout(GOODBYE, goodbye).await;
        owner.ended(GOODBYE).await;
    }

    /// Opens a channel, and says why if the host won't.
    pub(crate) async fn channel(
        &self,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>,
    ) -> Result<Channel<Msg>, SshError> {
        self.shared.refusals.open(opening).await.map_err(|cause| self.failed(cause))
    }

    /// Opens a channel to a port that the host reaches (`ssh.md` 2.5).
    pub(crate) async fn to_port(&self, host: &str, port: u16) -> Result<Channel<Msg>, Cause> {
        let port = u32::from(port);
        let opening = self.handle.channel_open_direct_tcpip(host, port, "0.0.0.0", 0);
        self.shared.refusals.open(opening).await
    }

    /// A channel that failed because of `cause`.
    pub(crate) fn failed(&self, cause: Cause) -> SshError {
        SshError { place: Some(self.place.clone()), step: Step::Channel, cause }
    }

    async fn hop(
        below: Option<&Arc<Self>>,
        hop: &Hop,
        limit: Duration,
        ask: &Arc<dyn Ask>,
    ) -> Result<Arc<Self>, SshError> {
        let user = Arc::new(HopClock::new(Arc::clone(ask)));
        let mut attempt = Attempt { hop, below, user: Arc::clone(&user), step: Step::Connect };
        debug!("SSH to {}", attempt.place());
        let outcome = user.limited(limit, attempt.make()).await;
        outcome.unwrap_or(Err(Cause::TimedOut(limit))).map(Arc::new).map_err(|cause| SshError {
            place: Some(attempt.place()),
            step: attempt.step,
            cause,
        })
    }
}

impl Attempt<'_> {
    async fn make(&mut self) -> Result<Connection, Cause> {
        match self.below {
            None => {
                let (stream, remote) = tcp::connect(&self.hop.address).await?;
                self.log_in(stream, remote.into()).await
            }
            Some(below) => {
                let remote = self.behind().await;
                let channel = below.to_port(&remote.host, remote.port).await?;
                self.log_in(channel.into_stream(), remote).await
            }
        }
    }

    /// What the hop before is asked to connect to. The names of targets are looked up here
    /// (`ssh.md` 2.5), unless only the hop before knows them; other hosts are the hop's before to
    /// find, as in OpenSSH.
    async fn behind(&self) -> Address {
        let Hop { role, address, .. } = self.hop;
        let found = match role {
            Role::Target => tcp::lookup(address).await.ok(),
            Role::Tunnel | Role::Jump => None,
        };
        found
            .and_then(|found| found.first().copied())
            .map_or_else(|| address.clone(), Address::from)
    }

    /// Goes on over `stream`, which leads to `remote`.
    async fn log_in<S>(&mut self, stream: S, remote: Address) -> Result<Connection, Cause>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.step = Step::Handshake;
        let Hop { address, checking, known_hosts, host_keys, identities, .. } = self.hop;
        let user = Arc::clone(&self.user);
        let check = Check::load(address, &remote, *checking, known_hosts, host_keys, user);
        let check = Arc::new(check.await?);
        let shared = Arc::new(Shared::new(identities.agent.clone()));
        let peer = Peer::new(Arc::clone(&shared), Arc::clone(&check));
        let (wire, owner) = Wire::new(stream);
        let config = client::Config {
            preferred: check.preferred(Preferred::default())?,
            keepalive_interval: Some(QUIET),
            keepalive_max: SIGNS,
            ..client::Config::default()
        };
        let connecting = client::connect_stream(Arc::new(config), wire, peer).await;
        let mut handle = connecting.map_err(|ended| why(ended, &shared, &check))?;
        if let Some(binding) = handle.agent_session_binding() {
            shared.bind(binding.clone());
        }
        self.step = Step::Authenticate;
        auth::log_in(&mut handle, self.hop, &shared, &*self.user).await?;
        Ok(Connection {
            handle,
            place: self.place(),
            shared,
            dialing: Dialing::default(),
            owner: Mutex::new(Some(owner)),
            _below: self.below.cloned(),
        })
    }

    fn place(&self) -> Box<Place> {
        place(self.hop, self.below.map(|below| passed(below.place.role, &below.place.name)))
    }
}

/// Checks, before it is dialled, that there is something to log in to `hop` with.
async fn check(hop: &Hop, through: Option<String>) -> Result<(), SshError> {
    let checked = auth::check(&hop.identities).await;
    checked.map_err(|cause| SshError {
        place: Some(place(hop, through)),
        step: Step::Prepare,
        cause,
    })
}

/// A host that is on the way to another, in words.
fn passed(role: Role, name: &str) -> String {
    format!("{role} {name}")
}

fn place(hop: &Hop, through: Option<String>) -> Box<Place> {
    let Hop { role, name, address, user, .. } = hop.clone();
    Box::new(Place { role, name, address, user, through })
}

/// Why a handshake failed.
fn why(ended: Ended, shared: &Shared, check: &Check) -> Cause {
    match ended {
        Ended::HostKey(cause) => cause,
        Ended::Protocol(Error::NoCommonAlgo { kind: AlgorithmKind::Key, ours, theirs }) => {
            check.no_common_type(&ours, &theirs)
        }
        Ended::Protocol(error) => shared.ending().map_or_else(
            || error.into(),
            |words| Cause::Disconnected { words, tried: String::new() },
        ),
    }
}
