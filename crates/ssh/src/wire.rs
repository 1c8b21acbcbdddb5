//! The stream under a connection, with a line that cuts it.
//!
//! The library runs a connection in a task of its own, which ends when its stream does, but not
//! for want of an answer. [`Lifeline`] is how the owner ends it: dropped, every read and write
//! of the task fails at once.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time,
};

/// A stream that ends when its [`Lifeline`] is dropped.
pub(crate) struct Wire<S> {
    stream: S,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    /// Dropped with the stream, which tells the lifeline.
    _ended: oneshot::Sender<()>,
}

/// The owner's end of a [`Wire`].
pub(crate) struct Lifeline {
    _cut: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl<S> Wire<S> {
    /// Ties `stream` to a lifeline.
    pub(crate) fn new(stream: S) -> (Self, Lifeline) {
        let (cut_tx, cut) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let wire = Self { stream, cut, is_cut: false, _ended: ended_tx };
        (wire, Lifeline { _cut: cut_tx, ended })
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.cut).poll(cx).is_ready() {
            self.is_cut = true;
        }
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Lifeline {
    /// Waits until the connection's task has ended, `limit` at most.
    pub(crate) async fn ended(&mut self, limit: Duration) {
        if !self.ended.is_terminated() {
            // Either way it is over: the sender is never used, only dropped.
            let _ = time::timeout(limit, &mut self.ended).await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
