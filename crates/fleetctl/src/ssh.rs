//! How this fleetctl reaches hosts over SSH (`ssh.md` 2, 3): directly, or through the host of
//! `--tunnel`. There is one connection to that, and everything shares it: the API's streams and the
//! logins to machines behind it.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    path::Path,
    rc::Rc,
    sync::Arc,
};

use fleet_ssh::{
    Ask, BadConfig, Connection, End, Job, Local, Route, RunError, SshError, Standard, UserConfig,
};

use crate::{config, error::CliError};

mod tunnel;

pub(crate) use tunnel::Tunnel;

/// Why a host can't be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The SSH configuration is wrong.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// There is no way there.
    #[error(transparent)]
    Ssh(Arc<SshError>),
}

impl From<SshError> for Unreachable {
    fn from(error: SshError) -> Self {
        Self::Ssh(Arc::new(error))
    }
}

/// What came of connecting to a machine.
type Reached = Result<Arc<Connection>, Rc<Unreachable>>;

/// Machines that were connected to, by address and the port that the user named.
type Machines = BTreeMap<(String, Option<u16>), Reached>;

/// The connections of one run of fleetctl.
pub(crate) struct Ssh {
    config: config::Ssh,
    /// The SSH configuration, once it was read.
    user_config: OnceCell<UserConfig>,
    user: Arc<dyn Ask>,
    tunnel: RefCell<Option<Arc<Tunnel>>>,
    machines: RefCell<Machines>,
    /// Whether something runs that minds signals itself.
    busy: Cell<bool>,
}

impl Ssh {
    /// Connects to nothing yet.
    pub(crate) fn new(config: config::Ssh) -> Self {
        Self {
            config,
            user_config: OnceCell::new(),
            user: Arc::new(Standard),
            tunnel: RefCell::default(),
            machines: RefCell::default(),
            busy: Cell::new(false),
        }
    }

    /// Whether there is a tunnel to go through.
    pub(crate) fn has_tunnel(&self) -> bool {
        self.config.tunnel.is_some()
    }

    /// The tunnel, if there is one, connected to.
    pub(crate) async fn tunnel(&self) -> Result<Option<Arc<Tunnel>>, Unreachable> {
        if !self.has_tunnel() {
            return Ok(None);
        }
        let known = self.tunnel.borrow().clone();
        let tunnel = match known {
            Some(tunnel) => tunnel,
            None => Arc::new(Tunnel::new(self.route(None)?, Arc::clone(&self.user))),
        };
        self.tunnel.replace(Some(Arc::clone(&tunnel)));
        tunnel.connection().await.map_err(Unreachable::Ssh)?;
        Ok(Some(tunnel))
    }

    /// The connection to the machine at `address`, through the tunnel if there is one. `port` is
    /// the one that the user named. A machine that can't be reached isn't tried twice: a command
    /// may have several units there, and the user has been asked.
    pub(crate) async fn machine(&self, address: &str, port: Option<u16>) -> Reached {
        let key = (address.to_owned(), port);
        let known = self.machines.borrow().get(&key).cloned();
        match known {
            Some(Ok(connection)) if connection.is_lost() => {}
            Some(reached) => return reached,
            None => {}
        }
        let reached = self.go(address, port).await.map_err(Rc::new);
        self.machines.borrow_mut().insert(key, reached.clone());
        reached
    }

    /// Connects to a machine, from the tunnel's host on when the way leads through that.
    async fn go(&self, address: &str, port: Option<u16>) -> Result<Arc<Connection>, Unreachable> {
        let route = self.route(Some((address, port)))?;
        if let Some(tunnel) = self.tunnel().await?
            && let Some(rest) = route.hops.strip_prefix(&*tunnel.route().hops)
        {
            let mut connection = tunnel.connection().await.map_err(Unreachable::Ssh)?;
            for hop in rest {
                let user = Arc::clone(&self.user);
                connection = connection.through(hop, route.timeout, user).await?;
            }
            return Ok(connection);
        }
        Ok(Connection::open(&route, Arc::clone(&self.user)).await?)
    }

    fn route(&self, target: Option<(&str, Option<u16>)>) -> Result<Route, Unreachable> {
        let config::Ssh { settings, tunnel } = &self.config;
        let user_config = match self.user_config.get() {
            Some(known) => known,
            None => {
                let system = Path::new(UserConfig::SYSTEM);
                let read = UserConfig::load(settings.home.as_deref(), Some(system))?;
                self.user_config.get_or_init(|| read)
            }
        };
        Ok(settings.route(user_config, tunnel.as_deref(), target)?)
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
        for connection in machines.values().flatten() {
            connection.close().await;
        }
        let tunnel = self.tunnel.take();
        if let Some(tunnel) = tunnel {
            tunnel.close().await;
        }
    }
}
