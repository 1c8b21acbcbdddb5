//! A scripted HTTP server for tests: answers from a closure, remembers what it was asked.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod tls;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of the connection it came over, from 0.
    pub connection: usize,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// `METHOD target body`, without what every request carries.
    pub fn line(&self) -> String {
        let target = self.target.replace("?alt=json&", "?").replace("?alt=json", "");
        let target = target.strip_prefix("/fleet/v1/").unwrap_or(&target);
        format!("{} {target} {}", self.method, self.body).trim_end().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| &**value)
    }
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answer.
    Send(u16, String),
    /// Answer with another header line.
    With(u16, String, String),
    /// Answer, then close without having said so.
    SendAndClose(u16, String),
    /// Close without an answer.
    Close,
    /// Never answer; the connection stays open.
    Hang,
}

/// A server that lives as long as the test process; its threads end with their connections.
pub struct Server {
    requests: Arc<Mutex<Vec<Request>>>,
    /// The address, for a server on TCP.
    pub address: Option<SocketAddr>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Server {
    /// Serves on a free port of the loopback interface.
    pub fn tcp(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || listener.accept().map(|(stream, _)| stream);
        Self { requests: serve(accept, TcpStream::try_clone, answer), address: Some(address) }
    }

    /// Serves on a new unix socket.
    pub fn unix(path: &Path, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let accept = move || listener.accept().map(|(stream, _)| stream);
        Self { requests: serve(accept, UnixStream::try_clone, answer), address: None }
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The same, as lines.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// The address as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address.unwrap())
    }
}

fn serve<S: Read + Write + Send + 'static>(
    accept: impl Fn() -> io::Result<S> + Send + 'static,
    clone: impl Fn(&S) -> io::Result<S> + Send + 'static,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Arc<Mutex<Vec<Request>>> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let answer: Arc<Answer> = Arc::new(answer);
    thread::spawn(move || {
        for connection in 0.. {
            let Ok(stream) = accept() else { return };
            let Ok(reader) = clone(&stream) else { return };
            let (seen, answer) = (seen.clone(), answer.clone());
            thread::spawn(move || {
                let _ = converse(connection, BufReader::new(reader), stream, &seen, &*answer);
            });
        }
    });
    requests
}

fn converse<S: Read + Write>(
    connection: usize,
    mut reader: BufReader<S>,
    mut writer: S,
    seen: &Mutex<Vec<Request>>,
    answer: &Answer,
) -> io::Result<()> {
    while let Some(request) = read(connection, &mut reader)? {
        seen.lock().unwrap().push(request.clone());
        match answer(&request) {
            Reply::Send(status, body) => send(&mut writer, status, "", &body)?,
            Reply::With(status, header, body) => send(&mut writer, status, &header, &body)?,
            Reply::SendAndClose(status, body) => return send(&mut writer, status, "", &body),
            Reply::Close => return Ok(()),
            Reply::Hang => {
                // Ends when the client hangs up.
                io::copy(&mut reader, &mut io::sink())?;
            }
        }
    }
    Ok(())
}

fn read<S: Read>(connection: usize, reader: &mut BufReader<S>) -> io::Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { connection, method, target, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8(body).unwrap();
    Ok(Some(request))
}

fn send(writer: &mut impl Write, status: u16, header: &str, body: &str) -> io::Result<()> {
    let length =
        if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let text = format!("HTTP/1.1 {status} X\r\n{length}{header}\r\n{body}");
    writer.write_all(text.as_bytes())?;
    writer.flush()
}
