//! The store.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{GetOptions, TxnOp, TxnOpResponse};
use fleet_net::Dial;
use fleet_store::{
    Changes, Lease, LeaseId, Op, Outcome, Range, Revision, Snapshot, Store, StoreError, Txn,
};

use crate::{
    call::{Repeat, call},
    config::{ConfigError, EtcdConfig},
    convert::{self, whole_seconds},
    dial::Reach,
    failure::Failure,
    link::{Link, Links},
    watch,
};

/// A cluster of etcd. Clones share a connection.
#[derive(Clone, Debug)]
pub struct EtcdStore(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) links: Links,
    pub(crate) request_timeout: Duration,
}

impl EtcdStore {
    /// Prepares a connection. Nothing is sent before the first call, so etcd may be down.
    ///
    /// The endpoints are shuffled, so that a cluster's fleetds spread over the members.
    ///
    /// # Errors
    /// When the configuration can't work, whatever etcd does.
    pub fn connect(config: EtcdConfig) -> Result<Self, ConfigError> {
        Self::over(config, Reach::default())
    }

    /// As [`connect`](Self::connect), over streams that `dial` opens.
    ///
    /// # Errors
    /// When the configuration can't work, whatever etcd does.
    pub fn connect_with(config: EtcdConfig, dial: Arc<dyn Dial>) -> Result<Self, ConfigError> {
        Self::over(config, Reach(Some(dial)))
    }

    fn over(config: EtcdConfig, reach: Reach) -> Result<Self, ConfigError> {
        let mut endpoints = config.endpoints()?;
        fastrand::shuffle(&mut endpoints);
        let links = Links::new(endpoints, reach, config.login, config.request_timeout);
        Ok(Self(Arc::new(Shared { links, request_timeout: config.request_timeout })))
    }

    /// The same cluster over a connection of its own, which is made by the first call, like this
    /// one's, and closed when nobody has used it for `idle`, or up to twice that.
    #[must_use]
    pub fn lane(&self, idle: Duration) -> Self {
        let Shared { links, request_timeout } = &*self.0;
        Self(Arc::new(Shared { links: links.lane(idle), request_timeout: *request_timeout }))
    }

