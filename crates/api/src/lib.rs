//! The HTTP API of fleetd (`api.md`).
//!
//! ```text
//! Listener ── accept ── connection (hyper) ── Api::respond ── route ── handlers ── Registry
//!              └ Slots: how many, and who goes when there are too many
//! ```
//!
//! [`serve()`] owns all tasks: one per listener, and each of those its connections. [`Api`] answers
//! requests and knows nothing of sockets; [`serve_local()`] lets it answer within one process. What a client may take of the server is in [`Limits`].

mod accept;
mod api;
mod availability;
mod body;
mod budget;
mod connection;
mod error;
mod gzip;
mod handlers;
mod limits;
mod listener;
mod local;
mod metrics;
mod outage;
mod pending;
mod query;
mod read_limit;
mod reads;
mod reply;
mod route;
mod serve;
mod slots;
mod switch;
mod token;
mod via;

pub use api::{Api, Settings};
pub use availability::Availability;
pub use limits::Limits;
pub use listener::Listener;
pub use local::serve_local;
pub use metrics::{Buckets, Family, Label, MetricsSource, Samples};
pub use serve::serve;
pub use switch::Switch;
