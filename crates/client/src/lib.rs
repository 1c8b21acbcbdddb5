//! A client of fleet's HTTP API over any stream (`fleetctl.md` 3).
//!
//! [`Endpoint`] says where the server is, a [`Dial`] opens streams to it, [`Tls`] secures them for
//! `https`, and [`Client`] speaks the API on a few kept-alive connections. Nothing runs in the background: a connection is driven
//! by the call that uses it, and a call that is dropped drops its connection.

mod client;
mod connection;
mod dial;
mod endpoint;
mod error;
mod tls;
mod transport;

pub use client::{Client, Removal};
pub use dial::{BoxStream, Dial, DialError, Direct, Stream};
pub use endpoint::{Endpoint, InvalidEndpoint, Target};
pub use error::{Answer, ClientError};
pub use tls::{Certificates, InvalidTls, Tls};
