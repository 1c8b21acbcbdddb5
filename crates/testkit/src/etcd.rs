//! A real etcd for tests, on free loopback ports with a data folder of its own.
//!
//! It is killed by its pid and its data removed when the guard is dropped, also by a panic.
//! The functions block for a moment; they panic with what is wrong, as tests do.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// How often a server that is starting is asked whether it is healthy, and the pause between.
const CHECKS: usize = 600;
const PAUSE: Duration = Duration::from_millis(25);

/// How often a start is tried again with other ports, since a free one may be taken meanwhile.
const STARTS: usize = 5;

/// A running etcd, of one member unless it belongs to a cluster.
///
/// Its election timeout is short, so that it grants leases of one second, and it advertises an
/// address where nothing listens: whoever follows the advertised endpoints fails.
#[derive(Debug)]
pub struct EtcdServer {
    data: TempDir,
    scheme: &'static str,
    arguments: Vec<String>,
    ports: Ports,
    /// The peers' ports, its own among them.
    cluster: Vec<u16>,
    process: Option<Child>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    client: u16,
    peer: u16,
    health: u16,
}

impl EtcdServer {
    /// Starts an etcd and waits until it answers.
    ///
    /// # Panics
    /// When there is no `etcd` (Debian's package `etcd-server`) or it doesn't start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("http", &[])
    }

    /// Starts an etcd that serves clients over `scheme` (`http` or `https`), with more arguments.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(scheme: &'static str, arguments: &[&str]) -> Self {
        let mut servers = Self::start_all(1, scheme, arguments);
        servers.pop().expect("one was started")
    }

    /// Starts a cluster of `size` members.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_cluster(size: usize) -> Vec<Self> {
        // Patient with machines that are too busy for so many.
        Self::start_all(size, "http", &["--heartbeat-interval=50", "--election-timeout=500"])
    }

    fn start_all(size: usize, scheme: &'static str, arguments: &[&str]) -> Vec<Self> {
        for _ in 0..STARTS {
            let ports: Vec<Ports> = (0..size).map(|_| Ports::free()).collect();
            let cluster: Vec<u16> = ports.iter().map(|ports| ports.peer).collect();
            let member = |ports: &Ports| Self {
                data: TempDir::new().expect("no folder for etcd's data"),
                scheme,
                arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
                ports: *ports,
                cluster: cluster.clone(),
                process: None,
            };
            let mut servers: Vec<Self> = ports.iter().map(member).collect();
            servers.iter_mut().for_each(Self::launch);
            let Some(failed) = servers.iter_mut().position(|server| !server.is_up()) else {
                return servers;
            };
            let log = servers[failed].log();
            assert!(log.contains("address already in use"), "etcd does not start:\n{log}");
        }
        panic!("found no free ports for etcd in {STARTS} tries");
    }

    /// The etcd that the tests of this process share while any of them uses it.
    ///
    /// Each test keeps to a prefix of its own and neither stops nor compacts it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<EtcdServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// The URL for clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.ports.client)
    }

    /// Freezes the server (SIGSTOP): connections stay open, nothing is answered.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Wakes the server after [`pause`](Self::pause).
    ///
    /// # Panics
    /// When it isn't running.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Kills the server (SIGKILL) and waits for its end. Its data and ports stay reserved.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have died by itself, which is as good.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the server again after [`kill`](Self::kill), with the same ports and data.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "etcd is running");
        self.launch();
        assert!(self.is_up(), "etcd does not start again:\n{}", self.log());
    }

    /// One of the server's metrics, such as `etcd_server_proposals_committed_total`.
    ///
    /// # Panics
    /// When the server doesn't answer.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = get(self.ports.health, "/metrics").expect("etcd answers");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// All metrics, as the server writes them; `None` when it doesn't answer.
    #[must_use]
    pub fn metrics(&self) -> Option<String> {
        get(self.ports.health, "/metrics")
    }

    /// The process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    fn launch(&mut self) {
        self.process = Some(self.spawn());
    }

    /// Waits until the process is healthy (`true`) or has ended (`false`).
    fn is_up(&mut self) -> bool {
        for _ in 0..CHECKS {
            if get(self.ports.health, "/health").is_some_and(|page| page.contains("\"true\"")) {
                return true;
            }
            let process = self.process.as_mut().expect("etcd is not running");
            if process.try_wait().expect("it is our child").is_some() {
                self.process = None;
                return false;
            }
            thread::sleep(PAUSE);
        }
        panic!("etcd does not become healthy:\n{}", self.log());
    }

    fn spawn(&self) -> Child {
        let Ports { client, peer, health } = self.ports;
        let client = format!("{}://127.0.0.1:{client}", self.scheme);
        let peer = peer_url(peer);
        let cluster: Vec<String> =
            self.cluster.iter().map(|&port| format!("{port}={}", peer_url(port))).collect();
        let log = std::fs::File::create(self.log_file()).expect("the data folder is writable");
        let result = Command::new("etcd")
            .env_clear() // etcd takes arguments from the environment as well
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .arg(format!("--name={}", self.ports.peer))
            .arg(format!("--data-dir={}", self.data_dir().display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={}://127.0.0.1:1", self.scheme))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .arg(format!("--listen-metrics-urls=http://127.0.0.1:{health}"))
            .args(["--heartbeat-interval=20", "--election-timeout=200", "--logger=zap"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match result {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("there is no etcd here: install Debian's package etcd-server")
            }
            Err(error) => panic!("can't run etcd: {error}"),
        }
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("etcd is not running");
        let pid = i32::try_from(process.id()).expect("a pid is small");
        kill(Pid::from_raw(pid), signal).expect("it is our child");
    }

    fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.data.path().join("log")
    }

    fn log(&self) -> String {
        tail(&self.log_file())
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ports {
    /// Ports that are free at the moment, and that the kernel gives to no connection: while a
    /// member is dead, the others try its port, and one of these tries may be given that very port.
    fn free() -> Self {
        let listen = || {
            let mut tries = (0..1000).map(|_| fastrand::u16(10_000..32_000));
            tries.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        };
        // All three are held until all are found, so that they differ.
        let listeners: [TcpListener; 3] =
            std::array::from_fn(|_| listen().expect("loopback has free ports"));
        let [client, peer, health] = listeners
            .map(|listener| listener.local_addr().expect("a bound socket has an address").port());
        Self { client, peer, health }
    }
}

fn peer_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// One plain HTTP request to a loopback port; `None` when it isn't answered.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let log = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
