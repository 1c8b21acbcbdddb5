//! This end of a job: where its input comes from, where its output goes, and what interrupts it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use tokio::{sync::mpsc, task};

use super::events::{Events, Stop};

/// How much is read at once: what an SSH packet takes.
const CHUNK: usize = 32 * 1024;

/// How many chunks are read before the host has taken the first.
const AHEAD: usize = 4;

/// This end of a job. It can be used for one job after the other.
pub struct Local {
    pub(super) input: OwnedFd,
    pub(super) output: Sink,
    pub(super) errors: Sink,
    pub(super) events: Events,
}

impl Local {
    /// Stdin, stdout, stderr and the signals of this process.
    ///
    /// # Errors
    /// Descriptors or handlers are refused.
    pub fn standard() -> io::Result<Self> {
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
        Ok(Self::new(
            own(io::stdin().as_fd())?,
            own(io::stdout().as_fd())?,
            own(io::stderr().as_fd())?,
            Events::of_process()?,
        ))
    }

    /// Any other descriptors and events. Where `input` is a terminal the job gets one too.
    pub fn new(input: OwnedFd, output: OwnedFd, errors: OwnedFd, events: Events) -> Self {
        Self { input, output: Sink(Arc::new(output)), errors: Sink(Arc::new(errors)), events }
    }

    /// Waits for a signal that should end this process, for the time in which no job runs.
    pub async fn interrupted(&mut self) -> Stop {
        self.events.stop().await
    }
}

/// Where output goes.
pub(super) struct Sink(Arc<OwnedFd>);

impl Sink {
    /// Whether somebody looks at it.
    pub(super) fn is_terminal(&self) -> bool {
        rustix::termios::isatty(&*self.0)
    }

    /// Writes all of `data`. Dropped, it may still write.
    pub(super) async fn put(&self, data: Bytes) -> io::Result<()> {
        let sink = Arc::clone(&self.0);
        task::spawn_blocking(move || write_all(sink.as_fd(), &data))
            .await
            .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
    }
}

fn write_all(sink: BorrowedFd<'_>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(sink, data) {
            Ok(written) => data = &data[written..],
            Err(Errno::INTR) => {}
            // Somebody who shares it set it to non-blocking.
            Err(Errno::AGAIN) => wait(sink, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Input, read by a thread of its own: stdin may be a terminal, a pipe or a file, and none of them
/// may be set to non-blocking, for others share it. Dropped, the thread ends at once, without
/// having taken more than [`AHEAD`] chunks too many.
pub(super) struct Input {
    chunks: mpsc::Receiver<Vec<u8>>,
    /// The thread looks at the other end: it hangs up when this one is closed.
    _alive: OwnedFd,
}

impl Input {
    /// Starts to read from `source`.
    ///
    /// # Errors
    /// No pipe or no thread can be had.
    pub(super) fn start(source: &OwnedFd) -> io::Result<Self> {
        let source = source.try_clone()?;
        let (ended, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let (sender, chunks) = mpsc::channel(AHEAD);
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(&source, &ended, &sender))?;
        Ok(Self { chunks, _alive: alive })
    }

    /// The next chunk; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.chunks.recv().await
    }
}

/// Reads until the end of `source`, or until nobody is interested any more. An error is the end
/// too: that of a terminal that went away, for one.
fn read(source: &OwnedFd, ended: &OwnedFd, sender: &mpsc::Sender<Vec<u8>>) {
    loop {
        let mut ready =
            [PollFd::new(source, PollFlags::IN), PollFd::new(ended, PollFlags::empty())];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        let mut chunk = vec![0; CHUNK];
        match rustix::io::read(source, &mut chunk) {
            Ok(0) => return,
            Ok(length) => chunk.truncate(length),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return,
        }
        if sender.blocking_send(chunk).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Seek, Write},
    };

    use super::*;

    async fn all(mut input: Input) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = input.next().await {
            all.extend(chunk);
        }
        all
    }

    #[tokio::test]
    async fn files_and_pipes_are_read_to_their_end() {
        let mut file = tempfile::tempfile().unwrap();
        let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&data).unwrap();
        file.rewind().unwrap();
        assert_eq!(all(Input::start(&file.into()).unwrap()).await, data);

        let (source, far) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut far = File::from(far);
        far.write_all(b"abc").unwrap();
        drop(far);
        assert_eq!(all(Input::start(&source).unwrap()).await, b"abc");

        let null = File::open("/dev/null").unwrap();
        assert_eq!(all(Input::start(&null.into()).unwrap()).await, b"");
    }

    #[tokio::test]
    async fn input_that_is_given_up_takes_nothing_more() {
        let (source, far) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut far = File::from(far);
        let mut input = Input::start(&source).unwrap();
        far.write_all(b"first").unwrap();
        assert_eq!(input.next().await.unwrap(), b"first");
        drop(input.chunks);
        drop(input._alive);
        // The thread holds the only other reading end: a closed pipe says that it is gone.
        let rest = source.try_clone().unwrap();
        drop(source);
        far.write_all(b"second").unwrap();
        drop(far);
        let mut text = String::new();
        File::from(rest).read_to_string(&mut text).unwrap();
        assert_eq!(text, "second");
    }

    #[tokio::test]
    async fn sinks_take_everything_and_say_when_they_are_closed() {
        let (source, far) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let sink = Sink(Arc::new(far));
        let data = vec![7; 300_000];
        let reader = Input::start(&source).unwrap();
        let (written, read) = tokio::join!(
            async {
                let written = sink.put(Bytes::from(data.clone())).await;
                drop(sink);
                written
            },
            all(reader)
        );
        written.unwrap();
        assert_eq!(read, data);

        let (source, far) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(source);
        let error = Sink(Arc::new(far)).put(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
