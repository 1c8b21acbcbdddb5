//! One HTTP connection, driven by whoever uses it.

use std::{future::Future, io::Read as _, pin::Pin, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
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
    /// For how long the server wants to be left alone; of those that name a date it isn't known.
    pub(crate) retry_after: Option<Duration>,
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
    let retry_after = parts.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(TransportError::Body)?;
    let body = body.to_bytes();
    let is_gzip =
        parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    let body = if is_gzip { unpacked(&body)? } else { body };
    Ok(Reply { status: parts.status, location, retry_after, body })
}

/// What was compressed, if it isn't larger than any answer can be.
fn unpacked(body: &[u8]) -> Result<Bytes, TransportError> {
    let mut whole = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    let read = GzDecoder::new(body).take(limit + 1).read_to_end(&mut whole);
    read.map_err(|error| TransportError::Body(error.into()))?;
    if whole.len() > MAX_BODY {
        return Err(TransportError::Body("length limit exceeded".into()));
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// What is read of an answer with this body.
    async fn answered(coding: &str, body: &[u8]) -> Result<Reply, TransportError> {
        let (near, mut far) = duplex(1 << 16);
        let mut connection = Connection::new(Box::new(near)).await.unwrap();
        let serve = async {
            let _ = far.read(&mut [0; 1024]).await.unwrap();
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{coding}Content-Length: {length}\r\n\r\n");
            far.write_all(head.as_bytes()).await.unwrap();
            far.write_all(body).await.unwrap();
        };
        let request = Request::get("/").body(Full::default()).unwrap();
        tokio::join!(connection.exchange(request), serve).0
    }

    #[tokio::test]
    async fn what_comes_compressed_is_unpacked_within_bounds() {
        const GZIP: &str = "Content-Encoding: gzip\r\n";
        let page = b"{\"units\":[]}".repeat(1000);
        assert_eq!(answered("", &page).await.unwrap().body, page);
        assert_eq!(answered(GZIP, &packed(&page)).await.unwrap().body, page);
        let broken = answered(GZIP, &packed(&page)[..50]).await;
        assert!(matches!(broken, Err(TransportError::Body(_))));
        let bomb = packed(&vec![b' '; MAX_BODY + 1]);
        assert!(bomb.len() < 1 << 20, "it is small as it comes");
        let refused = answered(GZIP, &bomb).await.err().expect("nobody has such answers");
        assert_eq!(refused.to_string(), "length limit exceeded");
    }
}
