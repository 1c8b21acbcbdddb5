//! The keys of an agent.

use std::path::Path;

use russh::keys::{
    HashAlg,
    agent::{AgentIdentity, client::AgentClient},
    ssh_key::public::KeyData,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::login::Login;
use crate::{Cause, handler::AgentUse};

/// Messages of an agent (`draft-miller-ssh-agent`, 6.1).
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;

/// A connection to an agent.
pub(super) struct Agent(AgentClient<UnixStream>);

impl Agent {
    /// Dials the agent.
    pub(super) async fn connect(socket: &Path) -> Result<Self, Cause> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| Cause::Agent { path: socket.into(), error })?;
        Ok(Self(AgentClient::connect(stream)))
    }
}

/// Offers the agent's keys, those of `wanted` first, or only those. What is wrong with the agent
/// goes into the account: key files may do.
pub(super) async fn offer_all(
    login: &mut Login<'_>,
    socket: &Path,
    wanted: &[KeyData],
    only_wanted: bool,
) -> Result<bool, Cause> {
    let mut agent = match Agent::connect(socket).await {
        Ok(Agent(agent)) => agent,
        Err(cause) => {
            login.note(format!("agent: {cause}"));
            return Ok(false);
        }
    };
    login.shared.bind_agent(&mut agent, AgentUse::LogIn).await;
    let identities = match agent.request_identities().await {
        Ok(identities) => in_order(identities, wanted, only_wanted),
        Err(error) => {
            login.no_list(&error.to_string());
            return Ok(false);
        }
    };
    if identities.is_empty() {
        // There are agents that serve one after the other.
        drop(agent);
        if refuses_to_list(socket).await {
            login.no_list("it refused to list its keys");
        } else {
            login.note(format!("agent: it has no {}key", if only_wanted { "such " } else { "" }));
        }
        return Ok(false);
    }
    for identity in &identities {
        if login.offer(identity, &name(identity), &mut agent).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the agent answers the request for its keys with a failure. To the library that is an
/// empty list.
async fn refuses_to_list(socket: &Path) -> bool {
    let ask = async {
        let mut agent = UnixStream::connect(socket).await?;
        agent.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES]).await?;
        let mut answer = [0; 5];
        agent.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    matches!(ask.await, Ok([_, _, _, _, FAILURE]))
}

fn in_order(
    mut identities: Vec<AgentIdentity>,
    wanted: &[KeyData],
    only_wanted: bool,
) -> Vec<AgentIdentity> {
    let place = |identity: &AgentIdentity| {
        let public = identity.public_key();
        wanted.iter().position(|key| key == public.key_data()).unwrap_or(wanted.len())
    };
    if only_wanted {
        identities.retain(|identity| place(identity) < wanted.len());
    }
    identities.sort_by_key(place);
    identities
}

/// What the user knows the key as.
fn name(identity: &AgentIdentity) -> String {
    let kind = match identity {
        AgentIdentity::PublicKey { .. } => "key",
        AgentIdentity::Certificate { .. } => "certificate",
    };
    let public = identity.public_key();
    let comment: String =
        identity.comment().chars().filter(|letter| !letter.is_control()).take(64).collect();
    let print = public.fingerprint(HashAlg::Sha256);
    let name = format!("agent {kind} {} {print} {comment}", public.algorithm());
    name.trim_end().to_owned()
}
