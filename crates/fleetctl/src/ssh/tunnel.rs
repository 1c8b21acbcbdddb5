//! The host of `--tunnel`, and the streams to the API and to etcd from it (`ssh.md` 3). It looks up
//! the names; TLS is spoken inside, by those who dial.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fleet_net::{BoxStream, Dial, DialError, Target};
use fleet_ssh::{Ask, Connection, Far, FarStream, Route, SshError};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tracing::debug;

/// A connection on its way, which all who wait for it drive.
type Opening = Shared<BoxFuture<'static, Result<Arc<Connection>, Arc<SshError>>>>;

/// The host of `--tunnel`. There is one connection to it at a time: made when it is wanted first,
/// and again when it was lost, since a command that waits may outlive it.
pub(crate) struct Tunnel {
    route: Route,
    user: Arc<dyn Ask>,
    opening: Mutex<Option<Opening>>,
}

impl Tunnel {
    /// At the end of `route`; connects to nothing yet.
    pub(super) fn new(route: Route, user: Arc<dyn Ask>) -> Self {
        Self { route, user, opening: Mutex::default() }
    }

    /// The way there.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// The connection that there is, or a new one. Bounded by the limits of the route. Cancel-safe:
    /// the next caller goes on.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Arc<SshError>> {
        self.opening().await
    }

    fn opening(&self) -> Opening {
        let mut slot = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opening) = &*slot {
            match opening.peek() {
                Some(Ok(connection)) if connection.is_lost() => debug!("the tunnel was lost"),
                Some(Err(_)) => {}
                Some(Ok(_)) | None => return opening.clone(),
            }
        }
        let (route, user) = (self.route.clone(), Arc::clone(&self.user));
        let open = async move { Connection::open(&route, user).await.map_err(Arc::new) };
        slot.insert(open.boxed().shared()).clone()
    }

    async fn stream(&self, far: &Far) -> Result<FarStream, Arc<SshError>> {
        self.connection().await?.dial(far).await.map_err(Arc::new)
    }

    /// Says goodbye to the host.
    pub(super) async fn close(&self) {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ok(connection)) = opening.as_ref().and_then(Shared::peek) {
            connection.close().await;
        }
    }
}

#[async_trait]
impl Dial for Tunnel {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        let far = match target {
            Target::Unix(path) => Far::Unix(path.clone()),
            Target::Tcp { host, port } => Far::Tcp { host: host.clone(), port: *port },
        };
        match self.stream(&far).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(DialError::new(target, error)),
        }
    }
}
