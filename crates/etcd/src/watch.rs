//! Watches: one gRPC stream each, with one of etcd's watchers per range.
//!
//! ```text
//!             the link is left, or breaks                      another member has taken it up
//!  following ─────────────────────────────▶ following, moving ────────────────────────────────▶ following
//!      │ etcd cancels, one member only          │ nor is there another, and the stream has ended
//!      └───────────────▶ ended ◀────────────────┘
//! ```
//!
//! A watch has one task, owned by the [`Changes`] that it feeds. Messages from etcd wake it, and
//! calls that have no answer over its link. Where there are several members it then goes on at
//! another one, from where it was told last (`moving.rs`); the old stream is read meanwhile. It
//! ends when etcd cancels a watcher, when the stream breaks (a peer that has gone silent is
//! found out by pings, `config.rs`) and no other member takes it up, or with its owner; then the
//! stream closes, which ends the watchers in etcd as well. A reader that is slow holds the task,
//! and through HTTP/2's flow control the stream.

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
    moving::Moving,
    store::Shared,
};

/// The messages that may arrive for some ranges while others are not yet watched.
const MAX_EARLY: usize = 1024;

/// A range and the revision that is to be told of it next.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    range: Range,
    pub(crate) next: Revision,
}

/// A stream whose watchers are all in place.
pub(crate) struct Opened {
    stream: WatchStream,
    /// etcd's names of the watchers, in the order of the places.
    watchers: Vec<i64>,
    /// What arrived before the last watcher was.
    early: VecDeque<WatchResponse>,
    link: Link,
    /// The cluster that it is of.
    cluster: Option<u64>,
}

/// Begins a watch and waits until etcd has taken it up.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    ranges: &[Range],
    from: Revision,
) -> Result<Changes, StoreError> {
    if ranges.is_empty() || ranges.iter().any(Range::is_empty) {
        return Err(StoreError::Refused("a watch of nothing".into()));
    }
    if ranges.iter().any(|range| range.start.as_str().is_empty()) {
        // etcd would take the first key that can be for it.
        return Err(StoreError::Refused("a watch without a key".into()));
    }
    let places: Vec<Place> =
        ranges.iter().map(|range| Place { range: range.clone(), next: from }).collect();
    let timeout = shared.request_timeout;
    let opened = call(&shared.links, timeout, Repeat::Harmless, |link| open(link, &places)).await;
    let opened = opened.map_err(|failure| failure.into_store(from, LeaseId(0)))?;
    let (sink, changes) = watch_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(opened, places, Arc::clone(shared), sink));
    Ok(changes.fed_by(tasks))
}

/// Begins to watch the places over `link`.
pub(crate) async fn open(mut link: Link, places: &[Place]) -> Result<Opened, Failure> {
    let mut places_left = places.iter();
    let first = places_left.next().ok_or_else(|| Failure::Refused("a watch of nothing".into()))?;
    let (key, options) = convert::watch(&first.range, first.next);
    let mut stream = link.watch.watch(key, Some(options)).await?;
    for place in places_left {
        let (key, options) = convert::watch(&place.range, place.next);
        stream.watch(key, Some(options)).await?;
    }

    let mut watchers = Vec::with_capacity(places.len());
    let mut early = VecDeque::new();
    let mut cluster = None;
    while watchers.len() < places.len() {
        let response = receive(&mut stream).await?;
        if response.canceled() {
            return Err(cancellation(&response));
        }
        if response.created() {
            // They come in the order in which they were asked for.
            watchers.push(response.watch_id());
            cluster = response.header().map(etcd_client::ResponseHeader::cluster_id);
        } else if early.len() < MAX_EARLY {
            early.push_back(response);
        } else {
            return Err(Failure::Lost("etcd is slow to take up a watch".into()));
        }
    }
    Ok(Opened { stream, watchers, early, link, cluster })
}

/// Passes on what etcd tells until the watch ends.
async fn follow(mut opened: Opened, mut places: Vec<Place>, shared: Arc<Shared>, sink: ChangeSink) {
    let mut moving = Moving::new(&shared);
    let failure = loop {
        let Opened { stream, early, link, cluster, .. } = &mut opened;
        let response = tokio::select! {
            biased;
            response = next(early, stream) => response,
            moved = moving.away_from(link, *cluster, &places) => match moved {
                Ok(moved) => {
                    opened = moved;
                    continue;
                }
                Err(failure) => break failure,
            },
        };
        match response.and_then(|response| opened.news_in(&response, &mut places)) {
            Ok(event) if event.is_empty() => {}
            Ok(event) => {
                if sink.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            Err(failure) => {
                end(&shared.links, &opened.link, &failure);
                match moving.after(failure, opened.cluster, &places).await {
                    Ok(moved) => opened = moved,
                    Err(failure) => break failure,
                }
            }
        }
    };
    // Nobody left to tell is as good an end.
    let from = places.iter().map(|place| place.next).min().unwrap_or_default();
    let _ = sink.send(Err(failure.into_store(from, LeaseId(0)))).await;
}

fn end(links: &Links, link: &Link, failure: &Failure) {
    if failure.is_of_the_link() {
        links.condemn(link, failure);
    }
}

impl Opened {
    /// What in a message wasn't told yet, and where to go on after it.
    fn news_in(
        &self,
        response: &WatchResponse,
        places: &mut [Place],
    ) -> Result<WatchEvent, Failure> {
        self.link.hear();
        if response.canceled() {
            return Err(cancellation(response));
        }
        let watcher = self.watchers.iter().position(|id| *id == response.watch_id());
        let Some(place) = watcher.and_then(|place| places.get_mut(place)) else {
            return Ok(WatchEvent::default());
        };
        // After a move etcd may tell again what came over the old stream meanwhile.
        let known = place.next;
        let changes = response.events().iter().filter_map(convert::change);
        let event: WatchEvent = changes.filter(|change| change.revision() >= known).collect();
        if let Some(last) = event.last() {
            place.next = last.revision().next();
        }
        Ok(event)
    }
}

/// The next message, of those that came early first. Cancel-safe.
async fn next(
    early: &mut VecDeque<WatchResponse>,
    stream: &mut WatchStream,
) -> Result<WatchResponse, Failure> {
    match early.pop_front() {
        Some(response) => Ok(response),
        None => receive(stream).await,
    }
}

async fn receive(stream: &mut WatchStream) -> Result<WatchResponse, Failure> {
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
