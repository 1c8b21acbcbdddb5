//! Streams to members that others open: through a tunnel, say. TLS, where the endpoint wants it, is
//! spoken inside.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fleet_net::{BoxStream, Dial, DialError, Target};
use hyper_util::rt::TokioIo;
use tonic::{
    codegen::Service,
    transport::{Channel, Endpoint, Error, Uri},
};

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
    type Response = TokioIo<BoxStream>;
    /// The cause alone: what is said of a failure names the endpoint already.
    type Error = Arc<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = dial.dial(&target(&uri)).await.map_err(DialError::into_cause)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// What has to be connected to for an endpoint.
fn target(uri: &Uri) -> Target {
    let host = uri.host().unwrap_or_default();
    let implied = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(implied);
    Target::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_may_be_implied_and_addresses_bracketed() {
        for (uri, host, port) in [
            ("http://etcd:2379", "etcd", 2379),
            ("http://10.0.0.1", "10.0.0.1", 80),
            ("https://etcd/", "etcd", 443),
            ("https://[2001:db8::1]:2379", "2001:db8::1", 2379),
        ] {
            let expected = Target::Tcp { host: host.to_owned(), port };
            assert_eq!(target(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
