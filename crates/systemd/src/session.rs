//! Keeps a connection to systemd.
//!
//! One task, owned by `SystemdManager`, reads what arrives and hands it to the signals. When the
//! connection ends, or systemd leaves the bus, it opens another, as long as it takes:
//!
//! ```text
//! connected ── stream ends, systemd leaves ──▶ lost ── dialled: subscribe ──▶ connected
//!                                             │  ▲
//!                                             └──┘ pause: none, then 1 s … 60 s
//! ```

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet_core::Pauses;
use futures::StreamExt as _;
use tokio::time::{self, Instant};
use tracing::{info, warn};
use zbus::{Connection, MessageStream};

use crate::{
    bus::CallError,
    config::{Config, WakeSocket},
    dial::{Line, dial},
    nudge,
    signals::{Signals, Verdict},
};

/// The first and the longest pause between attempts (`fleetd.md` 6).
const PAUSES: Pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(60));

/// The connection of the moment, for whoever wants to call.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    /// The directories that systemd reads units from, as it said last.
    unit_path: Mutex<Vec<PathBuf>>,
}

#[derive(Debug)]
enum State {
    Connected(Live),
    Lost { since: Instant },
}

/// A connection that worked when it was last looked at.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    /// The major version of systemd.
    pub(crate) version: u32,
}

impl Session {
    /// A session over `line`, and what arrives there: for [`follow`].
    pub(crate) fn new(line: Line) -> (Self, MessageStream) {
        info!(endpoint = %line.endpoint, version = line.version, "connected to systemd");
        let live = Live { connection: line.connection, version: line.version };
        let session = Self {
            state: Mutex::new(State::Connected(live)),
            unit_path: Mutex::new(line.unit_path),
        };
        (session, line.messages)
    }

    /// The connection, if there is one.
    pub(crate) fn live(&self) -> Result<Live, CallError> {
        match &*self.lock() {
            State::Connected(live) => Ok(live.clone()),
            State::Lost { .. } => {
                Err(CallError::Unavailable("the connection to systemd is lost".to_owned()))
            }
        }
    }

    /// The directories that systemd reads units from, whether it can be asked now or not.
    pub(crate) fn unit_path(&self) -> Vec<PathBuf> {
        self.unit_path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Since when there has been no connection.
    pub(crate) fn lost_since(&self) -> Option<Instant> {
        match *self.lock() {
            State::Connected(_) => None,
            State::Lost { since } => Some(since),
        }
    }

    fn set(&self, state: State) {
        *self.lock() = state;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves it whole: changes are single assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what arrives, for ever, over as many connections as it takes.
pub(crate) async fn follow(
    session: Arc<Session>,
    signals: Arc<Signals>,
    config: Config,
    mut messages: MessageStream,
) {
    loop {
        listen(messages, &signals, config.wake_socket.as_ref()).await;
        session.set(State::Lost { since: Instant::now() });
        signals.lose();
        warn!("connection to systemd is lost, reconnecting");
        let line = redial(&config).await;
        messages = line.messages;
        *session.unit_path.lock().unwrap_or_else(PoisonError::into_inner) = line.unit_path;
        session.set(State::Connected(Live { connection: line.connection, version: line.version }));
        signals.restored();
    }
}

/// Takes in what arrives, until there is nothing more to come.
async fn listen(messages: MessageStream, signals: &Signals, wake_socket: Option<&WakeSocket>) {
    tokio::select! {
        () = read(messages, signals) => {}
        () = nudge::await_jobs(signals, || nudge::wake(wake_socket)) => {}
    }
}

/// Reads until there is nothing more to come.
async fn read(mut messages: MessageStream, signals: &Signals) {
    while let Some(Ok(message)) = messages.next().await {
        if signals.take_in(&message) == Verdict::SystemdLeft {
            return;
        }
    }
}

async fn redial(config: &Config) -> Line {
    let mut backoff = PAUSES.begin_jittered(fastrand::Rng::new());
    loop {
        match dial(config).await {
            Ok(line) => {
                info!(endpoint = %line.endpoint, version = line.version, "reconnected to systemd");
                return line;
            }
            Err(error) => {
                let pause = backoff.pause();
                warn!(%error, ?pause, "systemd can't be reached, will retry");
                time::sleep(pause).await;
            }
        }
    }
}
