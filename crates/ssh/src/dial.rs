//! Streams to what a host can reach (`ssh.md` 3).
//!
//! A port is reached by a `direct-tcpip` channel. A unix socket is reached by a channel straight to
//! it where the server does that, else by the command `fleetctl fd-forward` (3.1). A server says
//! the same whether it doesn't do it or finds no socket, so only what has worked is remembered.

mod command;
mod stream;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use russh::{Channel, client::Msg};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Cause, Connection, Refusal, SshError};
pub use stream::FarStream;
use stream::{Closing, Kind};

/// How many streams a connection has at once; servers allow ten sessions (`MaxSessions`).
const STREAMS: usize = 8;

/// The far end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Far {
    /// A unix socket on the host.
    Unix(PathBuf),
    /// A port; the host looks up the name.
    Tcp {
        /// A name or address (IPv6 without brackets).
        host: String,
        /// The port.
        port: u16,
    },
}

/// What a connection keeps for its streams.
pub(crate) struct Dialing {
    free: Arc<Semaphore>,
    /// The way to unix sockets that has worked.
    way: OnceLock<SocketMethod>,
    closing: Closing,
}

impl Default for Dialing {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(STREAMS)),
            way: OnceLock::new(),
            closing: Closing::default(),
        }
    }
}

/// How unix sockets of a host are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketMethod {
    Straight,
    Command,
}

impl Connection {
    /// Opens a stream to `far`. It keeps this connection alive; dropped, it is closed on the host
    /// too. While eight are open this waits: the caller bounds the time it may take.
    ///
    /// # Errors
    /// The host won't open a channel. That the far end can't be reached through `fd-forward` shows
    /// only when the stream is read.
    pub async fn dial(self: &Arc<Self>, far: &Far) -> Result<FarStream, SshError> {
        // It is never closed.
        let free = Arc::clone(&self.dialing.free);
        let slot = free.acquire_owned().await.map_err(|_| self.failed(Cause::Lost))?;
        match far {
            Far::Tcp { host, port } => {
                let channel = self.to_port(host, *port).await;
                let channel = channel.map_err(|cause| self.failed(cause))?;
                Ok(self.stream(channel, Kind::Straight, slot))
            }
            Far::Unix(path) => self.dial_socket(path, slot).await,
        }
    }

    async fn dial_socket(
        self: &Arc<Self>,
        path: &Path,
        slot: OwnedSemaphorePermit,
    ) -> Result<FarStream, SshError> {
        let way = self.dialing.way.get().copied();
        // The library takes only text as a path.
        let Some(text) = path.to_str().filter(|_| way != Some(SocketMethod::Command)) else {
            return self.forward(path, None, slot).await;
        };
        match self.channel(self.handle.channel_open_direct_streamlocal(text)).await {
            Ok(channel) => {
                self.dialing.way.get_or_init(|| SocketMethod::Straight);
                Ok(self.stream(channel, Kind::Straight, slot))
            }
            Err(SshError { cause: Cause::Rejected { refusal, .. }, .. })
                if way.is_none() && refusal != Refusal::Shortage =>
            {
                tracing::debug!(%refusal, "no channel straight to the socket, trying fd-forward");
                self.forward(path, Some(refusal), slot).await
            }
            Err(error) => Err(error),
        }
    }

    /// A stream by the command `fleetctl fd-forward`. No terminal, no environment, no agent.
    async fn forward(
        self: &Arc<Self>,
        path: &Path,
        refusal: Option<Refusal>,
        slot: OwnedSemaphorePermit,
    ) -> Result<FarStream, SshError> {
        let channel = self.channel(self.handle.channel_open_session()).await?;
        let far_end = command::FarEnd::new(self.place.name.clone(), refusal);
        let mut stream = self.stream(channel, Kind::Command(far_end), slot);
        stream.exec(command::line(path)).await.map_err(|_| self.failed(Cause::Lost))?;
        Ok(stream)
    }

    fn stream(
        self: &Arc<Self>,
        channel: Channel<Msg>,
        kind: Kind,
        slot: OwnedSemaphorePermit,
    ) -> FarStream {
        FarStream::new(channel, kind, slot, Arc::clone(self))
    }

    /// Notes that `fd-forward` works on this connection.
    fn command_works(&self) {
        self.dialing.way.get_or_init(|| SocketMethod::Command);
    }

    fn closing(&self) -> &Closing {
        &self.dialing.closing
    }
}
