//! Streams to members that others open: through a tunnel, say.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    codegen::Service,
    transport::{Channel, Endpoint, Error, Uri},
};

/// A stream to a member.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A way to open streams to members. TLS, where the endpoint wants it, is spoken inside.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a stream to `host` (a name, or an address; IPv6 without brackets) and `port`. It is
    /// given up when the request timeout has passed.
    ///
    /// # Errors
    /// There is no way there.
    async fn dial(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>>;
}

/// How members are reached: by TCP from here, or as somebody else does it.
#[derive(Clone, Default)]
pub(crate) struct Reach(pub(crate) Option<Arc<dyn Dial>>);

impl Reach {
    /// Connects to `endpoint`.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Channel, Error> {
        match &self.0 {
            None => endpoint.connect().await,
            Some(dial) => endpoint.connect_with_connector(Connector(Arc::clone(dial))).await,
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Dialled" } else { "Direct" })
    }
}

/// A [`Dial`] as the library wants it.
struct Connector(Arc<dyn Dial>);

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = Arc::clone(&self.0);
        Box::pin(async move {
            let (host, port) = place(&uri);
            Ok(TokioIo::new(dial.dial(host, port).await?))
        })
    }
}

/// Host and port of an endpoint.
fn place(uri: &Uri) -> (&str, u16) {
    let host = uri.host().unwrap_or_default();
    let implied = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(implied);
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_may_be_implied_and_addresses_bracketed() {
        for (uri, expected) in [
            ("http://etcd:2379", ("etcd", 2379)),
            ("http://10.0.0.1", ("10.0.0.1", 80)),
            ("https://etcd/", ("etcd", 443)),
            ("https://[2001:db8::1]:2379", ("2001:db8::1", 2379)),
        ] {
            assert_eq!(place(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
