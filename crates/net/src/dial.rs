//! Opening a stream to a server: directly, or however a [`Dial`] of somebody else's does it
//! (a tunnel, say).

use std::{error::Error, fmt, io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use fleet_core::error_text::plain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// A stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any stream to a server.
pub type BoxStream = Box<dyn Stream>;

/// What has to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name, or an address (IPv6 without brackets).
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix {}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp [{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp {host}:{port}"),
        }
    }
}

/// A way to open streams. The caller bounds the time it may take.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a stream to `target`.
    ///
    /// # Errors
    /// It can't be reached; the error names what was tried.
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError>;
}

/// Why no stream could be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("dial {target}: {cause}")]
pub struct DialError {
    target: Target,
    cause: Arc<dyn Error + Send + Sync>,
}

impl DialError {
    /// `target` could not be reached because of `cause`.
    pub fn new(target: &Target, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { target: target.clone(), cause: Arc::new(cause) }
    }

    /// The cause alone, for whoever names the target in other words.
    #[must_use]
    pub fn into_cause(self) -> Arc<dyn Error + Send + Sync> {
        self.cause
    }
}

/// Opens streams from here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

#[async_trait]
impl Dial for Direct {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        let stream: io::Result<BoxStream> = match target {
            Target::Unix(path) => UnixStream::connect(path).await.map(|s| Box::new(s) as _),
            Target::Tcp { host, port } => tcp(host, *port).await.map(|s| Box::new(s) as _),
        };
        stream.map_err(|error| DialError::new(target, Refused(error)))
    }
}

/// Why the operating system opened no stream, in words that scripts know (`fleetctl.md` 3.1).
#[derive(Debug)]
struct Refused(io::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error() {
            Some(_) => write!(f, "connect: {}", plain(&self.0)),
            // Nothing was connected to: the name has no address, say.
            None => self.0.fmt(f),
        }
    }
}

impl Error for Refused {}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // A request is one write and then waits for its answer: holding it back gains nothing.
    stream.set_nodelay(true)?;
    Ok(stream)
}
