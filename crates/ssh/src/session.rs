//! Commands and shells on a host (`ssh.md` 5).
//!
//! [`Connection::run`] drives three things at once on its own task: what comes from the host goes
//! to the output, what comes from the input goes to the host, and events of this process are
//! looked at. The first of them to end ends the job. None of them holds more than a few packets:
//! output that nobody takes stops the host, and a host that takes nothing stops the input.

mod error;
mod events;
mod last_resort;
mod local;
mod screen;

use std::{
    convert::Infallible, future, io, os::fd::OwnedFd, sync::atomic::Ordering, time::Duration,
};

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty, Sig, client::Msg};
use tokio::{
    sync::oneshot,
    time::{self, Instant},
};

pub use error::RunError;
pub use events::{Event, Events, Stop};
pub use local::Local;
use local::{Input, Sink};
use screen::Screen;

use crate::{
    Connection,
    terminal::{Size, TerminalGuard},
};

/// How long the host may take to answer before the job runs. The terminal may be raw by then, and
/// Ctrl-C only a byte for the job.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a job that got a signal may take to end before its channel is closed.
const GRACE: Duration = Duration::from_millis(300);

/// How long the host may take to hear that a channel is closed.
const CLOSING: Duration = Duration::from_secs(1);

/// The terminal that hosts are told of, whatever the local one is.
const TERMINAL: &str = "xterm-256color";

/// Its modes.
const MODES: [(Pty, u32); 3] =
    [(Pty::ECHO, 1), (Pty::TTY_OP_ISPEED, 14400), (Pty::TTY_OP_OSPEED, 14400)];

/// Extended data of this type is stderr.
pub(crate) const STDERR: u32 = 1;

pub(crate) type Writer = ChannelWriteHalf<Msg>;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The command for the login shell, as it is; `None` for the login shell itself.
    pub command: Option<String>,
    /// Whether the host may use the agent.
    pub forward_agent: bool,
    /// Whether it only shows something: then it takes no stdin but a terminal's, which is others' to
    /// read, and what it writes to a terminal is cleaned.
    pub shows: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The exit status; 128 + number for a signal, whether it ended the job or this process.
    pub status: u8,
    /// The signal to this process that ended the job, if one did.
    pub stopped: Option<Stop>,
}

/// What ended the conversation with a host.
enum Outcome {
    Ended(u8),
    Stopped(Stop),
    /// Nobody wants the output any more.
    Unwanted,
}

impl Connection {
    /// Runs `job` to its end, or until this process is told to stop, which the job is told too. When
    /// the output is closed the job gets PIPE, as it would here. The local terminal is as before
    /// when this returns, and also when it is dropped.
    ///
    /// # Errors
    /// It could not be started, or the connection broke.
    pub async fn run(&self, job: &Job, local: &mut Local) -> Result<End, RunError> {
        let channel = tokio::select! {
            stop = local.events.stop() => return Ok(End::stopped(stop)),
            opened = answer("a session", self.channel(self.handle.channel_open_session())) => opened,
        };
        let (mut reader, writer) = channel??.split();
        let outcome = self.converse(job, local, &mut reader, &writer).await;
        match outcome {
            Ok(Outcome::Ended(status)) => Ok(End { status, stopped: None }),
            Ok(Outcome::Stopped(stop)) => {
                self.finish(&mut reader, &writer, stop.sig()).await;
                Ok(End::stopped(stop))
            }
            Ok(Outcome::Unwanted) => {
                self.finish(&mut reader, &writer, Sig::PIPE).await;
                Ok(End { status: 141, stopped: None })
            }
            Err(error) => {
                self.end(&mut reader, &writer).await;
                Err(error)
            }
        }
    }

    /// Starts the job and does what it wants until it ends. The terminal is as before afterwards.
    async fn converse(
        &self,
        job: &Job,
        local: &mut Local,
        reader: &mut ChannelReadHalf,
        writer: &Writer,
    ) -> Result<Outcome, RunError> {
        let Local { input, output, errors, events } = local;
        let terminal = rustix::termios::isatty(&*input).then_some(&*input);
        let _raw = tokio::select! {
            stop = events.stop() => return Ok(Outcome::Stopped(stop)),
            prepared = self.prepare(job, terminal, reader, writer) => prepared?,
        };
        let (started, may_send) = oneshot::channel();
        let wanted = terminal.is_some() || !job.shows;
        let input = wanted.then(|| Input::start(input)).transpose().map_err(RunError::Input)?;
        tokio::select! {
            outcome = receive(job, reader, output, errors, started) => outcome,
            stop = follow(events, terminal, writer) => Ok(Outcome::Stopped(stop)),
            never = send(input, writer, may_send) => match never {},
        }
    }

