//! Requests over a few kept-alive connections, each within its time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fleet_net::{Dial, Tls};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use tokio::{sync::Semaphore, time};
use tracing::debug;
use url::Url;

use crate::{
    Answer, ClientError, Endpoint,
    connection::{Connection, Reply},
    error::TransportError,
};

/// How many requests run at a time, and so how many connections there are: enough to hide the
/// way to the server and what etcd takes to write, few enough for a server that limits its connections.
const MAX_CONNECTIONS: usize = 16;
/// How often a request is sent again to a server that has too much to do and asks for that, and how long
/// it may ask one to wait. It has done nothing of what it was asked.
const MAX_RETURNS: usize = 5;
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How many redirects of a GET are followed.
const MAX_REDIRECTS: usize = 5;
/// How requests introduce themselves.
const USER_AGENT: &str = concat!("fleetctl/v", env!("CARGO_PKG_VERSION"));

/// Sends requests to one endpoint.
pub(crate) struct Transport {
    endpoint: Endpoint,
    dial: Arc<dyn Dial>,
    /// Set for endpoints over TLS, and only for those.
    tls: Option<Tls>,
    timeout: Option<Duration>,
    /// Puts an answer that is no success into words.
    words: fn(u16, &[u8]) -> Answer,
    /// Whether answers may come compressed.
    takes_gzip: bool,
    slots: Semaphore,
    /// Connections that wait for a request; never locked across an await.
    idle: Mutex<Vec<Connection>>,
}

impl Transport {
    pub(crate) fn new(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        tls: Option<Tls>,
        timeout: Option<Duration>,
    ) -> Self {
        let tls = endpoint.is_tls().then(|| tls.unwrap_or_else(Tls::system));
        let slots = Semaphore::new(MAX_CONNECTIONS);
        Self {
            endpoint,
            dial,
            tls,
            timeout,
            words: Answer::new,
            takes_gzip: false,
            slots,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The same, telling of answers that are no success only the words of the server.
    pub(crate) fn plain(self) -> Self {
        Self { words: Answer::plain, ..self }
    }

    /// The same, asking for compressed answers.
    pub(crate) fn compressed(self) -> Self {
        Self { takes_gzip: true, ..self }
    }

    /// The same with so many connections at most.
    pub(crate) fn connections(self, most: usize) -> Self {
        Self { slots: Semaphore::new(most.clamp(1, MAX_CONNECTIONS)), ..self }
    }

    /// The address of a request target, for messages.
    pub(crate) fn url(&self, target: &str) -> String {
        self.endpoint.url(target)
    }

    /// The request target for a path below `/fleet/v1`.
    pub(crate) fn target(&self, path: &str) -> String {
        self.endpoint.path(path)
    }

    /// Sends a request and returns the body of a 2xx answer; GETs follow redirects.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<String>,
    ) -> Result<Bytes, ClientError> {
        let body = body.map(Bytes::from);
        let mut target = target.to_owned();
        let (mut redirects, mut returns) = (0, 0);
        loop {
            let reply = self.logged(&method, &target, body.as_ref()).await?;
            if reply.status.is_success() {
                return Ok(reply.body);
            }
            if let Some(pause) = reply.retry_after
                && reply.status == StatusCode::SERVICE_UNAVAILABLE
                && returns < MAX_RETURNS
            {
                returns += 1;
                time::sleep(pause.min(MAX_PAUSE)).await;
                continue;
            }
            match self.redirected(&method, &target, &reply) {
                Some(next) if redirects < MAX_REDIRECTS => target = next,
                _ => {
                    let answer = (self.words)(reply.status.as_u16(), &reply.body);
                    return Err(ClientError::Answer(answer));
                }
            }
            redirects += 1;
        }
    }

    async fn logged(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Bytes>,
    ) -> Result<Reply, ClientError> {
        let url = self.url(target);
        debug!("HTTP {method} {url}");
        let result = self.timed(method, target, body).await;
        match result {
            Ok(reply) => {
                debug!("HTTP {method} {url} {}", reply.status);
                Ok(reply)
            }
            Err(cause) => {
                debug!("HTTP {method} {url} failed: {cause}");
                Err(ClientError::Transport { method: word(method), url, cause })
            }
        }
    }

    async fn timed(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Bytes>,
    ) -> Result<Reply, TransportError> {
        // The semaphore is never closed; without a slot there is just one more connection.
        let _slot = self.slots.acquire().await.ok();
        let request = || self.request(method, target, body);
        let Some(limit) = self.timeout else {
            return self.exchange(method, request).await;
        };
        time::timeout(limit, self.exchange(method, request)).await.unwrap_or_else(|_| {
            Err(TransportError::Timeout { endpoint: self.endpoint.to_string(), limit })
        })
    }

    /// Uses an idle connection, else a new one. When an idle one turns out to have been closed, a
    /// GET is sent once more.
    async fn exchange(
        &self,
        method: &Method,
        request: impl Fn() -> Result<Request<Full<Bytes>>, TransportError>,
    ) -> Result<Reply, TransportError> {
        if let Some(mut connection) = self.reuse().await {
            match connection.exchange(request()?).await {
                Ok(reply) => return Ok(self.keep(connection, reply)),
                Err(TransportError::Http(error)) if unsent(&error) || *method == Method::GET => {}
                Err(error) => return Err(error),
            }
        }
        let target = self.endpoint.target();
        let stream = self.dial.dial(target).await?;
        let stream = match &self.tls {
            Some(tls) => tls.secure(target, stream).await?,
            None => stream,
        };
        let mut connection = Connection::new(stream).await?;
        let reply = connection.exchange(request()?).await?;
        Ok(self.keep(connection, reply))
    }

    async fn reuse(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection, reply: Reply) -> Reply {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        reply
    }

    fn request(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Bytes>,
    ) -> Result<Request<Full<Bytes>>, TransportError> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.endpoint.authority())
            .header(header::USER_AGENT, USER_AGENT);
        if self.takes_gzip && method == Method::GET {
            request = request.header(header::ACCEPT_ENCODING, "gzip");
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::new(body.cloned().unwrap_or_default()))?)
    }

    /// The address of a request target as HTTP sees it.
    fn address(&self, target: &str) -> Option<Url> {
        let (scheme, authority) = (self.endpoint.scheme(), self.endpoint.authority());
        Url::parse(&format!("{scheme}://{authority}{target}")).ok()
    }

    /// Where a GET goes on: elsewhere on the same server only.
    fn redirected(&self, method: &Method, target: &str, reply: &Reply) -> Option<String> {
        let moved = matches!(
            reply.status,
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !moved || *method != Method::GET {
            return None;
        }
        let here = self.address(target)?;
        let there = here.join(reply.location.as_deref()?).ok()?;
        if there.origin() != here.origin() {
            return None;
        }
        let query = there.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{}{query}", there.path()))
    }
}

/// Whether the server can't have seen the request.
fn unsent(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed()
}

/// The method as messages spell it.
pub(crate) fn word(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "Put",
        Method::POST => "Post",
        Method::DELETE => "Delete",
        _ => "Get",
    }
}
