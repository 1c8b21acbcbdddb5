//! Sends bodies to the real server: it answers each, and never with a failure of its own.
#![no_main]

use std::{cell::RefCell, num::NonZeroU16, sync::Arc};

use fleet_api::{Api, Availability, Limits, Listener, Settings, serve};
use fleet_registry::{Keys, Registry};
use fleet_store::MemoryStore;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A server forgets everything after this many bodies, so that memory stays bounded.
const BODIES: usize = 2000;

/// What the first byte of an input chooses from.
const REQUESTS: [&str; 4] = [
    "PUT /fleet/v1/units/a.service",
    "PUT /fleet/v1/units/b@1.service",
    "PUT /v1-alpha/units/t@.timer",
    "PATCH /fleet/v1/machines",
];

struct Server {
    runtime: Runtime,
    folder: TempDir,
    _tasks: JoinSet<()>,
    left: usize,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = TempDir::new().expect("a folder");
        let listener = {
            let _here = runtime.enter();
            UnixListener::bind(folder.path().join("s")).expect("a socket")
        };
        let keys = Keys::new("/f").expect("a prefix");
        let registry = Registry::new(Arc::new(MemoryStore::new()), keys);
        let availability = Availability::new();
        availability.set(true);
        let settings = Settings {
            version: "fuzz".to_owned(),
            token_limit: NonZeroU16::MIN,
            limits: Limits::default(),
            hosts: Vec::new(),
        };
        let api = Arc::new(Api::new(registry, availability, settings));
        let mut tasks = JoinSet::new();
        let listeners = vec![Listener::from(listener)];
        tasks.spawn_on(serve(listeners, api, CancellationToken::new()), runtime.handle());
        Self { runtime, folder, _tasks: tasks, left: BODIES }
    }

    /// Sends a request and returns the answer's first line.
    fn ask(&self, request: &str, body: &[u8]) -> String {
        let socket = self.folder.path().join("s");
        let head = format!(
            "{request} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.runtime.block_on(async {
            let mut stream = UnixStream::connect(socket).await.expect("it listens");
            // A body that is too large is refused before all of it is sent.
            let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
        })
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    SERVER.with_borrow_mut(|server| {
        let server = match server {
            Some(running) if running.left > 0 => running,
            _ => server.insert(Server::start()),
        };
        server.left -= 1;
        let request = REQUESTS[usize::from(*choice) % REQUESTS.len()];
        let status = server.ask(request, body);
        assert!(status.starts_with("HTTP/1.0 ") || status.starts_with("HTTP/1.1 "), "{status:?}");
        assert!(!status[9..].starts_with('5'), "{status}");
        // And what is stored can be read.
        let lists = ["GET /fleet/v1/units", "GET /fleet/v1/machines"];
        if server.left % 64 == 0 {
            for list in lists {
                let status = server.ask(list, b"");
                assert!(status[9..].starts_with("200"), "{list}: {status}");
            }
        }
    });
});
