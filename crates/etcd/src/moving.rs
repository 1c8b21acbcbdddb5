//! How a watch goes on at another member, when the one it is at has no answers any more.
//!
//! What was told isn't told again, and nothing is left out: the new stream begins where the old
//! one was. Members that aren't of the same cluster, or whose history is shorter than what was
//! told (both after a restore), or doesn't go back that far, can't go on; then the watch ends as
//! one that is behind a compaction, and its owner takes a new snapshot.

use std::{future::pending, sync::Arc, time::Duration};

use fleet_store::Range;
use futures::{FutureExt, future::BoxFuture};
use tokio::time;

use crate::{
    call::{Repeat, call},
    convert,
    failure::Failure,
    link::Link,
    store::Shared,
    watch::{Opened, Place, open},
};

/// The pause between attempts while no member takes the watch up, as during an election.
const PAUSE: Duration = Duration::from_millis(200);

/// A move that is under way, or may become necessary.
pub(crate) struct Moving<'a> {
    shared: &'a Arc<Shared>,
    under_way: Option<BoxFuture<'static, Result<Opened, Failure>>>,
}

impl<'a> Moving<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared, under_way: None }
    }

    /// Waits until `link` is left, and then until another member has taken the watch up. An error
    /// is one that no later attempt could mend. Cancel-safe: the next call goes on.
    pub(crate) async fn away_from(
        &mut self,
        link: &Link,
        cluster: Option<u64>,
        places: &[Place],
    ) -> Result<Opened, Failure> {
        if !self.has_somewhere_to_go() {
            return pending().await;
        }
        if self.under_way.is_none() {
            link.left().await;
        }
        let moved = self.begun(cluster, places).await;
        self.under_way = None;
        moved
    }

    /// The same once the stream has ended with `failure`, which it is that remains when nobody
    /// takes the watch up for as long as a call may take.
    pub(crate) async fn after(
        &mut self,
        failure: Failure,
        cluster: Option<u64>,
        places: &[Place],
    ) -> Result<Opened, Failure> {
        if !failure.is_of_the_link() || !self.has_somewhere_to_go() {
            return Err(failure);
        }
        let patience = self.shared.request_timeout.saturating_mul(self.shared.links.endpoints());
        let moved = time::timeout(patience, self.begun(cluster, places)).await;
        self.under_way = None;
        moved.unwrap_or(Err(failure))
    }

    fn has_somewhere_to_go(&self) -> bool {
        self.shared.links.endpoints() > 1
    }

    fn begun(
        &mut self,
        cluster: Option<u64>,
        places: &[Place],
    ) -> &mut BoxFuture<'static, Result<Opened, Failure>> {
        self.under_way.get_or_insert_with(|| {
            elsewhere(Arc::clone(self.shared), cluster, places.to_vec()).boxed()
        })
    }
}

/// Tries until some member takes the watch up, or none can.
async fn elsewhere(
    shared: Arc<Shared>,
    cluster: Option<u64>,
    places: Vec<Place>,
) -> Result<Opened, Failure> {
    loop {
        let attempt = call(&shared.links, shared.request_timeout, Repeat::Harmless, |link| {
            go_on(link, cluster, &places)
        });
        match attempt.await {
            Err(failure) if failure.may_pass() => time::sleep(PAUSE).await,
            settled => return settled,
        }
    }
}

async fn go_on(mut link: Link, cluster: Option<u64>, places: &[Place]) -> Result<Opened, Failure> {
    // Linearizable, so that it isn't answered by a member that is behind: one that is would take
    // the watch up as well, and can't be told from one whose history is another.
    let nothing = Range::key("\0".into());
    let (key, options) = convert::get(&nothing, None);
    let answer = link.kv.get(key, Some(options)).await?;
    let told = places.iter().map(|place| place.next).max().unwrap_or_default();
    let is_same = answer.header().is_some_and(|header| {
        cluster.is_none_or(|cluster| cluster == header.cluster_id())
            && header.revision() + 1 >= told.0
    });
    if is_same { open(link, places).await } else { Err(Failure::Compacted) }
}
