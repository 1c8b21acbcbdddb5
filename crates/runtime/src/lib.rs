//! What a fleetd takes from its operating system besides systemd and the network: its clocks, threads
//! that may be blocked, and small files that outlive it.
//!
//! With the feature `testing` a thread can play them ([`played`]): then the same seed gives the same
//! run. Chance needs no seam: it comes from the thread's generator, which [`fastrand::seed`] sets.
//!
//! [`fastrand::seed`]: https://docs.rs/fastrand/latest/fastrand/fn.seed.html

pub mod clock;
pub mod exhibits;
mod file;
#[cfg(feature = "testing")]
pub mod played;
pub mod threads;

pub use file::RuntimeFile;
