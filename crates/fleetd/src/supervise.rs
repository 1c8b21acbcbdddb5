//! Runs the parts until they are told to stop, or one that must not end has ended.
//!
//! ```text
//! registering ──▶ serving ──┬─ etcd silent for a third of agent_ttl ─▶ registering
//!      │                    └─ TERM, INT ─▶ purge (unless switched off) ─▶ exit 0
//!      └─ TERM, INT ─▶ exit 0
//! ```
//!
//! Wakes on signals, on the end of a run of the agent, and now and then to look after systemd's
//! bus. Owns every task; a second signal while shutting down ends it at once.

use std::time::Duration;

use fleet_agent::{Agent, DumpHandle, Ended};
use fleet_api::{Availability, serve};
use fleet_engine::EngineHandle;
use tokio::{
    task::{JoinError, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::{
    app::App,
    notify,
    signals::{Signal, Signals},
};

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

/// Runs until a signal ends it.
pub(crate) async fn run(app: App, mut signals: Signals) -> Result<(), Fatal> {
    let App { agent, engine, api, availability, listeners, systemd, .. } = app;
    let (stop, stop_api) = (CancellationToken::new(), CancellationToken::new());
    let dump = agent.dump();
    let mut tasks: JoinSet<Task> = JoinSet::new();

    let serving = serve(listeners, api, stop_api.clone());
    tasks.spawn(async move {
        serving.await;
        Task::Ended("the API")
    });
    notify::ready();
    let status = Status { engine: engine.as_ref().map(fleet_engine::Engine::handle) };
    if let Some(engine) = engine {
        let stop = stop.clone();
        tasks.spawn(async move {
            engine.run(stop).await;
            Task::Ended("the engine")
        });
    } else {
        info!("Not starting engine; disable-engine is set");
    }
    let (serving, stopping) = (availability.clone(), stop.clone());
    tasks.spawn(async move {
        Task::Agent(Box::new(serve_agent(agent, serving, stopping, status).await))
    });
    let patience = app.agent_ttl;
    tasks.spawn(async move {
        systemd_lost(|| systemd.lost_since(), patience).await;
        Task::SystemdLost
    });

    let ended = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Terminate => break Ok(()),
                Signal::Dump => print_dump(&dump),
            },
            Some(task) = tasks.join_next() => break Err(match task {
                Ok(Task::Ended(what)) => Fatal::Ended(what),
                Ok(Task::Agent(_)) => Fatal::Ended("the agent"),
                Ok(Task::SystemdLost) => Fatal::SystemdLost,
                Err(error) => Fatal::Panicked(error),
            }),
        }
    };
    availability.set(false);
    if let Err(fatal) = ended {
        // Units are left alone; engine and agent still give back what they hold, if they can.
        stop.cancel();
        let _ = time::timeout(GRACE, stopped(&mut tasks)).await;
        return Err(fatal);
    }
    info!("Gracefully shutting down");
    notify::stopping();
    stop.cancel();
    tokio::select! {
        done = leave(&mut tasks, app.purge_on_shutdown) => done?,
        () = signals.terminate() => return Err(Fatal::Aborted),
    }
    stop_api.cancel();
    Ok(())
}

/// What the tasks of fleetd give back when they end.
enum Task {
    Ended(&'static str),
    Agent(Box<Agent>),
    SystemdLost,
}

/// Waits for engine and agent to stop, and takes this machine out of the cluster.
async fn leave(tasks: &mut JoinSet<Task>, purge: bool) -> Result<(), Fatal> {
    let agent = time::timeout(GRACE, stopped(tasks)).await.map_err(|_| Fatal::Stuck)?;
    info!("Server monitor triggered: told to shut down");
    if let (Some(mut agent), true) = (agent, purge) {
        agent.purge().await;
    }
    Ok(())
}

/// Waits until the agent has stopped, and the engine with it; the API and the watch over
/// systemd go on.
async fn stopped(tasks: &mut JoinSet<Task>) -> Option<Agent> {
    const LEFT_RUNNING: usize = 2;
    let mut agent = None;
    while tasks.len() > LEFT_RUNNING
        && let Some(task) = tasks.join_next().await
    {
        match task {
            Ok(Task::Agent(stopped)) => agent = Some(*stopped),
            Ok(Task::Ended(what)) => debug!("{what} has stopped"),
            Ok(Task::SystemdLost) => error!("systemd is out of reach"),
            Err(error) => error!(%error, "a component panicked while stopping"),
        }
    }
    agent
}

/// Registers and runs the agent, over and over as etcd comes and goes, until `stop`.
async fn serve_agent(
    mut agent: Agent,
    availability: Availability,
    stop: CancellationToken,
    mut status: Status,
) -> Agent {
    loop {
        info!("Establishing etcd connectivity");
        notify::status("connecting to etcd");
        if agent.register(&stop).await.is_none() {
            return agent;
        }
        info!("Starting server components");
        availability.set(true);
        let ended = tokio::select! {
            ended = agent.run(&stop) => ended,
            () = status.report() => Ended::Stopped,
        };
        availability.set(false);
        match ended {
            Ended::Stopped => return agent,
            Ended::BeatTimedOut => {
                error!("Server monitor triggered: Monitor timed out before successful heartbeat");
                info!("Restarting server");
            }
        }
    }
}

/// Keeps systemd's status line of fleetd up to date.
struct Status {
    engine: Option<EngineHandle>,
}

impl Status {
    /// Never ends.
    async fn report(&mut self) {
        let Some(engine) = &mut self.engine else {
            notify::status("agent only");
            return std::future::pending().await;
        };
        loop {
            match (engine.is_leading(), engine.leader()) {
                (true, _) => notify::status("leading the cluster"),
                (false, Some(leader)) => notify::status(&format!("following {leader}")),
                (false, None) => notify::status("no engine leads"),
            }
            if !engine.changed().await {
                return std::future::pending().await;
            }
        }
    }
}

/// Ends when systemd has been out of reach for longer than `patience` (`fleetd.md` 6).
async fn systemd_lost(lost_since: impl Fn() -> Option<time::Instant>, patience: Duration) {
    loop {
        time::sleep(patience / 10).await;
        if lost_since().is_some_and(|since| since.elapsed() > patience) {
            return;
        }
    }
}

/// Writes the state as one line of JSON to stdout (`fleetd.md` 8.3).
#[expect(clippy::print_stdout, reason = "the dump is what stdout is for")]
fn print_dump(dump: &DumpHandle) {
    info!("Dumping server state");
    println!("{}", dump.state());
    debug!("Finished dumping server state");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_with_systemd_is_as_long_as_the_ttl() {
        let ttl = Duration::from_secs(30);
        let start = time::Instant::now();
        let back_at = start + Duration::from_secs(20);
        let flaky = || {
            let now = time::Instant::now();
            if now < back_at { Some(start) } else { Some(back_at) }
        };
        systemd_lost(flaky, ttl).await;
        let waited = start.elapsed();
        assert!(waited > Duration::from_secs(50) && waited < Duration::from_secs(55), "{waited:?}");
    }
}
