//! Runs the parts until they are told to stop, or one that must not end has ended.
//!
//! ```text
//! registering ──▶ serving ──┬─ etcd silent for a third of agent_ttl ─▶ registering
//!      │  │                 ├─ HUP ─▶ parts stop, new ones ─▶ registering by a beat
//!      │  └─ HUP: the same  └─ TERM, INT ─▶ purge (unless switched off) ─▶ exit 0
//!      └─ TERM, INT ─▶ exit 0
//! ```
//!
//! Wakes on signals, on the end of a run of the agent, and now and then to look after systemd's
//! bus. Owns every task; a second signal while shutting down ends it at once, unless it came with
//! the first.

mod part;
mod standing;

use std::{sync::Arc, time::Duration};

use fleet_agent::{Agent, DumpHandle, StandingHandle};
use fleet_api::Switch;
use fleet_core::error_text::chain;
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::{
    app::{App, Backend, Base, Lanes, Parts, PriorPresence},
    config::Config,
    kept,
    logging::{Queue, Verbosity},
    notify,
    signals::{Signal, Signals},
    source::Source,
};
use part::Part;

/// The longest a stopping component may take before it is left behind (`fleetd.md` 7).
const GRACE: Duration = Duration::from_secs(60);

/// Why fleetd ended without being told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("a component panicked: {0}")]
    Panicked(#[from] JoinError),
    #[error("{0} ended by itself")]
    Ended(&'static str),
    #[error("systemd has been out of reach for longer than agent_ttl; units are left as they are")]
    SystemdLost,
    #[error("told to stop twice, ending at once")]
    Aborted,
    #[error("Timed out waiting for server to shut down. Panicking the server without cleanup.")]
    Stuck,
}

pub(crate) struct Supervisor<E> {
    base: Base,
    config: Config,
    lanes: Lanes,
    source: Source<E>,
    verbosity: Verbosity,
    signals: Signals,
    /// Where the state goes when it is asked for.
    dumps: Option<Queue>,
    /// What answers the API's requests.
    switch: Switch,
    /// What stays through reloads, and ends with fleetd.
    standing: JoinSet<Fatal>,
    stop_standing: CancellationToken,
}

/// Parts that run.
struct Running {
    tasks: JoinSet<Part>,
    stop: CancellationToken,
    dump: DumpHandle,
    standing: StandingHandle,
}

/// What a signal has asked for.
enum Next {
    Stop,
    Reload(Box<Config>, Lanes),
}

impl<E: Fn(&str) -> Option<String>> Supervisor<E> {
    /// One of `app`, which reads its configuration anew from `source` when it is told to.
    /// Requests are answered from now on, where `users` runs.
    pub(crate) fn new(
        app: App,
        source: Source<E>,
        verbosity: Verbosity,
        signals: Signals,
        users: &Handle,
    ) -> (Self, Parts) {
        let App { base, config, lanes, listeners } = app;
        let parts = base.parts(&config, &lanes, PriorPresence::default());
        let switch = Switch::from(Arc::clone(&parts.api));
        let stop_standing = CancellationToken::new();
        let standing = standing::start(&base, listeners, &switch, &stop_standing, users);
        notify::ready();
        let supervisor = Self {
            base,
            config,
            lanes,
            source,
            verbosity,
            signals,
            dumps: None,
            switch,
            standing,
            stop_standing,
        };
        (supervisor, parts)
    }

    /// Runs until a signal ends it.
    pub(crate) async fn run(mut self, mut parts: Parts) -> Result<(), Fatal> {
        loop {
            let mut running = self.start(parts);
            match self.attend(&mut running).await {
                Ok(Next::Reload(config, lanes)) => {
                    info!("Restarting server components");
                    let agent = running.stopped().await?;
                    let held = agent.as_ref().map(PriorPresence::by).unwrap_or_default();
                    (self.config, self.lanes) = (*config, lanes);
                    parts = self.base.parts(&self.config, &self.lanes, held);
                    self.switch.set(Arc::clone(&parts.api));
                    notify::ready();
                }
                Ok(Next::Stop) => return self.shut_down(running).await,
                Err(fatal) => {
                    // Units are left alone; engine and agent still give back what they hold,
                    // if they can.
                    self.base.availability.set(false);
                    let agent = running.stopped().await;
                    if let (Fatal::SystemdLost, Ok(Some(agent))) = (&fatal, agent) {
                        // Nobody here will carry out what is decided.
                        agent.leave().await;
                    }
                    return Err(fatal);
                }
            }
        }
    }

    fn start(&self, parts: Parts) -> Running {
        let (dump, stop) = (parts.agent.dump(), CancellationToken::new());
        let standing = parts.agent.standing();
        let tasks = part::start(parts, &self.base, self.config.agent_ttl, &stop);
        Running { tasks, stop, dump, standing }
    }

    /// Answers signals until one asks for more than an answer.
    async fn attend(&mut self, running: &mut Running) -> Result<Next, Fatal> {
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Terminate => return Ok(Next::Stop),
                    Signal::Dump => self.print_dump(&running.dump),
                    Signal::Reload => if let Some((config, lanes)) = self.read_again() {
                        return Ok(Next::Reload(Box::new(config), lanes));
                    },
                },
                Some(ended) = running.tasks.join_next() => {
                    return Err(ended.map_or_else(Fatal::Panicked, Part::into_fatal));
                }
                Some(ended) = self.standing.join_next() => {
                    return Err(ended.unwrap_or_else(Fatal::Panicked));
                }
            }
        }
    }

    /// Reads the configuration again, and makes of it what could still fail. `None` when it can't
    /// be used: all stays as it is (`fleetd.md` 8.2).
    fn read_again(&self) -> Option<(Config, Lanes)> {
        let config = self.source.read_again(Some(&self.config));
        let config = config.map_err(|error| kept(&error.to_string())).ok()?;
        // What is kept in memory would be lost with its store.
        let stays = self.source.backend() == Backend::Memory || config.etcd == self.config.etcd;
        let lanes = if stays {
            self.lanes.clone()
        } else {
            self.base.lanes(&config).map_err(|error| kept(&chain(&error))).ok()?
        };
        self.verbosity.set(config.debug);
        notify::reloading();
        Some((config, lanes))
    }

    /// Writes the state as one line of JSON to stdout (`fleetd.md` 8.3), which may be a journal that
    /// hangs like any other.
    fn print_dump(&mut self, dump: &DumpHandle) {
        info!("Dumping server state");
        let stdout = || Queue::start(std::io::stdout(), |_| String::new());
        let line = format!("{}\n", dump.state());
        self.dumps.get_or_insert_with(stdout).push(line.into_bytes(), false);
        debug!("Finished dumping server state");
    }

    /// Takes this machine out of the cluster.
    async fn shut_down(mut self, running: Running) -> Result<(), Fatal> {
        self.base.availability.set(false);
        info!("Gracefully shutting down");
        notify::stopping();
        if self.config.purge_on_shutdown {
            // At once, while passes end: nothing new is to be placed here.
            running.standing.leave();
        }
        tokio::select! {
            done = leave(running, self.config.purge_on_shutdown) => done?,
            () = self.signals.terminate_again() => return Err(Fatal::Aborted),
            never = notify::still_stopping() => match never {},
        }
        self.stop_standing.cancel();
        Ok(())
    }
}

impl Running {
    /// Tells the parts to stop, and waits until they have; returns the agent, if it still can be
    /// used.
    async fn stopped(mut self) -> Result<Option<Agent>, Fatal> {
        self.stop.cancel();
        let mut agent = None;
        let all = async {
            while let Some(part) = self.tasks.join_next().await {
                match part {
                    Ok(Part::Agent(stopped)) => agent = Some(*stopped),
                    Ok(part) => debug!("{} has stopped", part.name()),
                    Err(error) => error!(%error, "a component panicked while stopping"),
                }
            }
        };
        time::timeout(GRACE, all).await.map_err(|_| Fatal::Stuck)?;
        Ok(agent)
    }
}

/// Waits for the parts to stop, and takes this machine out of the cluster.
async fn leave(running: Running, purge: bool) -> Result<(), Fatal> {
    let agent = running.stopped().await?;
    info!("Server monitor triggered: told to shut down");
    if let (Some(mut agent), true) = (agent, purge) {
        agent.purge().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
