//! The private socket of systemd, where it takes root's calls without a bus.
//!
//! There systemd signs its messages with its well-known name. On a bus the daemon would replace
//! that by a unique name, and zbus takes nothing else. So this reads along: where a message's
//! header has `org.freedesktop.systemd1` for its sender, the first letter becomes a colon, which
//! makes a unique name of it. Nothing else changes, and nothing here looks at a message's body.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix},
};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

/// The sender field as it is in a header, with its code, its type and the length of the name.
const FROM: [&[u8]; 2] = [b"\x07\x01s\0\x18\0\0\0", b"\x07\x01s\0\0\0\0\x18"];
const NAME: &[u8] = b"org.freedesktop.systemd1\0";
/// What every message begins with: byte order, kind, length of the body, serial, length of the
/// fields.
const FIXED: usize = 16;

/// A connection to systemd's private socket.
#[derive(Debug)]
pub(crate) struct PrivateSocket(pub(crate) UnixStream);

impl Socket for PrivateSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(Reader { read, rewriter: Rewriter::default() }, Writer(write))
    }
}

#[derive(Debug)]
pub(crate) struct Reader {
    read: unix::OwnedReadHalf,
    rewriter: Rewriter,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            let taken = self.rewriter.take(buffer);
            if taken > 0 || buffer.is_empty() {
                return Ok((taken, Vec::new()));
            }
            let mut bytes = [0; 4096];
            let read = self.read.read(&mut bytes).await?;
            if read == 0 {
                return Ok((0, Vec::new())); // an unfinished header is of no use to anybody
            }
            self.rewriter.put(&bytes[..read]);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Writer(unix::OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Bytes go in as they arrive and come out as zbus likes them.
#[derive(Debug, Default)]
struct Rewriter {
    bytes: Vec<u8>,
    /// How much at the front of `bytes` may be taken.
    ready: usize,
    /// How much of the current body has yet to come after that.
    body: usize,
}

impl Rewriter {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while self.advance() {}
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.ready);
        buffer[..length].copy_from_slice(&self.bytes[..length]);
        self.bytes.drain(..length);
        self.ready -= length;
        length
    }

    /// Makes the next part ready, if it is complete.
    fn advance(&mut self) -> bool {
        let pending = &mut self.bytes[self.ready..];
        let (part, body) = match (pending.first(), self.body) {
            (None, _) => return false,
            (Some(_), body) if body > 0 => {
                let part = body.min(pending.len());
                (part, body - part)
            }
            (Some(b'l' | b'B'), _) => match header(pending) {
                Some((length, body)) if length <= pending.len() => {
                    rewrite(&mut pending[..length]);
                    (length, body)
                }
                _ => return false,
            },
            // A line of the greeting: none of those begins like a message.
            (Some(_), _) => match pending.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, 0),
                None => return false,
            },
        };
        self.ready += part;
        self.body = body;
        true
    }
}

/// The lengths of a message's header, padding included, and of its body.
fn header(message: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize| {
        let bytes = message.get(at..at + 4)?.try_into().ok()?;
        let number = match message[0] {
            b'l' => u32::from_le_bytes(bytes),
            _ => u32::from_be_bytes(bytes),
        };
        usize::try_from(number).ok()
    };
    let fields = number(12)?;
    Some((FIXED.checked_add(fields)?.checked_next_multiple_of(8)?, number(4)?))
}

/// Fields begin at multiples of eight.
fn rewrite(header: &mut [u8]) {
    for at in (FIXED..header.len()).step_by(8) {
        let field = &mut header[at..];
        if FROM.iter().any(|from| field.starts_with(from)) && field[8..].starts_with(NAME) {
            field[8] = b':';
        }
    }
}

#[cfg(test)]
mod tests {
    use zbus::Message;

    use super::*;

    /// A message as systemd sends it over its private socket.
    fn from_systemd(body: &str) -> Vec<u8> {
        let signal = Message::signal("/a", "b.c", "D").sender(":rg.freedesktop.systemd1");
        let message = signal.build(&body).unwrap();
        let mut bytes = message.data().to_vec();
        let at = bytes.windows(NAME.len()).position(|window| window[1..] == NAME[1..]).unwrap();
        bytes[at] = b'o';
        bytes
    }

    fn rewritten(bytes: &[u8], pieces: usize) -> Vec<u8> {
        let mut rewriter = Rewriter::default();
        let mut all = Vec::new();
        for piece in bytes.chunks(pieces) {
            rewriter.put(piece);
            let mut buffer = [0; 7];
            loop {
                match rewriter.take(&mut buffer) {
                    0 => break,
                    taken => all.extend_from_slice(&buffer[..taken]),
                }
            }
        }
        all
    }

    #[test]
    fn only_the_sender_changes_however_the_bytes_arrive() {
        // A body that looks like a header's field, aligned as one.
        let trap = "\x07\x01s\0\x18\0\0\0org.freedesktop.systemd1\0".replace('\0', "\x01");
        let messages =
            [from_systemd(""), from_systemd(&trap), from_systemd("org.freedesktop.systemd1")];
        let mut expected = b"OK 0123\r\nAGREE_UNIX_FD\r\n".to_vec();
        let mut sent = expected.clone();
        for message in &messages {
            sent.extend_from_slice(message);
            let mut message = message.clone();
            let at = message.windows(NAME.len()).position(|window| window == NAME).unwrap();
            message[at] = b':';
            expected.extend_from_slice(&message);
        }
        for pieces in 1..=sent.len() {
            assert_eq!(rewritten(&sent, pieces), expected, "in pieces of {pieces}");
        }
    }

    #[test]
    fn headers_of_either_byte_order_are_measured() {
        let little = *b"l\x04\0\x01\x05\0\0\0\x01\0\0\0\x09\0\0\0";
        let big = *b"B\x04\0\x01\0\0\0\x05\0\0\0\x01\0\0\0\x09";
        assert_eq!(header(&little), Some((32, 5)));
        assert_eq!(header(&big), Some((32, 5)));
        assert_eq!(header(&big[..15]), None);
    }
}
