//! What a client may take of the server, so that a bad one harms nobody.

use std::time::Duration;

/// The most a request's head (request line and headers) may have, in bytes. A unit name has 256
/// at most, 768 when every one is escaped; the rest is for headers of proxies.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// Bodies up to this many bytes are worked on where they are read: that takes a millisecond.
pub(crate) const SMALL_BODY: usize = 64 * 1024;

/// Bodies up to this many bytes, as of most unit files, are not counted: there are only so many
/// connections.
pub(crate) const UNCOUNTED_BODY: usize = 4 * 1024;

/// What all larger bodies may have together, in bytes, from when they come to when they are
/// answered: what is made of one takes some ten times its size.
pub(crate) const BODIES_TOGETHER: usize = 3 * 1024 * 1024;

/// The most items that a page has whose size the client says. It ends before that when they are
/// large.
pub(crate) const MAX_PAGE: usize = 10_000;

/// Pages up to this many bytes are sent as they are, also to those who take them compressed.
pub(crate) const UNCOMPRESSED_PAGE: usize = 4 * 1024;

/// The most that is read, and dropped, of a body that nobody wants, in bytes.
pub(crate) const MAX_DRAINED: usize = 16 * 1024 * 1024;

/// The seconds after which a client that was refused since there are too many is asked to come
/// again.
pub(crate) const COME_AGAIN: u16 = 1;

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, on all TCP listeners together, and as many on all unix
    /// sockets: a flood over the network takes nothing from those on the machine. When there is
    /// one more, the one that has waited longest for its client is closed.
    pub connections: usize,
    /// The time to send a request's head.
    pub head_time: Duration,
    /// The time a connection may be idle whose client has had an answer: clients keep theirs, and
    /// expect to find them open.
    pub idle_time: Duration,
    /// The time to send a request's body.
    pub body_time: Duration,
    /// The number of requests that read the registry at the same time.
    pub reads: usize,
    /// How many of these may read lists, so that those who ask for single units needn't wait for them.
    pub lists: usize,
    /// The number of those that wait until they may.
    pub reads_waiting: usize,
    /// The time that they wait.
    pub reads_time: Duration,
    /// The time the registry has for a request.
    pub store_time: Duration,
    /// The time a client may take none of the bytes of its answer.
    pub write_time: Duration,
    /// The size of a request's body in bytes.
    pub body: usize,
    /// The time that connections have to finish when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(180),
            body_time: Duration::from_secs(30),
            reads: 16,
            lists: 8,
            reads_waiting: 128,
            reads_time: Duration::from_secs(10),
            store_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            body: 1024 * 1024,
            drain: Duration::from_secs(5),
        }
    }
}
