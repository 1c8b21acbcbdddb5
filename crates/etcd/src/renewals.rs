//! Renewing leases: a stream for each, kept from one renewal to the next.
//!
//! Opening one costs etcd and us more than the renewal, and renews twice. A fleetd renews one lease or
//! two, so what is kept is bounded by few. Whoever renews holds the stream alone; what is given up
//! halfway takes the stream with it, so an answer is never that to an earlier question.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use etcd_client::{LeaseClient, LeaseKeepAliveStream, LeaseKeeper};
use fleet_store::LeaseId;

use crate::{convert::whole_seconds, failure::Failure};

/// The streams that are kept at most.
const MAX_KEPT: usize = 4;

type Stream = (LeaseKeeper, LeaseKeepAliveStream);

/// The streams of one connection that nobody is using just now.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<BTreeMap<LeaseId, Stream>>);

impl Renewals {
    /// Renews `lease`. Returns the time it has then.
    pub(crate) async fn renew(
        &self,
        mut client: LeaseClient,
        lease: LeaseId,
    ) -> Result<Duration, Failure> {
        if let Some(kept) = self.take(lease) {
            // One that has ended since says nothing of the connection.
            if let Ok(left) = self.renew_over(kept, lease).await {
                return left.ok_or(Failure::NoSuchLease);
            }
        }
        // The first renewal opens the stream, but the client keeps its answer to itself.
        let opened = client.keep_alive(lease.0).await?;
        self.renew_over(opened, lease).await?.ok_or(Failure::NoSuchLease)
    }

    /// Renews over this stream, and keeps it where the lease lives on.
    async fn renew_over(
        &self,
        (mut keeper, mut answers): Stream,
        lease: LeaseId,
    ) -> Result<Option<Duration>, Failure> {
        keeper.keep_alive().await?;
        match answers.message().await? {
            Some(answer) if answer.ttl() > 0 => {
                self.keep(lease, (keeper, answers));
                Ok(Some(whole_seconds(answer.ttl())))
            }
            Some(_) => Ok(None),
            None => Err(Failure::Lost("etcd ended the renewal".into())),
        }
    }

    fn take(&self, lease: LeaseId) -> Option<Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease)
    }

    fn keep(&self, lease: LeaseId, stream: Stream) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= MAX_KEPT && kept.pop_first().is_some() {}
        kept.insert(lease, stream);
    }
}
