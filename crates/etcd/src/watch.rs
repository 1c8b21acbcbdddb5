//! Watches: one gRPC stream each, with one of etcd's watchers per range.
//!
//! A watch has one task, owned by the [`Changes`] that it feeds. Messages from etcd wake it. It
//! ends when etcd cancels a watcher, when the stream breaks (a peer that has gone silent is
//! found out by pings, `config.rs`), or with its owner; then the stream closes, which ends the
//! watchers in etcd as well. A reader that is slow holds the task, and through HTTP/2's flow
//! control the stream.

use std::{collections::VecDeque, sync::Arc};

use etcd_client::{WatchResponse, WatchStream};
use fleet_store::{
    ChangeSink, Changes, LeaseId, Range, Revision, StoreError, WatchEvent, watch_channel,
};
use tokio::task::JoinSet;

use crate::{
    call::{Repeat, call},
    convert,
    failure::{Failure, from_text},
    link::{Link, Links},
    store::Shared,
};

/// The messages that may arrive for some ranges while others are not yet watched.
const MAX_EARLY: usize = 1024;

/// A stream whose watchers are all in place.
struct Opened {
    stream: WatchStream,
    /// What arrived before the last watcher was.
    early: VecDeque<WatchResponse>,
    link: Link,
}

/// Begins a watch and waits until etcd has taken it up.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    ranges: &[Range],
    from: Revision,
) -> Result<Changes, StoreError> {
    if ranges.is_empty() {
        return Err(StoreError::Refused("a watch of nothing".into()));
    }
    let timeout = shared.request_timeout;
    let opened =
        call(&shared.links, timeout, Repeat::Harmless, |link| open(link, ranges, from)).await;
    let opened = opened.map_err(|failure| failure.into_store(from, LeaseId(0)))?;
    let (sink, changes) = watch_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(opened, Arc::clone(shared), from, sink));
    Ok(changes.fed_by(tasks))
}

async fn open(mut link: Link, ranges: &[Range], from: Revision) -> Result<Opened, Failure> {
    let mut ranges_left = ranges.iter();
    let first = ranges_left.next().ok_or_else(|| Failure::Refused("a watch of nothing".into()))?;
    let (key, options) = convert::watch(first, from);
    let mut stream = link.watch.watch(key, Some(options)).await?;
    for range in ranges_left {
        let (key, options) = convert::watch(range, from);
        stream.watch(key, Some(options)).await?;
    }

    let mut created = 0;
    let mut early = VecDeque::new();
    while created < ranges.len() {
        let response = next(&mut stream).await?;
        if response.canceled() {
            return Err(cancellation(&response));
        }
        if response.created() {
            created += 1;
        } else if early.len() < MAX_EARLY {
            early.push_back(response);
        } else {
            return Err(Failure::Lost("etcd is slow to take up a watch".into()));
        }
    }
    Ok(Opened { stream, early, link })
}

/// Passes on what etcd tells until the watch ends.
async fn follow(mut opened: Opened, shared: Arc<Shared>, from: Revision, sink: ChangeSink) {
    let failure = loop {
        match next_event(&mut opened).await {
            Ok(event) if event.is_empty() => {}
            Ok(event) => {
                if sink.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            Err(failure) => break failure,
        }
    };
    end(&shared.links, &opened.link, &failure);
    // Nobody left to tell is as good an end.
    let _ = sink.send(Err(failure.into_store(from, LeaseId(0)))).await;
}

fn end(links: &Links, link: &Link, failure: &Failure) {
    if failure.is_of_the_link() {
        links.condemn(link, failure);
    }
}

async fn next_event(opened: &mut Opened) -> Result<WatchEvent, Failure> {
    let response = match opened.early.pop_front() {
        Some(response) => response,
        None => next(&mut opened.stream).await?,
    };
    if response.canceled() {
        return Err(cancellation(&response));
    }
    Ok(response.events().iter().filter_map(convert::change).collect())
}

async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Failure> {
    stream.message().await?.ok_or_else(|| Failure::Lost("etcd ended the watch".into()))
}

/// Why etcd cancelled a watcher.
fn cancellation(response: &WatchResponse) -> Failure {
    let why = response.cancel_reason();
    if response.compact_revision() > 0 {
        Failure::Compacted
    } else if let Some(known) = from_text(why) {
        known
    } else if why.contains("permission denied") {
        // Also what etcd 3.4 says when the login has expired: a new one will tell.
        Failure::LoginExpired(why.to_owned())
    } else {
        Failure::Lost(format!("etcd cancelled the watch: {why}"))
    }
}
