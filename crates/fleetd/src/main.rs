//! The fleet daemon: engine, agent and API of one machine (`fleetd.md`).

mod address;
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
mod source;
mod supervise;

use std::process::ExitCode;

use app::App;
use args::{Args, Invocation};
use logging::Verbosity;
use signals::Signals;
use source::Source;
use supervise::Supervisor;
use tracing::{error, info};

/// The version as shown everywhere.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "there is no log yet")]
fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "fleetd".to_owned());
    match args::parse(&program, words) {
        Ok(Invocation::Version) => println!("fleetd version {VERSION}"),
        Ok(Invocation::Help) => eprint!("{}", args::usage(&program)),
        Ok(Invocation::Run(args)) => return daemon(args),
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
fn daemon(args: Args) -> ExitCode {
    let verbosity = logging::start(logging::in_journal(environment("JOURNAL_STREAM").as_deref()));
    info!("Starting fleetd version {VERSION}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(serve(args, verbosity)),
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

async fn serve(args: Args, verbosity: Verbosity) -> Result<(), String> {
    let signals = Signals::listen().map_err(|error| format!("no signal handlers: {error}"))?;
    let source = Source::new(args, environment);
    let config = source.read().map_err(|error| error.to_string())?;
    verbosity.set(config.debug);
    let app = App::build(config, source.keeping(), environment)
        .await
        .map_err(|error| format!("Failed creating Server: {error}"))?;
    let (supervisor, parts) = Supervisor::new(app, source, verbosity, signals);
    supervisor.run(parts).await.map_err(|error| error.to_string())
}
