//! What a client may take of the server, so that a bad one harms nobody.

use std::time::Duration;

/// The most a request's head (request line and headers) may have, in bytes. A unit name has 256
/// at most, 768 when every one is escaped; the rest is for headers of proxies.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// Bodies up to this many bytes are worked on where they are read: that takes a millisecond.
pub(crate) const SMALL_BODY: usize = 64 * 1024;

/// The number of bodies larger than [`SMALL_BODY`] that are worked on at the same time.
pub(crate) const LARGE_AT_ONCE: usize = 4;

/// The most that is read, and dropped, of a body that nobody wants, in bytes.
pub(crate) const MAX_DRAINED: usize = 16 * 1024 * 1024;

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, on all listeners together. When there is one more, the one
    /// that has waited longest for its client is closed.
    pub connections: usize,
    /// The time to send a request's head, and the time a connection may be idle.
    pub head_time: Duration,
    /// The time to send a request's body.
    pub body_time: Duration,
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
            body_time: Duration::from_secs(30),
            store_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            body: 1024 * 1024,
            drain: Duration::from_secs(5),
        }
    }
}
