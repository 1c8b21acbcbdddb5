//! How this fleetctl reaches hosts over SSH (`ssh.md` 2, 3): directly, or through the host of
//! `--tunnel`. There is one connection to that, and everything shares it: the API's streams and the
//! logins to machines behind it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use fleet_ssh::{
    Ask, BadConfig, Connection, End, Job, Local, Route, RunError, SshError, Standard, UserConfig,
};
use tokio::sync::OnceCell;

use crate::{config, error::CliError};

mod tunnel;

pub(crate) use tunnel::Tunnel;

/// Why a host can't be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// `~/.ssh/config` is wrong.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// There is no way there.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Connections to machines, by address and the port that the user named.
type Machines = BTreeMap<(String, Option<u16>), Arc<Connection>>;

/// The connections of one run of fleetctl.
pub(crate) struct Ssh {
    config: config::Ssh,
    user: Arc<dyn Ask>,
    tunnel: OnceCell<Arc<Connection>>,
    machines: RefCell<Machines>,
    /// Whether something runs that minds signals itself.
    busy: Cell<bool>,
}

impl Ssh {
    /// Connects to nothing yet.
    pub(crate) fn new(config: config::Ssh) -> Self {
        Self {
            config,
            user: Arc::new(Standard),
            tunnel: OnceCell::new(),
            machines: RefCell::default(),
            busy: Cell::new(false),
        }
    }

    /// Whether there is a tunnel to go through.
    pub(crate) fn has_tunnel(&self) -> bool {
        self.config.tunnel.is_some()
    }

    /// The connection to the tunnel's host, if there is one.
    pub(crate) async fn tunnel(&self) -> Result<Option<Arc<Connection>>, Unreachable> {
        if !self.has_tunnel() {
            return Ok(None);
        }
        let open = || async {
            let route = self.route(None)?;
            Ok::<_, Unreachable>(Connection::open(&route, Arc::clone(&self.user)).await?)
        };
        Ok(Some(Arc::clone(self.tunnel.get_or_try_init(open).await?)))
    }

    /// The connection to the machine at `address`, through the tunnel if there is one. `port` is
    /// the one that the user named.
    pub(crate) async fn machine(
        &self,
        address: &str,
        port: Option<u16>,
    ) -> Result<Arc<Connection>, Unreachable> {
        let key = (address.to_owned(), port);
        let known = self.machines.borrow().get(&key).cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let route = self.route(Some((address, port)))?;
        let connection = self.go(&route).await?;
        self.machines.borrow_mut().insert(key, Arc::clone(&connection));
        Ok(connection)
    }

    /// Goes along `route`, from the tunnel's host on when it leads through that.
    async fn go(&self, route: &Route) -> Result<Arc<Connection>, Unreachable> {
        if let Some(tunnel) = self.tunnel().await? {
            let first = self.route(None)?.hops;
            if let Some(rest) = route.hops.strip_prefix(&*first) {
                let mut connection = tunnel;
                for hop in rest {
                    let user = Arc::clone(&self.user);
                    connection = connection.through(hop, route.timeout, user).await?;
                }
                return Ok(connection);
            }
        }
        Ok(Connection::open(route, Arc::clone(&self.user)).await?)
    }

    fn route(&self, target: Option<(&str, Option<u16>)>) -> Result<Route, Unreachable> {
        let config::Ssh { settings, tunnel } = &self.config;
        let user_config = UserConfig::load(settings.home.as_deref())?;
        Ok(settings.route(&user_config, tunnel.as_deref(), target)?)
    }

    /// Runs `job` on a connection, with the streams of this process.
    pub(crate) async fn run(&self, connection: &Connection, job: &Job) -> Result<End, RunError> {
        let mut local = Local::standard().map_err(RunError::Input)?;
        self.minding(connection.run(job, &mut local)).await
    }

    /// Does `work`, which minds signals itself.
    pub(crate) async fn minding<T>(&self, work: impl Future<Output = T>) -> T {
        self.busy.set(true);
        let result = work.await;
        self.busy.set(false);
        result
    }

    /// Does `work` until it is done, or until this process is told to end: then everything that
    /// `work` holds is let go, above all a terminal that was changed for a question.
    pub(crate) async fn interruptible(
        &self,
        work: impl Future<Output = Result<(), CliError>>,
    ) -> Result<(), CliError> {
        let Ok(mut signals) = Local::standard() else { return work.await };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                stop = signals.interrupted() => {
                    if !self.busy.get() {
                        return Err(CliError::Ended(stop.status()));
                    }
                }
            }
        }
    }

    /// Says goodbye to all hosts: machines first, as the tunnel carries them.
    pub(crate) async fn close(&self) {
        let machines = self.machines.take();
        for connection in machines.values() {
            connection.close().await;
        }
        if let Some(tunnel) = self.tunnel.get() {
            tunnel.close().await;
        }
    }
}
