//! The server as a whole.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{Listener, Switch, accept, slots::Slots, via::Via};

/// Serves `api` on all `listeners` until `stop`, then lets the requests at hand finish and ends.
/// What `api` switches to answers the next request of every connection.
///
/// Owns every task it starts; none outlives it. A listener that fails is reported and the others
/// go on (`api.md` 1.1). None at all is fine: it then just waits for `stop`.
pub async fn serve(listeners: Vec<Listener>, api: impl Into<Switch>, stop: CancellationToken) {
    let api = api.into();
    let connections = api.current().limits().connections;
    let (unix, tcp) = (Slots::new(connections), Slots::new(connections));
    let mut tasks = JoinSet::new();
    for listener in listeners {
        let slots = match listener.via() {
            Via::Unix => Arc::clone(&unix),
            Via::Tcp => Arc::clone(&tcp),
        };
        tasks.spawn(accept::run(listener, api.clone(), slots, stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            error!(%error, "listener failed");
        }
    }
    stop.cancelled().await;
}
