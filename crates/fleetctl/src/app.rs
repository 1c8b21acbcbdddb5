//! From the words to the command that they call.

use std::{ffi::OsString, sync::Arc};

use clap::ArgMatches;
use tokio::runtime;

use crate::{
    args::{self, Invocation},
    cluster::{
        connect::connect,
        nobody::{self, RecordingDial},
        session::Session,
    },
    commands::{self, Verb, help},
    config::{Config, Environment},
    error::CliError,
    log,
    ssh::Ssh,
    ui::Ui,
};

/// Does what `words` say.
pub(crate) fn run(
    words: Vec<OsString>,
    environment: &Environment<'_>,
    ui: &Ui,
) -> Result<(), CliError> {
    match args::read(words)? {
        Invocation::Help(Some(verb)) => ui.text(&help::of(&verb.command())),
        Invocation::Help(None) => ui.text(&overview()),
        Invocation::HelpOfUnknown(word) => {
            ui.text(&overview())?;
            Err(CliError::Failed(format!("Unknown help topic [`{word}`].")))
        }
        Invocation::Version => commands::version::run(ui),
        Invocation::Run(verb, matches) => {
            let config = Config::new(&matches, environment)?;
            if config.version {
                return commands::version::run(ui);
            }
            command(verb, &matches, &config, ui)
        }
    }
}

fn overview() -> String {
    help::overview(&Verb::ALL.map(Verb::command))
}

/// Runs a command that needs a cluster.
async fn on_cluster(
    verb: Verb,
    matches: &ArgMatches,
    config: &Config,
    ui: &Ui,
) -> Result<(), CliError> {
    let ssh = Ssh::new(config.ssh.clone());
    let dial = Arc::new(RecordingDial::default());
    let work = async {
        let api = connect(config, &ssh, ui, &dial).await?;
        let session = Session::new(&api, ui, &ssh).driving(nobody::manager(config));
        commands::run(verb, matches, &session).await
    };
    let result = if ssh.has_tunnel() || verb.uses_ssh() {
        let result = ssh.interruptible(work).await;
        ssh.close().await;
        result
    } else {
        work.await
    };
    result.map_err(|error| {
        let hint = dial.has_failed().then(|| nobody::hint(config)).flatten();
        hinted(error, hint, ui)
    })
}

/// `error` with a hint below, which is said at once where the failure has been.
fn hinted(error: CliError, hint: Option<String>, ui: &Ui) -> CliError {
    match (error, hint) {
        (CliError::Failed(text), Some(hint)) => CliError::Failed(format!("{text}\n{hint}")),
        (error @ (CliError::Reported | CliError::Ended(_)), Some(hint)) => {
            ui.err(hint);
            error
        }
        (error, _) => error,
    }
}

/// Runs a command to its end, on this thread.
fn command(verb: Verb, matches: &ArgMatches, config: &Config, ui: &Ui) -> Result<(), CliError> {
    log::start(config.debug);
    commands::refuse_given_up(matches)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("Unable to initialize client: {error}")))?;
    let result = runtime.block_on(async {
        match verb {
            Verb::Verify => commands::verify::run(),
            Verb::FdForward => commands::fd_forward::run(matches).await,
            verb => on_cluster(verb, matches, config, ui).await,
        }
    });
    // A name that is still being looked up, or a stdin that nobody ends, holds nobody up.
    runtime.shutdown_background();
    result
}
