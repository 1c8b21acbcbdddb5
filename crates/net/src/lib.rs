//! Streams to servers, whoever opens them, and TLS over them: of the API's client and of etcd's.
//!
//! A [`Dial`] opens a stream to a [`Target`], [`Direct`] from here. [`Certificates`] are what TLS is
//! given, and their check; [`Tls`] secures a stream with them.

mod certificates;
mod dial;
mod tls;

pub use certificates::{Certificates, InvalidTls};
pub use dial::{BoxStream, Dial, DialError, Direct, Stream, Target};
pub use tls::Tls;
