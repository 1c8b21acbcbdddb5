//! One HTTP connection, driven by whoever uses it.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use fleet_net::BoxStream;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;

use crate::error::TransportError;

/// The largest body that is read: a page of the largest units has some megabytes.
const MAX_BODY: usize = 64 << 20;

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that is ready for a request.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
    open: bool,
}

/// A whole answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

impl Connection {
    /// Makes a connection of a stream; nothing is sent yet.
    pub(crate) async fn new(stream: BoxStream) -> Result<Self, TransportError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::pin(connection), open: true })
    }

    /// Whether another request can be sent, as far as is known without sending one.
    pub(crate) async fn is_usable(&mut self) -> bool {
        if !self.open {
            return false;
        }
        // The driver first: it is what notices that the server hung up in the meantime.
        tokio::select! {
            biased;
            _ = &mut self.driver => {
                self.open = false;
                false
            }
            ready = self.sender.ready() => ready.is_ok(),
        }
    }

    /// Sends `request` and reads the answer to its end.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, TransportError> {
        let Self { sender, driver, open } = self;
        let exchange = async {
            sender.ready().await?;
            read(sender.send_request(request).await?).await
        };
        tokio::pin!(exchange);
        loop {
            tokio::select! {
                biased;
                reply = &mut exchange => return reply,
                // What was received before the end still comes out of the exchange.
                _ = &mut *driver, if *open => *open = false,
            }
        }
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Reply, TransportError> {
    let (parts, body) = response.into_parts();
    let location = parts.headers.get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(TransportError::Body)?;
    Ok(Reply { status: parts.status, location, body: body.to_bytes() })
}
