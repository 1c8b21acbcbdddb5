//! A client of fleet's HTTP API over any stream (`fleetctl.md` 3).
//!
//! [`Endpoint`] says where the server is, a [`Dial`](fleet_net::Dial) opens streams to it,
//! [`Tls`](fleet_net::Tls) secures them for `https`, and [`Client`] speaks the API on a few kept-alive connections. Nothing runs in the background: a connection is driven
//! by the call that uses it, and a call that is dropped drops its connection.

mod client;
mod connection;
mod endpoint;
mod error;
mod transport;

pub use client::{Client, Removal};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{Answer, ClientError};
