//! A stream whose client may be silent for only so long: short while a request's head is due, longer
//! between two requests, and as long as it likes while a request is worked on (its body has a limit
//! of its own).
//!
//! ```text
//! opened ── head_time ──▶ (request) ──▶ working ──▶ between requests ── idle_time ──▶ closed
//!                            ▲                            │ first byte
//!                            └──────── head_time ◀────────┘
//! ```

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{self, Instant, Sleep},
};

use crate::Limits;

/// What a connection waits for, told by who answers requests and asked by who reads.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(Arc<Mutex<Phase>>);

/// A phase of a connection and, where its client is waited for, until when.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The rest of a head, or the first one.
    Head { until: Instant },
    /// Nothing: a request is worked on.
    Work,
    /// The next request, of a client that has had an answer.
    Next { until: Instant },
}

impl Waiting {
    /// A connection that is opened now.
    pub(crate) fn opened(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Phase::Head { until: Instant::now() + limits.head_time })))
    }

    /// A request has begun.
    pub(crate) fn work(&self) {
        self.set(Phase::Work);
    }

    /// A request has been answered.
    pub(crate) fn next(&self, limits: &Limits) {
        self.set(Phase::Next { until: Instant::now() + limits.idle_time });
    }

    /// Bytes have come.
    fn bytes_arrived(&self, head_time: Duration) {
        if matches!(self.phase(), Phase::Next { .. }) {
            self.set(Phase::Head { until: Instant::now() + head_time });
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.phase() {
            Phase::Head { until } | Phase::Next { until } => Some(until),
            Phase::Work => None,
        }
    }

    fn phase(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// A stream that fails to read when its client is silent for too long.
pub(crate) struct ReadLimit<S> {
    stream: S,
    waiting: Waiting,
    head_time: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl<S> ReadLimit<S> {
    /// Limits the reads on `stream` by what is waited for.
    pub(crate) fn new(stream: S, waiting: Waiting, limits: &Limits) -> Self {
        let alarm = Box::pin(time::sleep(limits.head_time));
        Self { stream, waiting, head_time: limits.head_time, alarm }
    }

    /// Ready when the client has been silent for too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(until) = self.waiting.until() else { return Poll::Pending };
        if self.alarm.deadline() != until {
            self.alarm.as_mut().reset(until);
        }
        ready!(self.alarm.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "client sends nothing"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadLimit<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            this.waiting.bytes_arrived(this.head_time);
            return read;
        }
        this.poll_late(context).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadLimit<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HEAD: Duration = Duration::from_secs(30);
    const IDLE: Duration = Duration::from_secs(180);

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_limit() {
        let limits = Limits { head_time: HEAD, idle_time: IDLE, ..Limits::default() };
        let (ours, mut theirs) = duplex(64);
        let waiting = Waiting::opened(&limits);
        let mut limited = ReadLimit::new(ours, waiting.clone(), &limits);

        // Crawling through a head doesn't prolong it.
        let begun = Instant::now();
        theirs.write_all(b"G").await.unwrap();
        assert_eq!(limited.read_u8().await.unwrap(), b'G');
        time::sleep(HEAD / 2).await;
        theirs.write_all(b"E").await.unwrap();
        assert_eq!(limited.read_u8().await.unwrap(), b'E');
        assert_eq!(limited.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), HEAD.as_secs());

        // Work takes what it takes.
        waiting.work();
        let long = time::timeout(10 * IDLE, limited.read_u8());
        assert!(long.await.is_err(), "it goes on waiting");

        // Between requests there is more time, and once one begins it is short again.
        waiting.next(&limits);
        time::sleep(IDLE - HEAD / 2).await;
        theirs.write_all(b"G").await.unwrap();
        assert_eq!(limited.read_u8().await.unwrap(), b'G');
        let begun = Instant::now();
        assert_eq!(limited.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), HEAD.as_secs());
        waiting.next(&limits);
        let begun = Instant::now();
        assert_eq!(limited.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
    }
}
