//! As much of an HTTP/1.1 client as the lab needs: one request at a time on a connection that
//! stays open, over any stream.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for any byte of an answer. fleetd itself gives up on etcd long before.
const TIMEOUT: Duration = Duration::from_secs(5);

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An open connection to a server.
pub(crate) struct Connection(BufReader<Box<dyn Stream>>);

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body; empty when there is none.
    pub body: String,
}

impl Connection {
    /// Connects to the unix socket at `path`, which may lead through `/proc/PID/root`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub(crate) fn unix(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self::over(stream))
    }

    /// Speaks HTTP over a connected TCP stream.
    ///
    /// # Errors
    /// When the stream is broken.
    pub(crate) fn tcp(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// Sends a request, with `body` as JSON if there is one, and reads the answer.
    ///
    /// # Errors
    /// When the connection breaks or what comes back isn't HTTP.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<Reply> {
        self.request(method, path, body)?;
        self.reply().with_context(|| format!("no answer to {method} {path}"))
    }

    fn request(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(body) = body {
            request.push_str("Content-Type: application/json\r\n");
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        let stream = self.0.get_mut();
        stream.write_all(request.as_bytes())?;
        Ok(stream.flush()?)
    }

    /// Sends a request whose answer goes on and on, and returns its lines as they come.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is another one.
    pub(crate) fn follow(mut self, path: &str, body: &str) -> Result<Lines> {
        self.request("POST", path, Some(body))?;
        let (status, chunked, _) = self.head()?;
        ensure!(status == 200 && chunked, "{path} is answered {status}");
        Ok(Lines { connection: self, held: String::new() })
    }

    fn reply(&mut self) -> Result<Reply> {
        let (status, chunked, length) = self.head()?;
        let body = match (status, chunked, length) {
            (204 | 304, ..) => Vec::new(),
            (_, true, _) => self.chunks()?,
            (_, _, Some(length)) => self.bytes(length)?,
            _ => bail!("an answer of unknown length"),
        };
        Ok(Reply { status, body: String::from_utf8(body)? })
    }

    /// Reads the status, and how the body's end is told: whether in chunks, or its length.
    fn head(&mut self) -> Result<(u16, bool, Option<usize>)> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("not HTTP: {status_line:?}"))?;
        let mut length = None;
        let mut chunked = false;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.trim().parse()?),
                "transfer-encoding" => chunked = value.trim() == "chunked",
                _ => {}
            }
        }
        Ok((status, chunked, length))
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.append(&mut chunk);
        }
    }

    /// Reads a chunk; the last is empty.
    fn chunk(&mut self) -> Result<Vec<u8>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default();
        let chunk = self.bytes(usize::from_str_radix(size.trim(), 16)?)?;
        self.line()?;
        Ok(chunk)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }
}

/// An answer that goes on, line by line.
pub(crate) struct Lines {
    connection: Connection,
    held: String,
}

impl Lines {
    /// Waits for the next line.
    ///
    /// # Errors
    /// When there is none for some seconds, or will be none.
    pub(crate) fn next(&mut self) -> Result<String> {
        loop {
            if let Some((line, rest)) = self.held.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.held = rest;
                return Ok(line);
            }
            let chunk = self.connection.chunk()?;
            ensure!(!chunk.is_empty(), "the answer has ended");
            self.held.push_str(&String::from_utf8(chunk)?);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Answers one request after the other with `replies`, and returns what it was asked.
    fn exchange(replies: &'static [&'static str]) -> (Vec<Reply>, String) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut asked = String::new();
            let mut theirs = BufReader::new(theirs);
            for reply in replies {
                while !asked.ends_with("\r\n\r\n") {
                    theirs.read_line(&mut asked).unwrap();
                }
                asked.push('|');
                theirs.get_mut().write_all(reply.as_bytes()).unwrap();
            }
            asked
        });
        let mut connection = Connection::over(ours);
        let got = replies.iter().map(|_| connection.send("GET", "/x", None).unwrap()).collect();
        (got, server.join().unwrap())
    }

    #[test]
    fn replies_of_every_framing_follow_each_other_on_one_connection() {
        let (replies, asked) = exchange(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        ]);
        let got: Vec<_> = replies.iter().map(|r| (r.status, r.body.as_str())).collect();
        assert_eq!(got, [(200, "{}"), (200, "abcd"), (204, ""), (503, "")]);
        assert_eq!(asked.matches("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").count(), 4);
    }

    #[test]
    fn an_answer_that_goes_on_comes_in_lines() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n";
        (&theirs).write_all(reply.as_bytes()).unwrap();
        let mut lines = Connection::over(ours).follow("/x", "{}").unwrap();
        assert_eq!((lines.next().unwrap(), lines.next().unwrap()), ("a".into(), "bc".into()));
        assert!(lines.next().is_err());
    }

    #[test]
    fn a_closed_connection_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Connection::over(ours).send("GET", "/x", None).is_err());
    }
}