    /// Asks the member that is connected to how etcd is doing. It needs no permission.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let result = self.call(Repeat::Harmless, status).await;
        result.map_err(|failure| failure.into_store(Revision::default(), LeaseId(0)))
    }

    async fn call<T, F>(&self, repeat: Repeat, send: impl Fn(Link) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        call(&self.0.links, self.0.request_timeout, repeat, send).await
    }

    /// Which of `leases` etcd missed in a transaction: it doesn't say, so it is asked. (One at
    /// least is gone, and the gone don't come back.)
    async fn missed(&self, leases: &[LeaseId]) -> LeaseId {
        let (last, others) = leases.split_last().map_or((LeaseId(0), leases), |(l, o)| (*l, o));
        for lease in others {
            if matches!(self.time_to_live(*lease).await, Ok(None)) {
                return *lease;
            }
        }
        last
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn read(&self, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, StoreError> {
        let result = self.call(Repeat::Harmless, |link| read(link, ranges, at)).await;
        result.map_err(|failure| failure.into_store(at.unwrap_or_default(), LeaseId(0)))
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let leases = named_leases(&txn);
        match self.call(Repeat::Harmful, |link| commit(link, &txn)).await {
            Err(Failure::NoSuchLease) => Err(StoreError::NoSuchLease(self.missed(&leases).await)),
            result => result.map_err(|failure| failure.into_store(Revision::default(), LeaseId(0))),
        }
    }

    async fn watch(&self, ranges: &[Range], from: Revision) -> Result<Changes, StoreError> {
        watch::watch(&self.0, ranges, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let result = self.call(Repeat::Harmful, |link| grant(link, seconds)).await;
        result.map_err(|failure| failure.into_store(Revision::default(), LeaseId(0)))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        let result = self.call(Repeat::Harmless, |link| renew(link, lease)).await;
        result.map_err(|failure| failure.into_store(Revision::default(), lease))
    }

    async fn time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, StoreError> {
        match self.call(Repeat::Harmless, |link| time_to_live(link, lease)).await {
            Err(Failure::NoSuchLease) => Ok(None),
            result => result.map_err(|failure| failure.into_store(Revision::default(), lease)),
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        match self.call(Repeat::Harmless, |link| revoke(link, lease)).await {
            Err(Failure::NoSuchLease) => Ok(()),
            result => result.map_err(|failure| failure.into_store(Revision::default(), lease)),
        }
    }
}

/// How etcd is doing, as one of its members says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The size of its database in bytes.
    pub size: u64,
    /// What of it is in use; the rest is left over from what was compacted, until it is
    /// defragmented.
    pub in_use: u64,
    /// The size it must not grow beyond, where it says so (3.6 and newer).
    pub quota: Option<u64>,
    /// Whether it takes nothing new until somebody disarms its alarm.
    pub is_out_of_space: bool,
}

/// The leases that a transaction hangs keys on, each once, in its order.
fn named_leases(txn: &Txn) -> Vec<LeaseId> {
    let mut leases = Vec::new();
    for op in &txn.then {
        if let Op::Put { lease: Some(lease), .. } = op
            && !leases.contains(lease)
        {
            leases.push(*lease);
        }
    }
    leases
}

async fn read(link: Link, ranges: &[Range], at: Option<Revision>) -> Result<Snapshot, Failure> {
    match ranges {
        [range] => read_one(link, range, at).await,
        [] => {
            // A transaction of nothing would be answered from what the member happens to know.
            let nothing = Range::key("\0".into());
            let snapshot = read_one(link, &nothing, at).await?;
            Ok(Snapshot { ranges: vec![], ..snapshot })
        }
        _ => read_several(link, ranges, at).await,
    }
}

async fn read_one(
    mut link: Link,
    range: &Range,
    at: Option<Revision>,
) -> Result<Snapshot, Failure> {
    let (key, options): (&str, GetOptions) = convert::get(range, at);
    let response = link.kv.get(key, Some(options)).await?;
    let newest = revision(response.header())?;
    Ok(Snapshot { revision: at.unwrap_or(newest), ranges: vec![convert::range_result(response)] })
}

/// One transaction, so one revision.
async fn read_several(
    mut link: Link,
    ranges: &[Range],
    at: Option<Revision>,
) -> Result<Snapshot, Failure> {
    let ops: Vec<TxnOp> = ranges
        .iter()
        .map(|range| {
            let (key, options) = convert::get(range, at);
            TxnOp::get(key, Some(options))
        })
        .collect();
    let response = link.kv.txn(etcd_client::Txn::new().and_then(ops)).await?;
    let newest = revision(response.header())?;
    let results: Vec<_> = response
        .op_responses()
        .into_iter()
        .filter_map(|response| match response {
            TxnOpResponse::Get(response) => Some(convert::range_result(response)),
            _ => None,
        })
        .collect();
    if results.len() != ranges.len() {
        return Err(Failure::Lost("etcd answered fewer ranges than were asked".into()));
    }
    Ok(Snapshot { revision: at.unwrap_or(newest), ranges: results })
}

async fn commit(mut link: Link, txn: &Txn) -> Result<Outcome, Failure> {
    let response = link.kv.txn(convert::txn(txn)).await?;
    Ok(Outcome { applied: response.succeeded(), revision: revision(response.header())? })
}

async fn grant(mut link: Link, seconds: i64) -> Result<Lease, Failure> {
    let response = link.lease.grant(seconds, None).await?;
    Ok(Lease { id: LeaseId(response.id()), ttl: whole_seconds(response.ttl()) })
}

async fn renew(link: Link, lease: LeaseId) -> Result<Duration, Failure> {
    link.renewals.renew(link.lease, lease).await
}

async fn time_to_live(mut link: Link, lease: LeaseId) -> Result<Option<Duration>, Failure> {
    let ttl = link.lease.time_to_live(lease.0, None).await?.ttl();
    Ok((ttl >= 0).then(|| whole_seconds(ttl)))
}

async fn revoke(mut link: Link, lease: LeaseId) -> Result<(), Failure> {
    link.lease.revoke(lease.0).await?;
    Ok(())
}

async fn status(mut link: Link) -> Result<Status, Failure> {
    /// How an alarm is called where a member tells its errors (`AlarmType` in etcd's source).
    const OUT_OF_SPACE: &str = "NOSPACE";
    let answer = link.maintenance.status().await?;
    let bytes = |size: i64| u64::try_from(size).unwrap_or(0);
    Ok(Status {
        size: bytes(answer.db_size()),
        in_use: bytes(answer.raft_used_db_size()),
        quota: Some(bytes(answer.db_size_quota())).filter(|quota| *quota > 0),
        is_out_of_space: answer.errors().iter().any(|error| error.contains(OUT_OF_SPACE)),
    })
}

fn revision(header: Option<&etcd_client::ResponseHeader>) -> Result<Revision, Failure> {
    let header = header.ok_or_else(|| Failure::Lost("etcd told no revision".into()))?;
    Ok(Revision(header.revision()))
}
