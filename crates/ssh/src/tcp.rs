//! The TCP connection to the first host.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time,
};

use crate::{Address, Cause};

/// How long an address has before the next one is tried beside it (RFC 8305, 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// A TCP connection that acknowledges what it has read at once. A host holds back a small packet
/// until the one before is acknowledged (OpenSSH does, but in sessions), which otherwise takes 40 ms
/// whenever there is nothing to send.
pub(crate) struct QuickAckStream(TcpStream);

/// Connects to whichever of the addresses of `to` answers first; the order is the resolver's.
pub(crate) async fn connect(to: &Address) -> Result<(QuickAckStream, SocketAddr), Cause> {
    let stream = race(lookup(to).await?).await?;
    stream.set_nodelay(true).map_err(Cause::Io)?;
    let remote = stream.peer_addr().map_err(Cause::Io)?;
    Ok((QuickAckStream(stream), remote))
}

/// Looks up the addresses of a host.
pub(crate) async fn lookup(to: &Address) -> Result<Vec<SocketAddr>, Cause> {
    let failed = |error: io::Error| {
        // The resolver has no better code for it than these words.
        let unknown = ["Name or service not known", "No address associated with hostname"];
        let text = error.to_string();
        let unknown = unknown.iter().any(|words| text.contains(words));
        let error = if unknown { io::Error::other("no such host") } else { error };
        Cause::Lookup { host: to.host.clone(), error }
    };
    let found: Vec<_> = lookup_host((&*to.host, to.port)).await.map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::Error::other("no such host")));
    }
    Ok(found)
}

async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, Cause> {
    let mut attempts = JoinSet::new();
    let mut rest = addresses.into_iter();
    let mut first_failure = None;
    loop {
        let next = rest.next();
        if let Some(address) = next {
            attempts.spawn(async move {
                TcpStream::connect(address)
                    .await
                    .map_err(|error| Cause::Dial { address: address.to_string(), error })
            });
        }
        let patience = if rest.len() > 0 { NEXT_ADDRESS } else { Duration::MAX };
        match time::timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(failure)))) => first_failure = first_failure.or(Some(failure)),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => {
                return Err(first_failure
                    .unwrap_or_else(|| Cause::Io(io::ErrorKind::AddrNotAvailable.into())));
            }
        }
    }
}

impl AsyncRead for QuickAckStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &read {
            // The system forgets it again. Without it everything is only slower.
            let _ = self.0.set_quickack(true);
        }
        read
    }
}

impl AsyncWrite for QuickAckStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_acknowledged_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let ((mut near, _), (mut far, _)) =
            tokio::try_join!(async { Ok(connect(&address).await.unwrap()) }, listener.accept())
                .unwrap();
        // Talking in turns is what makes the system hold acknowledgements back.
        for turn in 0..5 {
            near.write_all(b"question").await.unwrap();
            let mut heard = [0; 8];
            far.read_exact(&mut heard).await.unwrap();
            far.write_all(&heard).await.unwrap();
            near.read_exact(&mut heard).await.unwrap();
            assert!(near.0.quickack().unwrap(), "turn {turn}");
        }
    }
}
