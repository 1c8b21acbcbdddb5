//! Logging in to a real OpenSSH server, over one hop and more.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod hops;
mod hosts;
mod keys;
mod offered;
mod signing;
mod silence;
mod unasked;

use std::{path::PathBuf, sync::Arc};

use fleet_ssh::{Connection, Hop, Identities, SshError};

use support::{Agent, Script, route};

/// Connects to one host.
async fn open(hop: Hop, user: &Arc<Script>) -> Result<Arc<Connection>, SshError> {
    Connection::open(&route([hop]), Arc::clone(user) as _).await
}

/// Connects, and returns what went wrong.
async fn refused(hop: Hop, user: &Arc<Script>) -> String {
    match open(hop, user).await {
        Ok(_) => panic!("logged in"),
        Err(error) => error.to_string(),
    }
}

/// Somebody who is never asked.
fn nobody() -> Arc<Script> {
    Arc::default()
}

/// The key files alone.
fn files(files: &[&PathBuf]) -> Identities {
    let files = files.iter().map(|&file| file.clone()).collect();
    Identities { files, ..Identities::default() }
}

/// The agent alone.
fn agent(agent: &Agent) -> Identities {
    Identities { agent: Some(agent.socket.clone()), ..Identities::default() }
}