    /// Asks for what comes before the job, and for the job.
    async fn prepare(
        &self,
        job: &Job,
        terminal: Option<&OwnedFd>,
        reader: &mut ChannelReadHalf,
        writer: &Writer,
    ) -> Result<Option<TerminalGuard>, RunError> {
        if job.forward_agent {
            writer.agent_forward(true).await.map_err(|_| RunError::Lost)?;
            // OpenSSH grants it once to a connection, for all its sessions.
            if !answer("agent forwarding", granted(reader)).await??
                && !self.shared.agent_granted.load(Ordering::Acquire)
            {
                return Err(RunError::ForwardingDenied);
            }
            self.shared.agent_granted.store(true, Ordering::Release);
        }
        let mut raw = None;
        if let Some(terminal) = terminal {
            let size = Size::of(terminal).map_err(RunError::Input)?;
            raw = Some(TerminalGuard::raw(terminal).map_err(RunError::Input)?);
            let (width, height) = size.pixels();
            let Size { columns, rows } = size;
            writer
                .request_pty(true, TERMINAL, columns, rows, width, height, &MODES)
                .await
                .map_err(|_| RunError::Lost)?;
            if !answer("a terminal", granted(reader)).await?? {
                return Err(RunError::NoTerminal);
            }
        }
        let asked = match &job.command {
            Some(command) => writer.exec(true, command.as_str()).await,
            None => writer.request_shell(true).await,
        };
        asked.map_err(|_| RunError::Lost)?;
        Ok(raw)
    }

    /// Sends `signal` to the job, gives it a moment to end, and closes the channel.
    async fn finish(&self, reader: &mut ChannelReadHalf, writer: &Writer, signal: Sig) {
        let ended = time::timeout(GRACE, async {
            // Both at once: the signal isn't sent while output waits to be taken.
            let _ = tokio::join!(writer.signal(signal), drain(reader));
        });
        if ended.await.is_err() {
            self.end(reader, writer).await;
        }
    }

    /// Closes the channel, and throws away what comes until the host has heard of it.
    async fn end(&self, reader: &mut ChannelReadHalf, writer: &Writer) {
        tokio::select! {
            () = self.close_channel(writer, CLOSING) => {}
            () = async { drain(reader).await; future::pending().await } => {}
        }
    }

    /// Closes a channel and waits until the host has heard of it, or `limit` is over. Somebody has
    /// to take what the host says meanwhile.
    pub(crate) async fn close_channel(&self, channel: &Writer, limit: Duration) {
        let closing = async {
            // A host that is gone has closed it too. The library doesn't tell when the host closes
            // its side of what is closed here; but requests are answered in their order.
            let _ = channel.close().await;
            let _ = self.handle.send_ping().await;
        };
        let _ = time::timeout(limit, closing).await;
    }
}

impl End {
    fn stopped(stop: Stop) -> Self {
        Self { status: stop.status(), stopped: Some(stop) }
    }
}

/// Waits for the host to answer the request for `what`.
async fn answer<T>(what: &'static str, answer: impl Future<Output = T>) -> Result<T, RunError> {
    time::timeout(ANSWER, answer).await.map_err(|_| RunError::Unanswered(what, ANSWER))
}

/// The host's answer to a request that comes before the job: nothing else comes before it.
async fn granted(reader: &mut ChannelReadHalf) -> Result<bool, RunError> {
    loop {
        match reader.wait().await {
            Some(ChannelMsg::Success) => return Ok(true),
            Some(ChannelMsg::Failure) => return Ok(false),
            Some(ChannelMsg::Close) | None => return Err(RunError::Lost),
            Some(_) => {}
        }
    }
}

