//! One file a command: what clap has to know of it, and what it does.

use clap::{ArgMatches, parser::ValueSource};

use crate::{cluster::session::Session, error::CliError, flags};

pub(crate) mod cat;
pub(crate) mod destroy;
pub(crate) mod fd_forward;
pub(crate) mod help;
pub(crate) mod journal;
pub(crate) mod list_machines;
pub(crate) mod list_unit_files;
pub(crate) mod list_units;
pub(crate) mod load;
pub(crate) mod restart;
pub(crate) mod ssh;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod submit;
pub(crate) mod unload;
mod verb;
pub(crate) mod verify;
pub(crate) mod version;

pub(crate) use verb::Verb;

/// What is said to whoever asks for signatures of units.
pub(crate) const NO_SIGNATURES: &str =
    "WARNING: The signed/verified units feature is DEPRECATED and cannot be used.";

/// Runs a command that needs a cluster.
pub(crate) async fn run(
    verb: Verb,
    matches: &ArgMatches,
    session: &Session<'_>,
) -> Result<(), CliError> {
    if matches!(verb, Verb::ListMachines | Verb::ListUnitFiles | Verb::ListUnits) {
        ignore_words(verb, matches, session);
    }
    match verb {
        Verb::Cat => cat::run(matches, session).await,
        Verb::Destroy => destroy::run(matches, session).await,
        Verb::Journal => journal::run(matches, session).await,
        Verb::ListMachines => list_machines::run(matches, session).await,
        Verb::ListUnitFiles => list_unit_files::run(matches, session).await,
        Verb::ListUnits => list_units::run(matches, session).await,
        Verb::Load => load::run(matches, session).await,
        Verb::Restart => restart::run(matches, session).await,
        Verb::Ssh => ssh::run(matches, session).await,
        Verb::Start => start::run(matches, session).await,
        Verb::Status => status::run(matches, session).await,
        Verb::Stop => stop::run(matches, session).await,
        Verb::Submit => submit::run(matches, session).await,
        Verb::Unload => unload::run(matches, session).await,
        Verb::FdForward | Verb::Help | Verb::Verify | Verb::Version => {
            unreachable!("{} needs no cluster", verb.name())
        }
    }
}

/// Tells who gives words to a command that takes none: the original ignored them without a word.
fn ignore_words(verb: Verb, matches: &ArgMatches, session: &Session<'_>) {
    let words = flags::words(matches);
    if !words.is_empty() {
        let (command, words) = (verb.name(), words.join(" "));
        session.ui.err(format_args!("WARNING: {command} takes no arguments, ignored: {words}"));
    }
}

/// Refuses what fleetctl could do once and pretends no more to do.
pub(crate) fn refuse_given_up(matches: &ArgMatches) -> Result<(), CliError> {
    let given = matches!(matches.try_contains_id("sign"), Ok(true))
        && matches.value_source("sign") == Some(ValueSource::CommandLine)
        && matches.get_flag("sign");
    if given {
        return Err(CliError::GivenUp(NO_SIGNATURES.to_owned()));
    }
    Ok(())
}
