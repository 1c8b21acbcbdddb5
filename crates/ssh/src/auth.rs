//! Logging in: the agent's keys, then key files (`ssh.md` 2.2, `README.md` 17).
//!
//! `none` comes first, then each key. A key is offered by its public half, and only when the
//! server would take it does it sign; so an encrypted file asks for its passphrase only when that
//! leads somewhere.

mod agent;
mod file;
mod login;

use std::path::{Path, PathBuf};

use crate::{Ask, Cause, Hop, handler::Shared};
use agent::Agent;
use file::KeyFile;
use login::Login;

/// What a user can log in with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// The agent's socket, if there is one.
    pub agent: Option<PathBuf>,
    /// Key files, in the order in which they are tried after the agent's keys. Beside each,
    /// `FILE.pub` is its public half and `FILE-cert.pub` its certificate.
    pub files: Vec<PathBuf>,
    /// Whether files that aren't there are passed over: the default ones are, named ones aren't.
    pub may_be_absent: bool,
    /// Of the agent's keys only those of `files` are tried (`IdentitiesOnly`).
    pub only_files: bool,
}

/// Checks, before anything is dialled, that there is something to log in with (`ssh.md` 2.2).
pub(crate) async fn check(identities: &Identities) -> Result<(), Cause> {
    let some_file = !identities.may_be_absent && !identities.files.is_empty()
        || identities.files.iter().any(|path| path.exists());
    match &identities.agent {
        _ if some_file => Ok(()),
        None => Err(Cause::NoIdentity),
        Some(socket) => check_agent(socket).await,
    }
}

/// Checks that an agent listens at `socket`.
pub(crate) async fn check_agent(socket: &Path) -> Result<(), Cause> {
    Agent::connect(socket).await.map(drop)
}

/// Logs in as the user of `hop`.
pub(crate) async fn log_in(
    handle: &mut russh::client::Handle<crate::handler::Peer>,
    hop: &Hop,
    shared: &Shared,
    user: &dyn Ask,
) -> Result<(), Cause> {
    let Identities { agent, files, may_be_absent, only_files } = &hop.identities;
    let mut login = Login::new(handle, &hop.user, shared);
    if login.none().await? {
        return Ok(());
    }
    if let Some(socket) = agent {
        let wanted = file::public_halves(files).await;
        if agent::offer_all(&mut login, socket, &wanted, *only_files).await? {
            return Ok(());
        }
    }
    for path in files {
        if *may_be_absent && !path.exists() {
            continue;
        }
        match KeyFile::load(path).await {
            Ok(key) => {
                if key.offer(&mut login, user).await? {
                    return Ok(());
                }
            }
            Err(why) => login.note(format!("key file {}: {why}", path.display())),
        }
    }
    Err(login.refused())
}
