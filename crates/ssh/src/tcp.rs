//! The TCP connection to the first host.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time,
};

use crate::{Address, Cause};

/// How long an address has before the next one is tried beside it (RFC 8305, 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to whichever of the addresses of `to` answers first; the order is the resolver's.
pub(crate) async fn connect(to: &Address) -> Result<(TcpStream, SocketAddr), Cause> {
    let stream = race(lookup(to).await?).await?;
    stream.set_nodelay(true).map_err(Cause::Io)?;
    let remote = stream.peer_addr().map_err(Cause::Io)?;
    Ok((stream, remote))
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
