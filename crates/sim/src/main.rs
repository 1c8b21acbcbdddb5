//! Runs seeds of the simulation one after the other, or a large cluster in real time (`scale`).

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use fleet_runtime::exhibits::{self, Exhibit};
use fleet_sim::{
    plan::{Class, Plan, Size},
    run::{Outcome, run},
    scale,
    shrink::shrink,
    sometimes::Rare,
};
use tokio::time::Instant;

/// So many runs must have reached every rare situation.
const LONG: u64 = 1_000;

/// Attempts at making a failing plan shorter.
const ATTEMPTS: usize = 300;

/// Breaks simulated clusters, each as its seed has it, until the time is over or one stays broken.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Line {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    mode: Option<Mode>,
}

/// What else it does.
#[derive(Subcommand)]
enum Mode {
    Scale(scale::Options),
    /// The machine with engine and API of `scale`.
    #[command(hide = true)]
    ScaleControl {
        setup: scale::Setup,
    },
    /// The other machines of `scale`.
    #[command(hide = true)]
    ScaleAgents {
        setup: scale::Setup,
    },
}

#[derive(Args)]
struct Options {
    /// The first seed; each run takes the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, whatever the time.
    #[arg(long)]
    runs: Option<u64>,
    /// For how long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Machines.
    #[arg(long, default_value_t = Size::default().machines)]
    machines: usize,
    /// Units, at most.
    #[arg(long, default_value_t = Size::default().units)]
    units: usize,
    /// Busy times in each run.
    #[arg(long, default_value_t = Size::default().episodes)]
    episodes: usize,
    /// Prints all that happens in each run.
    #[arg(long)]
    trace: bool,
    /// Prints a failing run as it is, without making it shorter.
    #[arg(long)]
    whole: bool,
    /// Brings this fault back, which was mended: it has to be found.
    #[arg(long)]
    exhibit: Option<String>,
    /// Only faults of these classes, as `Store,Freeze`; without it each seed draws its own.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// Goes on after a failure.
    #[arg(long)]
    go_on: bool,
}

fn main() -> ExitCode {
    let Line { options, mode } = Line::parse();
    match mode {
        None => simulate(&options),
        Some(Mode::Scale(options)) => scale::main(&options),
        Some(Mode::ScaleControl { setup }) => scale::control(setup),
        Some(Mode::ScaleAgents { setup }) => scale::agents(setup),
    }
}

fn simulate(options: &Options) -> ExitCode {
    let size =
        Size { machines: options.machines, units: options.units, episodes: options.episodes };
    if let Some(name) = &options.exhibit {
        let found = Exhibit::ALL.into_iter().find(|exhibit| format!("{exhibit:?}") == *name);
        let Some(exhibit) = found else {
            say(&format!("there is no exhibit {name}, but these: {:?}", Exhibit::ALL));
            return ExitCode::FAILURE;
        };
        exhibits::show(Some(exhibit));
    }
    let classes: Vec<Class> = Class::ALL
        .into_iter()
        .filter(|class| options.classes.contains(&format!("{class:?}")))
        .collect();
    if classes.len() != options.classes.len() {
        say(&format!("classes are {:?}", Class::ALL));
        return ExitCode::FAILURE;
    }
    let begun = Instant::now();
    let (mut runs, mut simulated, mut failed) = (0_u64, Duration::ZERO, 0_u64);
    let mut reached = BTreeMap::<Rare, u64>::new();
    loop {
        let is_over = match options.runs {
            Some(most) => runs == most,
            None => begun.elapsed() > Duration::from_secs(options.seconds),
        };
        if is_over {
            break;
        }
        let seed = options.seed + runs;
        let plan = match &classes[..] {
            [] => Plan::of(seed, size),
            classes => Plan::with(seed, size, classes),
        };
        let outcome = run(&plan);
        runs += 1;
        simulated += outcome.time;
        for (rare, times) in &outcome.reached {
            *reached.entry(*rare).or_default() += times;
        }
        if options.trace {
            say(&outcome.lines.join("\n"));
        }
        if !outcome.broken.is_empty() {
            failed += 1;
            say(&format!("seed {seed} is broken:\n  {}", outcome.broken.join("\n  ")));
            if !options.go_on {
                report(&plan, outcome, options.whole);
                break;
            }
        }
    }
    let real = begun.elapsed().as_secs_f64();
    let rate = simulated.as_secs_f64() / real;
    say(&format!(
        "{runs} runs from seed {}, {failed} broken; {:.1} hours simulated, {rate:.0} seconds in each second",
        options.seed,
        simulated.as_secs_f64() / 3600.0
    ));
    let mut never = Vec::new();
    for rare in Rare::ALL {
        let times = reached.get(&rare).copied().unwrap_or_default();
        say(&format!("  {times:>8}  {rare:?}"));
        if times == 0 {
            never.push(rare);
        }
    }
    let is_lacking = runs >= LONG && !never.is_empty() && classes.is_empty();
    if is_lacking {
        say(&format!("never reached: {never:?}"));
    }
    if failed == 0 && !is_lacking { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows a failing run, made as short as it goes.
fn report(plan: &Plan, outcome: Outcome, whole: bool) {
    let (plan, outcome) = if whole {
        (plan.clone(), outcome)
    } else {
        let shorter = shrink(plan, ATTEMPTS, |plan| !run(plan).broken.is_empty());
        let outcome = run(&shorter);
        (shorter, outcome)
    };
    say(&format!("seed {}, {} steps:", plan.seed, plan.len()));
    for (number, episode) in plan.episodes.iter().enumerate() {
        for step in episode {
            say(&format!("  episode {number}, {:>6} ms: {:?}", step.at, step.what));
        }
    }
    say(&outcome.lines.join("\n"));
    say(&format!("broken:\n  {}", outcome.broken.join("\n  ")));
}

fn say(text: &str) {
    // Nobody may read it any more.
    let _ = writeln!(io::stdout(), "{text}");
}
