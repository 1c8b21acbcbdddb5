//! What a reload replaces: the agent, the engine, and the watch over systemd's bus.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use fleet_agent::{Agent, Ended};
use fleet_api::Availability;
use fleet_engine::EngineHandle;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Fatal;
use crate::{
    app::{Base, Parts},
    notify, upkeep,
};

/// How long the API stays available while the machine's presence is taken over at a reload.
const GAP: Duration = Duration::from_secs(1);

/// What a part gives back when it ends.
pub(super) enum Part {
    Engine,
    Agent(Box<Agent>),
    /// What looks after etcd.
    Upkeep,
    /// Systemd is out of reach (`lost`), or no longer watched.
    Systemd {
        lost: bool,
    },
}

impl Part {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Engine => "the engine",
            Self::Agent(_) => "the agent",
            Self::Upkeep => "the upkeep of etcd",
            Self::Systemd { .. } => "the watch over systemd",
        }
    }

    /// Why fleetd ends when this part has ended by itself.
    pub(super) fn into_fatal(self) -> Fatal {
        match self {
            Self::Systemd { lost: true } => Fatal::SystemdLost,
            part => Fatal::Ended(part.name()),
        }
    }
}

/// Starts the parts, which run until `stop`.
pub(super) fn start(
    parts: Parts,
    base: &Base,
    agent_ttl: Duration,
    stop: &CancellationToken,
) -> JoinSet<Part> {
    let Parts { agent, engine, upkeep, .. } = parts;
    let mut tasks = JoinSet::new();
    let status = Status { engine: engine.as_ref().map(fleet_engine::Engine::handle) };
    if let (Some((etcd, size)), Some(engine)) = (upkeep, status.engine.clone()) {
        let stopping = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = upkeep::look_after(&etcd, engine, size) => {}
            }
            Part::Upkeep
        });
    }
    if let Some(engine) = engine {
        let stop = stop.clone();
        tasks.spawn(async move {
            engine.run(stop).await;
            Part::Engine
        });
    } else {
        info!("Not starting engine; disable-engine is set");
    }
    let (availability, stopping) = (base.availability.clone(), stop.clone());
    tasks.spawn(async move {
        Part::Agent(Box::new(serve_agent(agent, availability, stopping, status).await))
    });
    let (lost_since, stopping) = (Arc::clone(&base.systemd.lost_since), stop.clone());
    tasks.spawn(async move {
        let lost = tokio::select! {
            () = stopping.cancelled() => false,
            () = systemd_lost(|| lost_since(), agent_ttl) => true,
        };
        Part::Systemd { lost }
    });
    tasks
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
        if !register(&mut agent, &availability, &stop).await {
            return agent;
        }
        info!("Starting server components");
        availability.set(true);
        let ended = tokio::select! {
            ended = agent.run(&stop) => ended,
            () = status.report() => Ended::Stopped,
        };
        match ended {
            Ended::Stopped => return agent,
            Ended::BeatTimedOut => {
                availability.set(false);
                error!("Server monitor triggered: Monitor timed out before successful heartbeat");
                info!("Restarting server");
            }
        }
    }
}

/// Makes the machine present; false when stopped first. The API stays as available as it is for
/// as long as a beat may take, so that nobody notices a reload. What stands in the way is told.
async fn register(
    agent: &mut Agent,
    availability: &Availability,
    stop: &CancellationToken,
) -> bool {
    let obstacle = agent.presence().obstacle;
    let registering = async {
        tokio::select! {
            presence = agent.register(stop) => presence,
            never = report_obstacles(obstacle) => match never {},
        }
    };
    let mut registering = pin!(registering);
    let presence = match time::timeout(GAP, &mut registering).await {
        Ok(presence) => presence,
        Err(_) => {
            availability.set(false);
            registering.await
        }
    };
    presence.is_some()
}

/// Tells systemd why the machine isn't registered, as that changes.
async fn report_obstacles(mut obstacle: watch::Receiver<Option<String>>) -> Infallible {
    while obstacle.changed().await.is_ok() {
        let text = obstacle.borrow_and_update().clone();
        if let Some(text) = text {
            notify::status(&format!("not registered yet: {text}"));
        }
    }
    std::future::pending().await
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
async fn systemd_lost(lost_since: impl Fn() -> Option<Instant>, patience: Duration) {
    loop {
        let end = lost_since().map(|since| since + patience);
        match end {
            Some(end) if Instant::now() >= end => return,
            Some(end) => time::sleep_until(end).await,
            // Soon enough to see it end in time, whenever it begins.
            None => time::sleep(patience / 2).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_with_systemd_is_as_long_as_the_ttl() {
        let ttl = Duration::from_secs(30);
        let start = Instant::now();
        let back_at = start + Duration::from_secs(20);
        let flaky = || {
            let now = Instant::now();
            if now < back_at { Some(start) } else { Some(back_at) }
        };
        systemd_lost(flaky, ttl).await;
        let waited = start.elapsed();
        assert!(
            waited >= Duration::from_secs(50) && waited < Duration::from_secs(51),
            "{waited:?}"
        );
    }
}
