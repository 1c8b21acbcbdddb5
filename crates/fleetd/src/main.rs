//! The fleet daemon: engine, agent and API of one machine (`fleetd.md`).

mod address;
mod app;
mod args;
mod config;
mod dev;
mod early;
mod identity;
mod instance_lock;
mod listen;
mod logging;
mod metrics;
mod notify;
mod signals;
mod source;
mod supervise;
mod upkeep;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use app::App;
use args::{Args, Invocation};
use config::Config;
use early::Starts;
use fleet_core::error_text::plain;
use logging::{Queue, Verbosity};
use signals::{Signal, Signals};
use source::Source;
use supervise::Supervisor;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{error, info};

/// The version as shown everywhere.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// The threads of the API at most: what it does is short, and waits for etcd.
const API_THREADS: usize = 4;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "fleetd".to_owned());
    match args::parse(&program, words) {
        Ok(Invocation::Version) => print_version(),
        Ok(Invocation::Help) => {
            complain(&args::usage(&program));
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(args)) => daemon(args),
        Err(error) => {
            complain(&format!("{error}\n{}", args::usage(&program)));
            ExitCode::from(error.exit_code())
        }
    }
}

fn print_version() -> ExitCode {
    match writeln!(io::stdout(), "fleetd version {VERSION}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("write version: {}\n", plain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Writes to stderr: there is no log yet, and nobody left to tell when that fails.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Runs the daemon; what ends it is logged at FATAL.
fn daemon(args: Args) -> ExitCode {
    let in_journal = logging::in_journal(environment("JOURNAL_STREAM").as_deref());
    let (verbosity, log) = logging::start(in_journal);
    info!("Starting fleetd version {VERSION}");
    let result = match runtimes() {
        Ok((orders, users)) => {
            let served = orders.block_on(serve(args, verbosity, log.clone(), users.handle()));
            users.shutdown_background();
            served
        }
        Err(error) => Err(format!("no runtime: {error}")),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            error!(target: logging::FATAL, "{fatal}");
            ExitCode::FAILURE
        }
    };
    log.flush(logging::LAST_WORDS);
    code
}

/// Where fleetd runs: one thread for what the machine lives by, and others for the API, which sleep
/// while nobody asks. So no list that a user wants holds up a beat, and a quiet fleetd is woken once for
/// each thing that happens.
fn runtimes() -> io::Result<(Runtime, Runtime)> {
    let orders = Builder::new_current_thread().enable_all().build()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(API_THREADS);
    let users = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("api")
        .enable_all()
        .build()?;
    Ok((orders, users))
}

async fn serve(args: Args, verbosity: Verbosity, log: Queue, users: &Handle) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|error| format!("no signal handlers: {error}"))?;
    let starts = Starts::new(environment);
    tokio::select! {
        () = starts.begin() => {}
        () = signals.terminate() => {
            info!("Gracefully shutting down");
            return Ok(());
        }
    }
    let served = tokio::select! {
        served = serve_from_now(args, verbosity, signals, log, users) => served,
        never = starts.last() => match never {},
    };
    if served.is_ok() {
        starts.forget();
    }
    served
}

async fn serve_from_now(
    args: Args,
    verbosity: Verbosity,
    mut signals: Signals,
    log: Queue,
    users: &Handle,
) -> Result<(), String> {
    let source = Source::new(args, environment as fn(&str) -> Option<String>);
    let config = source.read().map_err(|error| error.to_string())?;
    let Some(app) = build(&source, config, &mut signals, &verbosity, &log).await? else {
        return Ok(());
    };
    let (supervisor, parts) = Supervisor::new(app, source, verbosity, signals, users);
    supervisor.run(parts).await.map_err(|error| error.to_string())
}

/// Builds what `config` describes, which may take as long as systemd doesn't answer. `None` when
/// told to stop meanwhile; told to reload, it begins again.
async fn build(
    source: &Source<fn(&str) -> Option<String>>,
    mut config: Config,
    signals: &mut Signals,
    verbosity: &Verbosity,
    log: &Queue,
) -> Result<Option<App>, String> {
    loop {
        verbosity.set(config.debug);
        let signal = tokio::select! {
            built = App::build(config.clone(), source.backend(), environment, log.clone()) => {
                return built.map(Some).map_err(|error| format!("Failed creating Server: {error}"));
            }
            signal = signals.stop_or_reload() => signal,
        };
        if signal == Signal::Terminate {
            info!("Gracefully shutting down");
            return Ok(None);
        }
        match source.read_again(None) {
            Ok(new) => config = new,
            Err(error) => kept(&error.to_string()),
        }
    }
}

/// Says that a reload came to nothing.
fn kept(error: &str) {
    error!("Reloading configuration failed, keeping the old one: {error}");
}
