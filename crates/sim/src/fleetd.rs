//! The fleetd of a machine, life after life, as its supervisor and systemd keep it running.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use fleet_agent::{Agent, Ended};
use fleet_api::{Api, Availability, Limits};
use fleet_core::VERSION;
use fleet_engine::{Engine, Explainer};
use fleet_registry::{Contact, Keys, MachineRecord, Presence, Registry};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    driver::Driver,
    life::Life,
    line::Line,
    machine::{Machine, Systemd},
    sometimes::Rare,
    world::{PREFIX, World},
};

/// `agent_ttl`.
pub const TTL: Duration = Duration::from_secs(10);
/// The lease that a fleetd asks for with it.
const LEASE: Duration = Duration::from_secs(9);
/// `engine_reconcile_interval`.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long the API stays available while the machine's presence is taken over at a reload.
const GAP: Duration = Duration::from_secs(1);
/// When systemd starts a fleetd again that has ended, in milliseconds.
const RESTARTS: (u64, u64) = (50, 3_000);

/// What a fleetd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// HUP: it reads its configuration again.
    Reload,
    /// TERM: it ends, and takes its machine out of the cluster first if that is configured.
    Terminate {
        /// Whether it is (`purge_on_shutdown`).
        purge: bool,
    },
}

/// What a part of it was.
enum Part {
    Engine,
    Agent(Box<Agent>),
    SystemdLost,
}

/// What outlives a reload.
#[derive(Default)]
struct Held {
    presence: Option<Presence>,
    contact: Option<Contact>,
}

struct Process {
    tasks: JoinSet<Part>,
    stop: CancellationToken,
    availability: Availability,
}

/// How a life ended by itself.
enum End {
    Killed,
    Terminated,
    Failed,
}

/// Keeps a fleetd running for as long as the run lasts.
pub async fn live(world: World, machine: Arc<Machine>, mut signals: mpsc::Receiver<Signal>) {
    loop {
        machine.power.wait_until(|power| power).await;
        let life = machine.begin_life();
        world.trace.note(&*machine, "fleetd begins");
        let end = tokio::select! {
            biased;
            () = life.over() => End::Killed,
            end = one_life(&world, &machine, &life, &mut signals) => end,
        };
        life.end();
        machine.set_api(None);
        machine.is_troubled();
        let how = match end {
            End::Killed => "is dead",
            End::Terminated => "has ended",
            End::Failed => "has failed",
        };
        world.trace.note(&*machine, format_args!("fleetd {how}"));
        time::sleep(world.pause(RESTARTS.0, RESTARTS.1)).await;
        while signals.try_recv().is_ok() {}
    }
}

async fn one_life(
    world: &World,
    machine: &Arc<Machine>,
    life: &Arc<Life>,
    signals: &mut mpsc::Receiver<Signal>,
) -> End {
    let mut held = Held::default();
    loop {
        let mut process = Process::start(world, machine, life, held);
        let signal = tokio::select! {
            biased;
            signal = signals.recv() => signal,
            ended = process.tasks.join_next() => {
                match ended {
                    Some(Ok(Part::SystemdLost)) => {
                        if let Some(agent) = process.stopped(world, machine).await {
                            life.embody(agent.leave()).await;
                        }
                    }
                    Some(Ok(_)) => world.is_broken(format!("a part of {machine} ended by itself")),
                    Some(Err(error)) if error.is_panic() => {
                        world.is_broken(format!("a part of {machine} panicked: {error}"));
                    }
                    _ => {}
                }
                return End::Failed;
            }
        };
        let Some(signal) = signal else { return std::future::pending().await };
        world.trace.note(&**machine, format_args!("is told: {signal:?}"));
        machine.is_troubled();
        match signal {
            Signal::Reload => {
                let agent = process.stopped(world, machine).await;
                held = agent
                    .map(|agent| Held {
                        presence: agent.presence().current.borrow().clone(),
                        contact: *agent.presence().contact.borrow(),
                    })
                    .unwrap_or_default();
            }
            Signal::Terminate { purge } => {
                process.availability.set(false);
                if purge {
                    machine.begin_purge();
                    world.truth().purges(&machine.id);
                }
                let agent = process.stopped(world, machine).await;
                if let (Some(mut agent), true) = (agent, purge) {
                    world.sometimes.reached(Rare::Purge);
                    let had_presence = world.truth().presence(&machine.id).is_some();
                    let watched = async {
                        loop {
                            time::sleep(Duration::from_millis(500)).await;
                            if had_presence && world.truth().presence(&machine.id).is_none() {
                                world.sometimes.reached(Rare::LeaseEndsDuringPurge);
                                return std::future::pending().await;
                            }
                        }
                    };
                    tokio::select! {
                        biased;
                        left = life.embody(agent.purge()) => {
                            world.trace.note(&**machine, format_args!("purged, left: {left:?}"));
                        }
                        () = watched => {}
                    }
                }
                return End::Terminated;
            }
        }
    }
}

