//! Lines on their way to a stream that may not take them: whoever writes never waits.
//!
//! One thread writes what is queued, and blocks where the stream does (a journal that hangs, a
//! pipe that nobody reads). The queue is bounded in lines and bytes; what doesn't fit is dropped
//! and counted, and the stream is told of it as soon as it takes lines again. A part of the room
//! is for errors alone, so that a flood of small talk doesn't push out why fleetd ends. The thread
//! ends with the process, which waits for it no longer than [`Queue::flush`] is told to.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What is kept at most for a stream that doesn't take it, and what of that is for errors alone.
const ROOM: Capacity = Capacity { lines: 8192, bytes: 1 << 20 };
const FOR_ERRORS: Capacity = Capacity { lines: 256, bytes: 64 << 10 };

const _: () = assert!(FOR_ERRORS.lines < ROOM.lines && FOR_ERRORS.bytes < ROOM.bytes);

#[derive(Clone, Copy)]
struct Capacity {
    lines: usize,
    bytes: usize,
}

/// See the module. Clones are the same queue.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something has come, or has been written.
    moved: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread is writing a line that is no longer among those that wait.
    is_writing: bool,
    /// Lines that were dropped, ever.
    dropped: u64,
    /// How many of them the stream was told of.
    reported: u64,
}

impl Queue {
    /// One whose thread writes to `stream`. `notice` makes the line that tells of so many that are
    /// missing.
    pub(crate) fn start(
        stream: impl Write + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        let queue = Self(Arc::new(Shared { waiting: Mutex::default(), moved: Condvar::new() }));
        let shared = Arc::clone(&queue.0);
        let named = thread::Builder::new().name("log".to_owned());
        // Without a thread, which is a process that can't do anything, everything is dropped.
        let _ = named.spawn(move || shared.write_to(stream, notice));
        queue
    }

    /// Queues a line, or drops it.
    pub(crate) fn push(&self, line: Vec<u8>, is_error: bool) {
        let mut waiting = self.0.waiting();
        if waiting.has_room(line.len(), is_error) {
            waiting.bytes += line.len();
            waiting.lines.push_back(line);
            self.0.moved.notify_all();
        } else {
            waiting.dropped += 1;
        }
    }

    /// How many lines were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.waiting().dropped
    }

    /// Waits until everything is written, and no longer than `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut waiting = self.0.waiting();
        while !waiting.is_settled() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let (next, _) =
                self.0.moved.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            waiting = next;
        }
    }
}

impl Waiting {
    fn has_room(&self, bytes: usize, is_error: bool) -> bool {
        let room = if is_error {
            ROOM
        } else {
            Capacity { lines: ROOM.lines - FOR_ERRORS.lines, bytes: ROOM.bytes - FOR_ERRORS.bytes }
        };
        self.lines.len() < room.lines && self.bytes + bytes <= room.bytes
    }

    fn is_settled(&self) -> bool {
        self.lines.is_empty() && !self.is_writing && self.reported == self.dropped
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines as they come, for ever.
    fn write_to(&self, mut stream: impl Write, notice: impl Fn(u64) -> String) {
        loop {
            let line = self.next(&notice);
            // A stream that is gone is as good as one that nobody reads.
            let _ = stream.write_all(&line).and_then(|()| stream.flush());
            self.waiting().is_writing = false;
            self.moved.notify_all();
        }
    }

    /// Waits for a line. Lines that are missing are told of behind those that came before them.
    fn next(&self, notice: &impl Fn(u64) -> String) -> Vec<u8> {
        let mut waiting = self.waiting();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.is_writing = true;
                return line;
            }
            if waiting.reported < waiting.dropped {
                let missing = waiting.dropped - mem::replace(&mut waiting.reported, 0);
                waiting.reported = waiting.dropped;
                waiting.is_writing = true;
                return notice(missing).into_bytes();
            }
            waiting = self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One line of the log, queued when it is complete.
pub(crate) struct Line<'a> {
    queue: &'a Queue,
    bytes: Vec<u8>,
    is_error: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.queue.push(mem::take(&mut self.bytes), self.is_error);
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::new(), is_error: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { queue: self, bytes: Vec::new(), is_error: *metadata.level() == Level::ERROR }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, pipe},
        time::Duration,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn notice(count: u64) -> String {
        format!("{count} lines are missing\n")
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody_and_what_is_lost_is_told_when_it_flows() {
        let (reader, writer) = pipe().unwrap();
        let queue = Queue::start(writer, notice);
        let line = || format!("{}\n", "x".repeat(99)).into_bytes();
        // More than the pipe, the queue and the line under way can hold.
        let count = 2 * ROOM.bytes / line().len();
        for _ in 0..count {
            queue.push(line(), false);
        }
        let dropped = queue.dropped();
        assert!(dropped > 0);
        queue.push(b"why fleetd ends\n".to_vec(), true);
        assert_eq!(queue.dropped(), dropped, "an error has room that others leave");
        let begun = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < LONG, "nor is the end held up");

        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let kept = u64::try_from(count).unwrap() - dropped;
        for number in 0..kept {
            assert!(lines.next().unwrap().starts_with("xxx"), "line {number} of {kept}");
        }
        assert_eq!(lines.next().unwrap(), "why fleetd ends");
        assert_eq!(lines.next().unwrap(), format!("{dropped} lines are missing"));
        queue.push(b"on\n".to_vec(), false);
        assert_eq!(lines.next().unwrap(), "on");
        queue.flush(LONG);
    }

    #[test]
    fn a_flush_waits_for_what_is_under_way() {
        let (reader, writer) = pipe().unwrap();
        let queue = Queue::start(writer, notice);
        for n in 0..1000 {
            queue.push(format!("{n}\n").into_bytes(), false);
        }
        let read = thread::spawn(move || BufReader::new(reader).lines().take(1000).count());
        queue.flush(LONG);
        assert!(queue.0.waiting().is_settled());
        assert_eq!((read.join().unwrap(), queue.dropped()), (1000, 0));
    }
}
