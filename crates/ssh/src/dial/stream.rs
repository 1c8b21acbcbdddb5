//! A stream through a channel.

use std::{
    future, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use russh::{Channel, ChannelMsg, ChannelReadHalf, Sig, client::Msg};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{self, Sleep},
};

use super::command::{self, FarEnd};
use crate::{
    Connection,
    session::{STDERR, Writer},
};

/// How long the host may take to hear that a channel is closed. Its place stays taken until then.
const CLOSING: Duration = Duration::from_secs(2);

/// How long a command may take to end after its output has.
const ENDING: Duration = Duration::from_secs(5);

type Messages = Pin<Box<dyn Stream<Item = ChannelMsg> + Send>>;

/// What is at the other end of a channel.
pub(super) enum Kind {
    /// The far end itself.
    Straight,
    /// A command that is connected to it.
    Command(FarEnd),
}

/// A stream to what a host can reach. Dropped, it closes its channel.
pub struct FarStream {
    /// None once the host closed the channel.
    messages: Option<Messages>,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// What came and wasn't read yet.
    data: Bytes,
    /// Nothing more will be read.
    ended: bool,
    /// The end was sent.
    shut: bool,
    /// Runs since the end of a command's output.
    ending: Option<Pin<Box<Sleep>>>,
    kind: Kind,
    channel: Option<(Writer, OwnedSemaphorePermit)>,
    connection: Arc<Connection>,
    runtime: Handle,
}

impl FarStream {
    pub(super) fn new(
        channel: Channel<Msg>,
        kind: Kind,
        slot: OwnedSemaphorePermit,
        connection: Arc<Connection>,
    ) -> Self {
        let (reader, writer) = channel.split();
        Self {
            messages: Some(messages(reader)),
            writer: Box::pin(writer.make_writer()),
            data: Bytes::new(),
            ended: false,
            shut: false,
            ending: None,
            kind,
            channel: Some((writer, slot)),
            connection,
            runtime: Handle::current(),
        }
    }

    /// Asks the host to run `line` at the other end.
    pub(super) async fn exec(&mut self, line: Vec<u8>) -> Result<(), russh::Error> {
        match &self.channel {
            Some((channel, _)) => channel.exec(true, line).await,
            None => Err(russh::Error::SendError),
        }
    }

    /// Takes the next message from the host. Ready once there is data or an end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(messages) = &mut self.messages else { return self.end(Ok(())) };
        let message = match messages.as_mut().poll_next(cx) {
            Poll::Ready(message) => message,
            Poll::Pending => {
                let Some(ending) = &mut self.ending else { return Poll::Pending };
                ready!(ending.as_mut().poll(cx));
                return self.end(Ok(()));
            }
        };
        match (message, &mut self.kind) {
            (Some(ChannelMsg::Data { data }), kind) => {
                if let Kind::Command(far_end) = kind
                    && far_end.hear()
                {
                    self.connection.command_works();
                }
                self.data = data;
            }
            (Some(ChannelMsg::Eof), Kind::Straight) => return self.end(Ok(())),
            (Some(ChannelMsg::Eof), Kind::Command(_)) => {
                self.ending = Some(Box::pin(time::sleep(ENDING)));
            }
            (Some(ChannelMsg::Close), kind) => {
                let verdict = match kind {
                    Kind::Straight => Ok(()),
                    Kind::Command(far_end) => far_end.verdict(),
                };
                self.messages = None;
                return self.end(verdict);
            }
            (None, _) => {
                self.messages = None;
                return self.end(Err(command::lost()));
            }
            (Some(message), Kind::Command(far_end)) => note(far_end, message),
            (Some(_), Kind::Straight) => {}
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, verdict: io::Result<()>) -> Poll<io::Result<()>> {
        self.ended = true;
        Poll::Ready(verdict)
    }

    /// Fails when the host takes nothing more. Once the end was read nobody else would notice that
    /// the host closed the channel, and a write would wait for room for ever.
    fn writable(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.ended
            && let Some(messages) = &mut self.messages
            && let Poll::Ready(message) = messages.as_mut().poll_next(cx)
        {
            if matches!(message, None | Some(ChannelMsg::Close)) {
                self.messages = None;
            }
        }
        if self.messages.is_none() || self.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

fn messages(reader: ChannelReadHalf) -> Messages {
    Box::pin(stream::unfold(reader, |mut reader| async {
        reader.wait().await.map(|message| (message, reader))
    }))
}

fn note(far_end: &mut FarEnd, message: ChannelMsg) {
    match message {
        ChannelMsg::ExtendedData { data, ext: STDERR } => far_end.says(&data),
        ChannelMsg::ExitStatus { exit_status } => far_end.exited(exit_status),
        ChannelMsg::ExitSignal { signal_name, .. } => far_end.killed(signal_name),
        ChannelMsg::Failure => far_end.refused(),
        _ => {}
    }
}

impl AsyncRead for FarStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.data.is_empty() && !this.ended {
            ready!(this.poll_message(cx))?;
        }
        let length = this.data.len().min(buffer.remaining());
        buffer.put_slice(&this.data[..length]);
        this.data.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FarStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writable(cx)?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.writer.as_mut().poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writable(cx).is_ok() {
            // A host that is gone needs no end.
            let _ = ready!(self.writer.as_mut().poll_shutdown(cx));
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for FarStream {
    fn drop(&mut self) {
        let (Some(messages), Some((channel, slot))) = (self.messages.take(), self.channel.take())
        else {
            return;
        };
        let is_command = matches!(self.kind, Kind::Command(_));
        // The connection ends its streams, so they don't keep it while they close.
        let connection = Arc::downgrade(&self.connection);
        self.connection.closing().begin(&self.runtime, async move {
            close(connection, messages, &channel, is_command).await;
            drop(slot);
        });
    }
}

/// Closes `channel` and waits until the host has heard of it.
async fn close(
    connection: Weak<Connection>,
    messages: Messages,
    channel: &Writer,
    is_command: bool,
) {
    let Some(connection) = connection.upgrade() else { return };
    let say = async {
        if is_command {
            // A host that is gone has ended it.
            let _ = time::timeout(CLOSING, channel.signal(Sig::TERM)).await;
        }
        connection.close_channel(channel, CLOSING).await;
    };
    // Nothing is sent while what the host said waits to be taken.
    let hear = async {
        messages.for_each(|_| future::ready(())).await;
        future::pending().await
    };
    tokio::select! {
        () = say => {}
        () = hear => {}
    }
}

/// Streams on their way to being closed. They end with their connection.
#[derive(Default)]
pub(crate) struct Closing(Mutex<JoinSet<()>>);

impl Closing {
    fn begin(&self, runtime: &Handle, closing: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(closing, runtime);
    }
}
