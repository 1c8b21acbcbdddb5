//! What a process of a run is, seen from inside: it answers what it is asked on its input, line by
//! line, and ends with it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    num::NonZeroU16,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use fleet_agent::fake::FakeManager;
use fleet_api::{Api, Availability, Limits, Listener, Settings, serve};
use fleet_core::VERSION;
use fleet_engine::{Engine, Explainer, SharedMetrics};
use serde_json::{Value, json};
use tokio::{net::UnixListener, runtime::Runtime, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    host::{self, Host},
    role::{Ask, Setup, Told},
};

/// The engine's default interval.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// For how long the connection for users is kept when nobody uses it, as fleetd does.
const USERS_IDLE: Duration = Duration::from_secs(60);

/// Questions that wait.
const QUESTIONS: usize = 16;

/// The machines without an engine.
struct Agents {
    setup: Setup,
    hosts: BTreeMap<usize, Host>,
    boots: usize,
}

impl Agents {
    fn answer(&mut self, ask: Ask) -> Result<Value, String> {
        match ask {
            Ask::Start(machines) => {
                self.boots += 1;
                for number in machines {
                    let host = Host::start(&self.setup, number, self.boots);
                    self.hosts.insert(number, host.map_err(|error| error.to_string())?);
                }
                Ok(Value::Null)
            }
            Ask::Kill(machines) => {
                for number in machines {
                    self.hosts.remove(&number);
                }
                Ok(Value::Null)
            }
            Ask::Told => {
                let mut hosts = self.hosts.iter_mut();
                let ended = hosts.find_map(|(number, host)| (!host.is_alive()).then_some(number));
                if let Some(number) = ended {
                    return Err(format!("the agent of machine {number} has ended"));
                }
                let told = self.hosts.values_mut().map(Host::told);
                let sum = told.fold(Told::default(), |sum, told| Told {
                    starts: sum.starts + told.starts,
                    stops: sum.stops + told.stops,
                });
                Ok(json!(sum))
            }
            Ask::InTouch => {
                Ok(json!(self.hosts.values().filter(|host| host.is_in_touch()).count()))
            }
            Ask::Running => {
                let of = |(number, host): (&usize, &Host)| {
                    let number = *number;
                    host.running().map(move |unit| (unit.to_string(), number)).collect::<Vec<_>>()
                };
                Ok(json!(self.hosts.iter().flat_map(of).collect::<Vec<_>>()))
            }
        }
    }
}

/// Runs the machines that have no engine.
#[must_use]
pub fn agents(setup: Setup) -> ExitCode {
    run(async |asked| {
        let agents = Agents { setup, hosts: BTreeMap::new(), boots: 0 };
        answer_all(asked, agents).await
    })
}

/// Runs a whole fleetd: engine, API, and an agent like the others.
#[must_use]
pub fn control(setup: Setup) -> ExitCode {
    run(async |asked| {
        let number = setup.leader;
        let machine = setup.workload().machine(number);
        let orders = host::store(&setup.endpoint).map_err(|error| error.to_string())?;
        let users = host::registry(orders.lane(USERS_IDLE));
        let orders = host::registry(orders);
        let units = Arc::new(FakeManager::new());
        let agent =
            host::agent(&setup, &machine, number, 1, true, orders.clone(), Arc::clone(&units));
        let engine = fleet_engine::Config {
            machine: machine.id,
            interval: INTERVAL,
            agent_ttl: setup.agent_ttl(),
            contact: agent.presence().contact,
            disable_watches: false,
            metrics: SharedMetrics::default(),
        };
        let engine = Engine::new(orders, engine);
        let availability = Availability::new();
        let settings = Settings {
            version: VERSION.to_owned(),
            token_limit: NonZeroU16::new(100).unwrap_or(NonZeroU16::MIN),
            limits: Limits::default(),
            hosts: Vec::new(),
        };
        let explainer = Explainer::new(users.clone(), Some(engine.handle()));
        let api = Api::new(users, availability.clone(), settings).with_explain(Arc::new(explainer));
        let listener = UnixListener::bind(setup.socket()).map_err(|error| error.to_string())?;
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(serve(vec![Listener::from(listener)], Arc::new(api), stop.clone()));
        tasks.spawn(async move { engine.run(stop).await });
        let hosts = [(number, Host::of(units, agent, availability))].into();
        let agents = Agents { setup, hosts, boots: 1 };
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => Err("the engine or the API has ended".to_owned()),
            result = answer_all(asked, agents) => result,
        }
    })
}

/// Answers until nobody asks any more.
async fn answer_all(mut asked: mpsc::Receiver<Ask>, mut agents: Agents) -> Result<(), String> {
    while let Some(ask) = asked.recv().await {
        let answer = agents.answer(ask)?;
        writeln!(io::stdout(), "{answer}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn run(work: impl AsyncFnOnce(mpsc::Receiver<Ask>) -> Result<(), String>) -> ExitCode {
    let (questions, asked) = mpsc::channel(QUESTIONS);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(ask) = serde_json::from_str(&line) else { return };
            if questions.blocking_send(ask).is_err() {
                return;
            }
        }
    });
    let result = match Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(work(asked));
            // Some thousand agents take a while to be dropped, and nobody waits for it.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
