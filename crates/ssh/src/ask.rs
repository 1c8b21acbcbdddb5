//! What the user is asked and told while connecting.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    thread,
};

use async_trait::async_trait;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::sync::{Mutex, oneshot};

mod secret;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// The user. Time that passes here isn't counted against any limit.
#[async_trait]
pub trait Ask: Send + Sync {
    /// Prints `question` to stderr as it is and reads one line of stdin, not a byte beyond its end,
    /// whether or not stdin is a terminal (`ssh.md` 4.5). The line comes without its end. `None` is
    /// the end of stdin.
    ///
    /// # Errors
    /// Stdin that can't be read, or a line that doesn't end.
    async fn line(&self, question: &str) -> io::Result<Option<String>>;

    /// Asks for a secret on the terminal, without echo. `None`: there is no terminal, or the user
    /// gave up.
    ///
    /// # Errors
    /// A terminal that can't be read.
    async fn secret(&self, question: &str) -> io::Result<Option<String>>;

    /// Prints a line to stderr.
    fn tell(&self, line: &str);
}

/// Whose turn it is to ask: questions of connections that are opened at once come one by one.
static TURN: Mutex<()> = Mutex::const_new(());

/// The user at this process's stdin, stderr and terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

#[async_trait]
impl Ask for Standard {
    async fn line(&self, question: &str) -> io::Result<Option<String>> {
        let _turn = TURN.lock().await;
        write_stderr(question);
        // Only the descriptor is used: the handle itself would read ahead.
        on_own_thread(|| read_line(&io::stdin())).await
    }

    async fn secret(&self, question: &str) -> io::Result<Option<String>> {
        let _turn = TURN.lock().await;
        secret::ask(question).await
    }

    fn tell(&self, line: &str) {
        write_stderr(&format!("{line}\n"));
    }
}

/// Writes to stderr. A stderr that is gone is no reason to fail.
fn write_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Runs what waits for the user on a thread of its own. The runtime waits for its own threads when
/// it ends, and this one may wait forever; it ends with the process.
async fn on_own_thread<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("ask".to_owned()).spawn(move || {
        // The one who asked may be gone.
        let _ = done.send(read());
    })?;
    result.await.map_err(|_| io::Error::other("reading ended"))?
}

/// Reads a line byte by byte, as what follows belongs to somebody else. Bytes that aren't UTF-8
/// are replaced.
fn read_line(from: &impl AsFd) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        match read_byte(from)? {
            None if line.is_empty() => return Ok(None),
            None | Some(b'\n') => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Some(_) if line.len() == LONGEST => return Err(too_long()),
            Some(byte) => line.push(byte),
        }
    }
}

/// Reads a byte; `None` is the end.
fn read_byte(from: &impl AsFd) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match rustix::io::read(from, &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(Errno::INTR) => {}
            // Somebody who shares it set it to non-blocking.
            Err(Errno::AGAIN) => wait(from)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait(from: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(from, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is too long")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Returns a pipe that holds `bytes`, and nothing after.
    fn pipe(bytes: &[u8]) -> io::PipeReader {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        reader
    }

    #[test]
    fn not_a_byte_is_read_beyond_the_line() {
        let mut stdin = pipe(b"yes\nrest1\nrest2\n");
        assert_eq!(read_line(&stdin).unwrap().as_deref(), Some("yes"));
        let mut rest = String::new();
        stdin.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest1\nrest2\n");
    }

    #[test]
    fn the_end_of_input_ends_a_line() {
        let stdin = pipe(b"yes");
        assert_eq!(read_line(&stdin).unwrap().as_deref(), Some("yes"));
        assert_eq!(read_line(&stdin).unwrap(), None);
    }

    #[test]
    fn input_that_does_not_block_is_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let read = thread::spawn(move || read_line(&reader));
        writer.write_all(b"yes\n").unwrap();
        assert_eq!(read.join().unwrap().unwrap().as_deref(), Some("yes"));
    }

    #[test]
    fn an_empty_line_is_a_line() {
        let stdin = pipe(b"\n\xff\n");
        assert_eq!(read_line(&stdin).unwrap().as_deref(), Some(""));
        assert_eq!(read_line(&stdin).unwrap().as_deref(), Some("\u{fffd}"));
    }

    #[tokio::test]
    async fn reading_on_a_thread_brings_the_line() {
        let stdin = pipe(b"yes\n");
        let line = on_own_thread(move || read_line(&stdin)).await.unwrap();
        assert_eq!(line.as_deref(), Some("yes"));
    }
}
