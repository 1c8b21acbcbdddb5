//! Opening a stream to a server: directly, or however a [`Dial`] of somebody else's does it
//! (a tunnel, say).

use std::{error::Error, fmt, io, sync::Arc};

use async_trait::async_trait;
use fleet_core::error_text::plain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::Target;

/// A stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any stream to a server.
pub type BoxStream = Box<dyn Stream>;

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
