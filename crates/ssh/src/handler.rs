//! What is answered to the server on a connection.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fleet_core::error_text::tame_stranger;
use russh::{
    Channel, ChannelId, ChannelOpenFailure,
    client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session},
    keys::{
        PublicKeyOrCertificate,
        agent::{AgentSessionBinding, client::AgentClient},
    },
};
use tokio::{io, net::UnixStream, task::JoinSet};

use crate::{Cause, host_key::Check, refusals::Refusals};

/// Agent channels that may be open at once; more are refused.
const AGENT_CHANNELS: usize = 16;

/// What the two sides of a connection, its owner and its task, tell each other.
pub(crate) struct Shared {
    /// Whether the server may use the agent.
    pub(crate) agent_granted: AtomicBool,
    /// The agent's socket.
    pub(crate) agent: Option<PathBuf>,
    /// What binds an agent to this connection.
    binding: OnceLock<AgentSessionBinding>,
    /// Why channels were refused.
    pub(crate) refusals: Refusals,
    ending: Mutex<Option<String>>,
}

/// This side of a connection. Channels that the server opens are refused, but for those to the
/// agent once it was granted: the library would take all of them (`ssh.md` 5).
pub(crate) struct Peer {
    shared: Arc<Shared>,
    check: Arc<Check>,
    /// Copies between agent channels and the agent; they end with the connection.
    bridges: JoinSet<()>,
}

/// What an agent is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentUse {
    /// Logging in on this connection.
    LogIn,
    /// Whatever the host asks it.
    Forward,
}

/// Why the task of a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The protocol.
    Protocol(russh::Error),
    /// The host key.
    HostKey(Cause),
}

impl From<russh::Error> for Ended {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl Shared {
    pub(crate) fn new(agent: Option<PathBuf>) -> Self {
        Self {
            agent_granted: AtomicBool::new(false),
            agent,
            binding: OnceLock::new(),
            refusals: Refusals::default(),
            ending: Mutex::new(None),
        }
    }

    /// Notes what binds an agent to this connection.
    pub(crate) fn bind(&self, binding: AgentSessionBinding) {
        // There is one key exchange that counts, the first.
        let _ = self.binding.set(binding);
    }

    /// Binds `agent` to this connection; agents that know of no bindings go on without.
    pub(crate) async fn bind_agent(&self, agent: &mut AgentClient<UnixStream>, use_: AgentUse) {
        if let Some(binding) = self.binding.get() {
            let _ = agent.bind_session(binding, use_ == AgentUse::Forward).await;
        }
    }

    /// Why the connection ended, once it has; the server's words, if it had any.
    pub(crate) fn ending(&self) -> Option<String> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Peer {
    pub(crate) fn new(shared: Arc<Shared>, check: Arc<Check>) -> Self {
        Self { shared, check, bridges: JoinSet::new() }
    }

    /// Copies between `channel` and the agent.
    fn bridge(&mut self, channel: Channel<Msg>, agent: UnixStream) {
        let shared = Arc::clone(&self.shared);
        self.bridges.spawn(async move {
            let mut agent = AgentClient::connect(agent);
            shared.bind_agent(&mut agent, AgentUse::Forward).await;
            let mut channel = channel.into_stream();
            // Whoever hangs up, there is nobody to tell.
            let _ = io::copy_bidirectional(&mut channel, &mut agent.into_inner()).await;
        });
    }
}

impl Handler for Peer {
    type Error = Ended;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        self.check.decide(key).await.map(|()| true).map_err(Ended::HostKey)
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        while self.bridges.try_join_next().is_some() {}
        let granted = self.shared.agent_granted.load(Ordering::Acquire);
        let Some(agent) = self.shared.agent.as_ref().filter(|_| granted) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        if self.bridges.len() >= AGENT_CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        match UnixStream::connect(agent).await {
            Ok(agent) => {
                reply.accept().await;
                self.bridge(channel, agent);
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        let words = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => info.message.clone(),
            DisconnectReason::Error(Ended::Protocol(russh::Error::NoAuthMethod)) => {
                "no authentication method is left".into()
            }
            DisconnectReason::Error(Ended::Protocol(error)) => error.to_string(),
            DisconnectReason::Error(Ended::HostKey(cause)) => cause.to_string(),
        };
        *self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(tame_stranger(&words));
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _channel: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _language: &str,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.shared.refusals.note(&reason, description);
        Ok(())
    }

    // Dropping `reply` refuses.

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}
