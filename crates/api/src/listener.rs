//! The sockets that are served (`api.md` 1.1).

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::via::Via;

/// A listening stream socket, inherited or bound by fleetd.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

impl Listener {
    /// The kind of its socket.
    pub(crate) fn via(&self) -> Via {
        match self {
            Self::Unix(_) => Via::Unix,
            Self::Tcp(_) => Via::Tcp,
        }
    }

    /// Waits for a connection, which comes with what tells whether all of it was read. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Unread)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let unread = Unread::of(&stream);
                Ok((Either::Left(stream), unread))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and written in one piece: waiting for more helps nobody.
                // It can only fail on a connection that is broken already.
                let _ = stream.set_nodelay(true);
                let unread = Unread::of(&stream);
                Ok((Either::Right(stream), unread))
            }
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl fmt::Display for Listener {
    /// The address it listens on: a path, or IP and port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(listener) => match listener.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => path.display().fmt(f),
                    None => f.write_str("@"),
                },
                Err(_) => f.write_str("unix"),
            },
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("tcp"),
            },
        }
    }
}

/// An accepted connection.
pub(crate) type Stream = Either<UnixStream, TcpStream>;

/// Whether a socket has something to read, asked of the kernel: what has come a moment ago isn't
/// known to the runtime yet.
#[derive(Debug, Default)]
pub(crate) struct Unread(Option<OwnedFd>);

impl Unread {
    /// Of this socket, for as long as it is wanted.
    pub(crate) fn of(socket: &impl AsFd) -> Self {
        Self(socket.as_fd().try_clone_to_owned().ok())
    }

    /// Whether there is anything; not, where that can't be told.
    pub(crate) fn is_any(&self) -> bool {
        let waiting = self.0.as_ref().map(rustix::io::ioctl_fionread);
        waiting.and_then(Result::ok).is_some_and(|bytes| bytes > 0)
    }
}
