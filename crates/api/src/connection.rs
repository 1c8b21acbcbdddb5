//! One connection: HTTP/1 by hyper, until the client goes, is too slow, or has to make room.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Mutex, PoisonError},
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Switch,
    limits::{Limits, MAX_HEAD},
    listener::Stream,
    slots::Slot,
    write_limit::WriteLimit,
};

/// Serves a connection until it ends. After `stop` it finishes the request at hand.
pub(crate) async fn serve(stream: Stream, slot: Slot, api: Switch, stop: CancellationToken) {
    let limits = *api.current().limits();
    let evicted = slot.evicted().clone();
    let slot = &Mutex::new(slot);
    let api = &api;
    let service = service_fn(async |request| {
        let _busy = Busy::new(slot);
        Ok::<_, Infallible>(api.current().respond(request).await)
    });
    let stream = TokioIo::new(WriteLimit::new(stream, limits.write_time));
    let mut connection = pin!(protocol(&limits).serve_connection(stream, service));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !ending => ending = true,
            () = evicted.cancelled(), if !ending => {
                // Nothing is lost: no request of it is being worked on.
                if !locked(slot, |slot| slot.is_busy()) {
                    debug!("idle connection closed to make room");
                    return;
                }
                ending = true;
            }
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection broken");
                }
                return;
            }
        }
        connection.as_mut().graceful_shutdown();
    }
}

/// HTTP/1 as the API speaks it.
fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(MAX_HEAD)
        // Header names as the original wrote them: scripts cut answers up with grep and sed.
        .title_case_headers(true)
        // A client that has sent all it has to say may say so and still gets its answer.
        .half_close(true);
    protocol
}

/// Keeps a connection's slot busy as long as it lives.
struct Busy<'a>(&'a Mutex<Slot>);

impl<'a> Busy<'a> {
    fn new(slot: &'a Mutex<Slot>) -> Self {
        locked(slot, Slot::set_busy);
        Self(slot)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        locked(self.0, Slot::set_idle);
    }
}

/// Works on a slot. Only the connection's own task does, so it never waits.
fn locked<T>(slot: &Mutex<Slot>, work: impl FnOnce(&mut Slot) -> T) -> T {
    work(&mut slot.lock().unwrap_or_else(PoisonError::into_inner))
}