/// Writes what comes from the host until it closes the channel. The status may come before or
/// after the last output.
async fn receive(
    job: &Job,
    reader: &mut ChannelReadHalf,
    output: &Sink,
    errors: &Sink,
    started: oneshot::Sender<()>,
) -> Result<Outcome, RunError> {
    let mut started = Some(started);
    let mut status = None;
    let mut signal = None;
    let screen = |sink: &Sink| (job.shows && sink.is_terminal()).then(Screen::default);
    let (mut output_screen, mut errors_screen) = (screen(output), screen(errors));
    let cleaned = |screen: &mut Option<Screen>, data: Bytes| match screen {
        Some(screen) => screen.clean(&data).into(),
        None => data,
    };
    let late = Instant::now() + ANSWER;
    loop {
        let message = match started {
            Some(_) => time::timeout_at(late, reader.wait())
                .await
                .map_err(|_| RunError::Unanswered("the command", ANSWER))?,
            None => reader.wait().await,
        };
        let Some(message) = message else { break };
        // Output is an answer too.
        if matches!(message, ChannelMsg::Success | ChannelMsg::Data { .. })
            && let Some(started) = started.take()
        {
            // Gone only together with this.
            let _ = started.send(());
        }
        match message {
            ChannelMsg::Failure if started.is_some() => return Err(refused(job)),
            ChannelMsg::Data { data } => {
                match output.put(cleaned(&mut output_screen, data)).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Outcome::Unwanted);
                    }
                    Err(error) => return Err(RunError::Output(error)),
                }
            }
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                // What nobody wants to read keeps nobody from working.
                let _ = errors.put(cleaned(&mut errors_screen, data)).await;
            }
            ChannelMsg::ExitStatus { exit_status } => status = Some((exit_status & 0xff) as u8),
            ChannelMsg::ExitSignal { signal_name, .. } => signal = Some(number(&signal_name)),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    let status = status.or_else(|| signal.map(|number| 128 + number));
    status.map(Outcome::Ended).ok_or(RunError::Lost)
}

fn refused(job: &Job) -> RunError {
    match &job.command {
        Some(command) => RunError::Refused(command.clone()),
        None => RunError::NoShell,
    }
}

/// The number of a signal that ended a job; 0 for those that have none everywhere.
pub(crate) fn number(signal: &Sig) -> u8 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::USR1 | Sig::Custom(_) => 0,
    }
}

/// Sends the input once the job runs, and then its end.
async fn send(
    mut input: Option<Input>,
    writer: &Writer,
    started: oneshot::Receiver<()>,
) -> Infallible {
    if started.await.is_ok() {
        while let Some(input) = &mut input
            && let Some(chunk) = input.next().await
        {
            if writer.data_bytes(chunk).await.is_err() {
                return future::pending().await;
            }
        }
        // A host that is gone says so to the other direction.
        let _ = writer.eof().await;
    }
    future::pending().await
}

/// Passes on sizes until a signal comes, also while the host takes nothing.
async fn follow(events: &mut Events, terminal: Option<&OwnedFd>, writer: &Writer) -> Stop {
    let mut told = None;
    loop {
        match events.next().await {
            Event::Stop(stop) => return stop,
            Event::Resized => {
                // It may have changed again while it was told.
                while let Some(size) = terminal.and_then(|terminal| Size::of(terminal).ok())
                    && told != Some(size)
                {
                    let (width, height) = size.pixels();
                    tokio::select! {
                        stop = events.stop() => return stop,
                        // A host that is gone says so to the other direction.
                        _ = writer.window_change(size.columns, size.rows, width, height) => {}
                    }
                    told = Some(size);
                }
            }
        }
    }
}

/// Throws away what comes until the channel is closed.
async fn drain(reader: &mut ChannelReadHalf) {
    while let Some(message) = reader.wait().await {
        if matches!(message, ChannelMsg::Close) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_linux() {
        let numbers = [
            ("HUP", Sig::HUP, 1),
            ("KILL", Sig::KILL, 9),
            ("TERM", Sig::TERM, 15),
            ("SEGV", Sig::SEGV, 11),
            ("USR1", Sig::USR1, 0),
            ("SYS", Sig::Custom("SYS".to_owned()), 0),
        ];
        for (name, signal, expected) in numbers {
            assert_eq!(number(&signal), expected, "{name}");
        }
    }
}