impl Process {
    fn start(world: &World, machine: &Arc<Machine>, life: &Arc<Life>, held: Held) -> Self {
        machine.begins();
        let line = Line::new(world.clone(), Arc::clone(machine), Arc::clone(life));
        let keys = Keys::new(PREFIX).unwrap_or_else(|_| unreachable!("this is a prefix"));
        let registry = Registry::new(Arc::new(line), keys);
        let driver = Driver::new(world.clone(), Arc::clone(machine), Arc::clone(life));
        let record = MachineRecord {
            boot_id: machine.boot_id(),
            public_ip: format!("198.18.0.{}", machine.number + 11),
            metadata: machine.configured(),
            version: VERSION.to_owned(),
            ..MachineRecord::default()
        };
        let agent = fleet_agent::Config {
            machine: machine.id.clone(),
            record,
            address: None,
            presence: held.presence,
            contact: held.contact,
            ttl: LEASE,
            interval: INTERVAL,
            runtime_dir: machine.directory().to_owned(),
            disable_watches: false,
        };
        let agent = Agent::new(registry.clone(), Arc::new(driver), agent);
        let engine = fleet_engine::Config {
            machine: machine.id.clone(),
            interval: INTERVAL,
            agent_ttl: TTL,
            contact: agent.presence().contact,
            disable_watches: false,
            metrics: fleet_engine::SharedMetrics::default(),
        };
        let engine = Engine::new(registry.clone(), engine);
        let availability = Availability::new();
        let settings = fleet_api::Settings {
            version: VERSION.to_owned(),
            token_limit: NonZeroU16::new(100).unwrap_or(NonZeroU16::MIN),
            limits: Limits::default(),
            hosts: Vec::new(),
        };
        let api = Api::new(registry.clone(), availability.clone(), settings)
            .with_explain(Arc::new(Explainer::new(registry, Some(engine.handle()))));
        machine.set_api(Some(Arc::new(api)));
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (body, token) = (Arc::clone(life), stop.clone());
        tasks.spawn(async move {
            body.embody(engine.run(token)).await;
            Part::Engine
        });
        let (body, token, available) = (Arc::clone(life), stop.clone(), availability.clone());
        tasks.spawn(async move {
            Part::Agent(Box::new(body.embody(serve_agent(agent, available, token)).await))
        });
        let (body, host, token) = (Arc::clone(life), Arc::clone(machine), stop.clone());
        tasks.spawn(async move {
            let lost = body.embody(systemd_is_lost(host));
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = lost => {}
            }
            Part::SystemdLost
        });
        Self { tasks, stop, availability }
    }

    /// Stops the parts; returns the agent.
    async fn stopped(mut self, world: &World, machine: &Machine) -> Option<Agent> {
        self.stop.cancel();
        let mut agent = None;
        while let Some(part) = self.tasks.join_next().await {
            match part {
                Ok(Part::Agent(stopped)) => agent = Some(*stopped),
                Ok(_) => {}
                Err(error) => {
                    world.is_broken(format!("a part of {machine} panicked stopping: {error}"));
                }
            }
        }
        agent
    }
}

/// Registers and runs the agent, over and over as the store comes and goes, until `stop`.
pub(crate) async fn serve_agent(
    mut agent: Agent,
    availability: Availability,
    stop: CancellationToken,
) -> Agent {
    loop {
        let is_present = {
            let mut registering = std::pin::pin!(agent.register(&stop));
            match time::timeout(GAP, &mut registering).await {
                Ok(presence) => presence.is_some(),
                Err(_) => {
                    availability.set(false);
                    registering.await.is_some()
                }
            }
        };
        if !is_present {
            return agent;
        }
        availability.set(true);
        match agent.run(&stop).await {
            Ended::Stopped => return agent,
            Ended::BeatTimedOut => availability.set(false),
        }
    }
}

/// Ends when systemd has been out of reach for longer than `agent_ttl`.
async fn systemd_is_lost(machine: Arc<Machine>) {
    let mut since = None::<Instant>;
    loop {
        time::sleep(TTL / 10).await;
        since = (machine.systemd() == Systemd::Gone).then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() > TTL) {
            return;
        }
    }
}
