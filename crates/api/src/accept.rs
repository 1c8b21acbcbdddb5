//! Accepts the connections of one listener, and owns them.
//!
//! Ends when told to, after its connections have ended or the time for that is over; or when the
//! listener fails for good. Errors that pass (no file descriptors left, a client that gave up) are
//! tried again, with growing pauses.

use std::{io, sync::Arc, time::Duration};

use fleet_core::Pauses;
use tokio::{
    task::{JoinError, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span, error, warn};

use crate::{
    Listener, Switch, connection,
    listener::{Stream, Unread},
    slots::Slots,
};

/// The first pause after a failure to accept, and the longest.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(5), Duration::from_secs(1));

/// Serves a listener until `stop`.
pub(crate) async fn run(
    listener: Listener,
    api: Switch,
    slots: Arc<Slots>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, unread) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = accept(&listener) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    error!("Failed serving HTTP on listener: addr: {listener}, err: {error}");
                    break;
                }
            }
        };
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            slot = slots.take(unread) => slot,
        };
        let span = debug_span!("connection", %listener);
        let serve = connection::serve(stream, listener.via(), slot, api.clone(), stop.clone());
        connections.spawn(serve.instrument(span));
    }
    drop(listener);
    finish(connections, api.current().limits().drain, &stop).await;
}

/// Accepts a connection, however often it takes. Cancel-safe.
///
/// # Errors
/// The listener won't accept any more.
async fn accept(listener: &Listener) -> io::Result<(Stream, Unread)> {
    let mut backoff = PAUSES.begin();
    loop {
        match listener.accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) if passes(&error) => {
                let pause = backoff.pause();
                warn!(%listener, %error, ?pause, "can't accept a connection, will try again");
                time::sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a listener that gave this error goes on working.
fn passes(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM and EPROTO have no kind of their own.
    const PASSING: [i32; 5] = [24, 23, 105, 12, 71];
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
    ) || error.raw_os_error().is_some_and(|code| PASSING.contains(&code))
}

/// Waits for the connections of a listener that has ended: for all when it failed, and once the
/// server stops for as long as `drain`. Dropping the set ends those that are left.
async fn finish(mut connections: JoinSet<()>, drain: Duration, stop: &CancellationToken) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    let late = async {
        stop.cancelled().await;
        time::sleep(drain).await;
    };
    tokio::select! {
        () = all => {}
        () = late => warn!(?drain, "connections did not end in time, closing them"),
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "connection failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_listener_itself_end_it() {
        for (code, expected) in [(24, true), (23, true), (103, true), (22, false), (9, false)] {
            assert_eq!(passes(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
