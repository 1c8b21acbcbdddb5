//! Carries out a plan, and judges what comes of it.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    checks,
    faults::{self, Breaker},
    fleetd,
    plan::{Kind, Plan, Step, What},
    rest,
    sometimes::Rare,
    users::Users,
    world::World,
};

/// How long everything may take to come to rest.
const REST: Duration = Duration::from_secs(150);
/// For how long nothing may happen once it has.
const QUIET: Duration = Duration::from_secs(20);
/// How many looks in a row must find nothing wrong: how a start went is settled within a second.
const SETTLED: u32 = 4;
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(500);
/// The tasks that a machine may have when nothing happens.
const TASKS: usize = 20;
/// The signals that may wait for a fleetd.
const SIGNALS: usize = 16;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was broken; empty when nothing was.
    pub broken: Vec<String>,
    /// Rare situations that were reached.
    pub reached: BTreeMap<Rare, u64>,
    /// What happened.
    pub lines: Vec<String>,
    /// A number that two runs share only if the same happened in them.
    pub fingerprint: (u64, u64),
    /// The time that passed in it.
    pub time: Duration,
}

/// Carries out a plan.
///
/// # Panics
/// There is no room for its files.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    let world = runtime.block_on(async { World::new(plan.seed, plan.machines, directory.path()) });
    let playing = world.play();
    let begun = runtime.block_on(async { Instant::now() });
    let done = panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(carry_out(&world, plan));
    }));
    if let Err(panic) = done {
        world.is_broken(format!("the run panicked: {}", words(&*panic)));
    }
    world.end();
    let time = runtime.block_on(async { begun.elapsed() });
    drop(runtime);
    drop(playing);
    Outcome {
        broken: world.broken(),
        reached: world.sometimes.counts(),
        lines: world.trace.lines(),
        fingerprint: world.trace.fingerprint(),
        time,
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

async fn carry_out(world: &World, plan: &Plan) {
    let mut lives = JoinSet::new();
    let mut signals = Vec::new();
    for machine in &world.machines {
        let (sender, receiver) = mpsc::channel(SIGNALS);
        signals.push(sender);
        machine.power.set(true);
        lives.spawn(fleetd::live(world.clone(), machine.clone(), receiver));
    }
    lives.spawn(checks::go_on(world.clone()));
    let breaker = Breaker::new(world.clone(), signals);
    let units = (0..=largest(plan)).map(|unit| Kind::of(unit).name(unit));
    let users = Users::new(world.clone(), units);
    for episode in &plan.episodes {
        busy(world, episode, &users, &breaker).await;
        if world.has_broken() || !comes_to_rest(world, &users).await {
            break;
        }
    }
    lives.shutdown().await;
}

/// The largest number of a unit.
fn largest(plan: &Plan) -> usize {
    let number = |step: &Step| match &step.what {
        What::Use(operation, _) => {
            let name = operation.unit()?;
            name.as_str().trim_end_matches(".service").rsplit('-').next()?.parse().ok()
        }
        What::Break(_) => None,
    };
    plan.episodes.iter().flatten().filter_map(number).max().unwrap_or(0)
}

/// Does what the plan has for an episode, and waits until users have their answers.
async fn busy(world: &World, steps: &[Step], users: &Users, breaker: &Breaker) {
    let begun = Instant::now();
    let (mut using, mut breaking) = (JoinSet::new(), JoinSet::new());
    for step in steps {
        time::sleep_until(begun + Duration::from_millis(step.at)).await;
        if world.has_broken() {
            return;
        }
        match &step.what {
            What::Use(operation, via) => {
                using.spawn(users.clone().carry_out(operation.clone(), *via));
            }
            What::Break(fault) => {
                breaking.spawn(breaker.clone().bring_about(fault.clone()));
            }
        }
    }
    while using.join_next().await.is_some() {}
    breaking.shutdown().await;
    faults::heal(world);
}

/// Waits until everything is as it should be, and then sees that nothing happens any more.
async fn comes_to_rest(world: &World, users: &Users) -> bool {
    let begun = Instant::now();
    let mut settled = 0;
    while settled < SETTLED {
        time::sleep(LOOK).await;
        if world.has_broken() {
            return false;
        }
        let looked = rest::what_is_wrong(world).await;
        settled = if looked.is_empty() { settled + 1 } else { 0 };
        if begun.elapsed() > REST {
            for what in looked {
                world.is_broken(format!("{what} {}", checks::since(begun)));
            }
            return false;
        }
    }
    users.compare_all().await;
    users.ask_why().await;
    world.trace.note("**", format_args!("at rest {}", checks::since(begun)));
    let before = world.store.revision();
    time::sleep(QUIET).await;
    for what in rest::what_changed(world, before) {
        world.is_broken(format!("{what}, though nothing happens"));
    }
    let tasks = Handle::current().metrics().num_alive_tasks();
    world.trace.note("**", format_args!("{tasks} tasks"));
    if tasks > TASKS * world.machines.len() {
        world.is_broken(format!("{tasks} tasks are under way, though nothing happens"));
    }
    !world.has_broken()
}
