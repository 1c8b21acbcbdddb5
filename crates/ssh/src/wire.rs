//! The stream under a connection, with a line that cuts it.
//!
//! The library runs a connection in a task of its own, which ends when its stream does, but not
//! for want of an answer. [`WireOwner`] is how the owner ends it: dropped, every read and write
//! of the task fails at once.
//!
//! The library doesn't read while it writes. Over a channel of another connection that can be the
//! end of it: the room to write is announced behind data that waits to be read. So while a write
//! waits, what comes is read ahead. A write that makes no way for a minute, or whose other end hung
//! up, fails, for the library's own watch over the host doesn't run meanwhile.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{self, Instant, Sleep},
};

/// Silence after which the host is asked for a sign of life.
pub(crate) const QUIET: Duration = Duration::from_secs(15);
/// Unanswered signs after which it counts as lost: a minute in all.
pub(crate) const SIGNS: usize = 3;

/// How much is read ahead: what a host may send unasked for on all channels of a connection.
const AHEAD: usize = 32 << 20;

/// How much is read at once while a write waits.
const CHUNK: usize = 32 << 10;

/// A stream that ends when its [`WireOwner`] is dropped.
pub(crate) struct Wire<S> {
    stream: S,
    /// What was read while a write waited.
    ahead: BytesMut,
    /// How reading ahead ended, if it did.
    ended: Option<io::Result<()>>,
    /// The write that waits, if one does.
    waiting: Option<Waiting>,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    /// Dropped with the stream, which tells the owner.
    _ended: oneshot::Sender<()>,
}

/// A write that waits.
struct Waiting {
    next_look: Pin<Box<Sleep>>,
    /// How often it was still waiting. Counted, so that time in which this process was stopped is
    /// no more than one look.
    looks: usize,
}

/// The owner's end of a [`Wire`].
pub(crate) struct WireOwner {
    _cut: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl<S> Wire<S> {
    /// Ties `stream` to an owner.
    pub(crate) fn new(stream: S) -> (Self, WireOwner) {
        let (cut_tx, cut) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let wire = Self {
            stream,
            ahead: BytesMut::new(),
            ended: None,
            waiting: None,
            cut,
            is_cut: false,
            _ended: ended_tx,
        };
        (wire, WireOwner { _cut: cut_tx, ended })
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.cut).poll(cx).is_ready() {
            self.is_cut = true;
        }
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads ahead while a write waits, and says when that is in vain.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.ended.is_none() && self.ahead.len() < AHEAD {
            let mut chunk = [0; CHUNK];
            let mut buf = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.ahead.extend_from_slice(buf.filled());
                }
                Poll::Ready(end) => self.ended = Some(end),
            }
        }
        if self.ended.is_some() {
            return Poll::Ready(io::ErrorKind::BrokenPipe.into());
        }
        let waiting = self
            .waiting
            .get_or_insert_with(|| Waiting { next_look: Box::pin(time::sleep(QUIET)), looks: 0 });
        loop {
            ready!(waiting.next_look.as_mut().poll(cx));
            waiting.looks += 1;
            if waiting.looks > SIGNS {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            waiting.next_look.as_mut().reset(Instant::now() + QUIET);
        }
    }
}

impl WireOwner {
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
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        // An error is told once; after it comes the end.
        match &mut self.ended {
            Some(ended) => Poll::Ready(std::mem::replace(ended, Ok(()))),
            None => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(written) => {
                self.waiting = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_waiting(cx).map(Err),
        }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const MUCH: usize = 100_000;

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_taken_while_a_write_waits() {
        let (near, mut far) = duplex(64);
        let (mut near, _lifeline) = Wire::new(near);
        // Both write all before they read, as the library does.
        let near = async {
            near.write_all(&[1; MUCH]).await.unwrap();
            let mut read = vec![0; MUCH];
            near.read_exact(&mut read).await.unwrap();
            (read, near)
        };
        let far = async {
            far.write_all(&[2; MUCH]).await.unwrap();
            let mut read = vec![0; MUCH];
            far.read_exact(&mut read).await.unwrap();
            far.write_all(b"more").await.unwrap();
            (read, far)
        };
        let both = async { tokio::join!(near, far) };
        let ((came, mut near), (arrived, far)) =
            time::timeout(Duration::from_secs(10), both).await.expect("neither waits for ever");
        assert!(came == [2; MUCH] && arrived == [1; MUCH]);
        drop(far);
        let mut rest = String::new();
        near.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails_after_a_minute() {
        let (near, _far) = duplex(64);
        let (mut near, _lifeline) = Wire::new(near);
        let started = Instant::now();
        let error = near.write_all(&[0; MUCH]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_write_has_all_the_time_it_needs() {
        let (near, mut far) = duplex(64);
        let (mut near, _lifeline) = Wire::new(near);
        let slow = async {
            for _ in 0..20 {
                time::sleep(Duration::from_secs(50)).await;
                far.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(near.write_all(&[0; 20 * 64]), slow);
        written.unwrap();
    }

    /// A stream that takes nothing, like a channel that was closed, and has `0` to read.
    struct Closed(&'static [u8]);

    impl AsyncRead for Closed {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_to_an_end_that_hung_up_fails_and_its_last_words_are_read() {
        let (mut near, _lifeline) = Wire::new(Closed(b"goodbye"));
        let started = Instant::now();
        let error = near.write_all(b"hello").await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::BrokenPipe, Duration::ZERO));
        let mut words = String::new();
        near.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "goodbye");
    }

    #[tokio::test]
    async fn nothing_goes_on_without_the_lifeline() {
        let (near, _far) = duplex(64);
        let (mut near, owner) = Wire::new(near);
        let cut = async { drop(owner) };
        let (read, ()) = tokio::join!(near.read_u8(), cut);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
