//! What others may know and ask of a running engine.

use fleet_core::{MachineId, UnitName};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Cluster, Metrics, SharedMetrics, WhyNot, why_not};

/// What a running engine says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Who leads, as far as is known.
    pub(crate) leader: Option<MachineId>,
    /// Where to ask about the cluster; only while this engine leads.
    pub(crate) queries: Option<mpsc::Sender<Query>>,
    pub(crate) metrics: SharedMetrics,
}

/// A question to the leading engine.
#[derive(Debug)]
pub(crate) struct Query {
    unit: UnitName,
    reply: oneshot::Sender<Option<WhyNot>>,
}

impl Query {
    pub(crate) fn new(unit: UnitName, reply: oneshot::Sender<Option<WhyNot>>) -> Self {
        Self { unit, reply }
    }

    pub(crate) fn answer(self, cluster: &Cluster) {
        // Whoever asked may have gone away meanwhile; then nobody misses the answer.
        drop(self.reply.send(why_not(cluster, &self.unit)));
    }
}

/// This engine doesn't lead, and so doesn't know the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this engine does not lead")]
pub struct NotLeading;

/// A view of a running engine. Cheap to clone, and costs nothing unless it is used.
#[derive(Clone, Debug)]
pub struct EngineHandle(watch::Receiver<Status>);

impl EngineHandle {
    pub(crate) fn new(status: watch::Receiver<Status>) -> Self {
        Self(status)
    }

    /// Whether this engine leads and acts.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.0.borrow().queries.is_some()
    }

    /// The machine whose engine leads, as far as this one knows.
    #[must_use]
    pub fn leader(&self) -> Option<MachineId> {
        self.0.borrow().leader.clone()
    }

    /// What this engine, and those whose metrics it goes on with, have counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.0.borrow().metrics.read()
    }

    /// Waits until [`is_leading`](Self::is_leading) or [`leader`](Self::leader) may have
    /// changed; false when the engine has ended. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Asks the engine why `unit` has no machine; see [`why_not`].
    ///
    /// # Errors
    /// This engine doesn't lead.
    pub async fn why_not(&self, unit: UnitName) -> Result<Option<WhyNot>, NotLeading> {
        let queries = self.0.borrow().queries.clone().ok_or(NotLeading)?;
        let (reply, answer) = oneshot::channel();
        queries.send(Query::new(unit, reply)).await.map_err(|_| NotLeading)?;
        answer.await.map_err(|_| NotLeading)
    }
}
