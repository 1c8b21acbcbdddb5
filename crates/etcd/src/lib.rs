//! [`Store`](fleet_store::Store) over etcd v3, and the only crate that names `etcd-client`.
//!
//! [`EtcdStore`] keeps one connection for everything: calls, watches and leases. It is made by
//! the first call, to the first of the shuffled endpoints that answers, and by no call before.
//! [`EtcdStore::lane`] makes another for calls that must not get into the way of those over this one.
//! When a connection fails, the next call makes a new one, beginning with the next endpoint; nothing
//! waits between tries, that is the callers' business. Only the configured endpoints are used,
//! never those that the cluster advertises.
//!
//! Every call has a deadline (`call.rs`). Pings end streams to a peer that has gone silent
//! (`config.rs`), and a member without a leader is not believed to be well: a watch either
//! goes on, at another member if need be (`moving.rs`), or ends with an error.

mod call;
mod config;
mod convert;
mod dial;
mod failure;
mod link;
mod moving;
mod renewals;
mod store;
mod watch;

pub use config::{ConfigError, EtcdConfig, Login};
pub use store::{EtcdStore, Status};
