//! An API for the process that it runs in, over streams that nobody else can open.

use std::{convert::Infallible, sync::Arc};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::{Api, connection::protocol, via::Via};

/// Answers what is asked over `stream` until its other end is dropped. That end is in this process,
/// so none of the limits on connections hold.
pub async fn serve_local<S>(stream: S, api: Arc<Api>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(api.respond(request, Via::Unix).await)
    });
    if let Err(error) = protocol().serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "connection broken");
    }
}
