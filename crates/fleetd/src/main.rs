//! The fleet daemon: engine, agent and API of one machine (`fleetd.md`).

mod alone;
mod app;
mod args;
mod config;
mod dev;
mod identity;
mod listen;
mod logging;
mod metrics;
mod notify;
mod signals;
mod supervise;

use std::process::ExitCode;

use app::{App, Keeping};
use args::{Args, Invocation};
use config::{Config, Layers};
use logging::Verbosity;
use signals::Signals;
use tracing::{error, info, warn};

/// The version as shown everywhere.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "there is no log yet")]
fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "fleetd".to_owned());
    match args::parse(&program, words) {
        Ok(Invocation::Version) => println!("fleetd version {VERSION}"),
        Ok(Invocation::Help) => eprint!("{}", args::usage(&program)),
        Ok(Invocation::Run(args)) => return daemon(&args),
        Err(error) => {
            eprint!("{error}\n{}", args::usage(&program));
            return ExitCode::from(error.exit_code());
        }
    }
    ExitCode::SUCCESS
}

fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Runs the daemon; what ends it is logged at FATAL.
fn daemon(args: &Args) -> ExitCode {
    let verbosity = logging::start(environment("JOURNAL_STREAM").is_some());
    info!("Starting fleetd version {VERSION}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(serve(args, &verbosity)),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            error!(target: logging::FATAL, "{fatal}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args, verbosity: &Verbosity) -> Result<(), String> {
    let signals = Signals::listen().map_err(|error| format!("no signal handlers: {error}"))?;
    let (config, keeping) = if args.dev {
        (dev::config(&environment).map_err(|error| error.to_string())?, Keeping::Memory)
    } else {
        (configure(args, verbosity)?, Keeping::Etcd)
    };
    verbosity.set(config.debug);
    let app = App::build(config, keeping, environment)
        .await
        .map_err(|error| format!("Failed creating Server: {error}"))?;
    supervise::run(app, signals).await.map_err(|error| error.to_string())
}

/// Reads the configuration and says what is odd about it.
fn configure(args: &Args, verbosity: &Verbosity) -> Result<Config, String> {
    let layers: Layers =
        config::load(args.config.as_deref(), environment).map_err(|error| error.to_string())?;
    info!("{}", layers.source);
    let (config, warnings) = config::build(&layers).map_err(|error| error.to_string())?;
    verbosity.set(config.debug);
    for warning in warnings {
        warn!("{warning}");
    }
    for line in config::deprecations(&layers).map_err(|error| error.to_string())? {
        error!("{line}");
    }
    Ok(config)
}
