//! Users: what they ask of the API, many at a time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fleet_client::{Client, ClientError, Endpoint};
use fleet_schema::Unit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinSet,
    time,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a request is made again that failed, and the pause before.
const RETRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// Where a fleetd is asked.
#[derive(Clone, Debug)]
pub(super) struct Api {
    socket: PathBuf,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Put(Unit),
    Destroy(String),
}

impl Api {
    /// The pause of somebody who asks over and over.
    pub(super) const BREATH: Duration = Duration::from_millis(200);

    /// The one that is served at this socket.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A client of it, with connections of its own.
    pub(super) fn client(&self) -> Result<Client, String> {
        let endpoint: Endpoint = self.url().parse().map_err(|error| format!("{error}"))?;
        Ok(Client::new(endpoint, Some(PATIENCE)))
    }

    /// Makes a request, again where it fails for a while; says how often it was.
    pub(super) async fn send(client: &Client, request: &Request) -> Result<usize, String> {
        let mut failures = 0;
        loop {
            let result = match request {
                Request::Put(unit) => client.put(unit.clone()).await,
                Request::Destroy(name) => client.destroy(name).await.map(|_| ()),
            };
            match result {
                Ok(()) => return Ok(failures),
                Err(ClientError::Answer(answer)) if answer.status < 500 => {
                    return Err(format!("{request:?} was refused: {}", answer.status));
                }
                Err(error) if failures == RETRIES => return Err(error.to_string()),
                Err(_) => failures += 1,
            }
            time::sleep(PAUSE).await;
        }
    }

    /// Makes all these requests, so many at a time; says how many had to be made again.
    pub(super) async fn send_all(
        &self,
        requests: impl Iterator<Item = Request> + Send + 'static,
        at_once: u16,
    ) -> Result<usize, String> {
        let requests = Arc::new(Mutex::new(requests));
        let mut users = JoinSet::new();
        for _ in 0..at_once {
            let (client, requests) = (self.client()?, Arc::clone(&requests));
            let next = move || requests.lock().unwrap_or_else(PoisonError::into_inner).next();
            users.spawn(async move {
                let mut failures = 0;
                while let Some(request) = next() {
                    failures += Self::send(&client, &request).await?;
                }
                Ok::<usize, String>(failures)
            });
        }
        let mut failures = 0;
        while let Some(user) = users.join_next().await {
            failures += user.map_err(|error| error.to_string())??;
        }
        Ok(failures)
    }
}

/// Asks for a path and reads the whole answer, as plainly as possible: this is to cost little.
pub(super) async fn get(socket: &Path, path: &str) -> Result<Vec<u8>, String> {
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = time::timeout(PATIENCE, asking).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let split = answer.windows(4).position(|it| it == b"\r\n\r\n").ok_or("no HTTP")?;
    let (head, body) = answer.split_at(split);
    let is_fine = head.get(9..12).is_some_and(|status| status == b"200");
    if is_fine {
        Ok(body[4..].to_vec())
    } else {
        Err(String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned())
    }
}

impl Api {
    /// The socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}
