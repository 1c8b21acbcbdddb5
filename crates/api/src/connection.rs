//! One connection: HTTP/1 by hyper, until the client goes, is too slow, or has to make room.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::task;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Switch,
    limits::{Limits, MAX_HEAD},
    listener::Stream,
    read_limit::{ReadLimit, Waiting},
    slots::Slot,
    via::Via,
};

/// Serves a connection until it ends. After `stop` it finishes the request at hand.
pub(crate) async fn serve(
    stream: Stream,
    via: Via,
    slot: Slot,
    api: Switch,
    stop: CancellationToken,
) {
    let limits = *api.current().limits();
    let waiting = Waiting::opened(&limits);
    let mut evicted = slot.evicted().clone();
    let slot = &Mutex::new(slot);
    let api = &api;
    let service = service_fn(async |request: Request<Incoming>| {
        let _work = Work::begin(slot, &waiting, &limits);
        let request = request.map(|body| Awaited::new(body, slot));
        Ok::<_, Infallible>(api.current().respond(request, via).await)
    });
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_time));
    let stream = TokioIo::new(ReadLimit::new(Box::pin(stream), waiting.clone(), &limits));
    let mut connection = pin!(protocol().serve_connection(stream, service));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !ending => ending = true,
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection broken");
                }
                return;
            }
            () = evicted.cancelled(), if !ending => {
                // A request has come meanwhile: another connection makes room.
                if let Some(next) = locked(slot, Slot::decline) {
                    evicted = next;
                    task::yield_now().await;
                    continue;
                }
                // Nothing is lost: no request of it is complete and unanswered.
                if !locked(slot, |slot| slot.is_busy()) {
                    debug!("idle connection closed to make room");
                    return;
                }
                ending = true;
            }
        }
        connection.as_mut().graceful_shutdown();
    }
}

/// HTTP/1 as the API speaks it.
pub(crate) fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // `ReadLimit` tells a head that doesn't come from a client that keeps its connection.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        // Header names as the original wrote them: scripts cut answers up with grep and sed.
        .title_case_headers(true)
        // A client that has sent all it has to say may say so and still gets its answer.
        .half_close(true);
    protocol
}

/// A request that has begun: when it ends the connection waits for its client again.
struct Work<'a> {
    slot: &'a Mutex<Slot>,
    waiting: &'a Waiting,
    limits: &'a Limits,
}

impl<'a> Work<'a> {
    fn begin(slot: &'a Mutex<Slot>, waiting: &'a Waiting, limits: &'a Limits) -> Self {
        waiting.work();
        Self { slot, waiting, limits }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.waiting.next(self.limits);
        locked(self.slot, Slot::set_idle);
    }
}

/// A body that makes its connection busy once all of it is here.
struct Awaited<'a> {
    body: Incoming,
    slot: &'a Mutex<Slot>,
}

impl<'a> Awaited<'a> {
    fn new(body: Incoming, slot: &'a Mutex<Slot>) -> Self {
        let awaited = Self { body, slot };
        awaited.check(false);
        awaited
    }

    fn check(&self, ended: bool) {
        if ended || self.body.is_end_stream() {
            locked(self.slot, Slot::set_busy);
        }
    }
}

impl Body for Awaited<'_> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        this.check(frame.is_none());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Works on a slot. Only the connection's own task does, so it never waits.
fn locked<T>(slot: &Mutex<Slot>, work: impl FnOnce(&mut Slot) -> T) -> T {
    work(&mut slot.lock().unwrap_or_else(PoisonError::into_inner))
}
