//! The way to a cluster, and what a command works with once it is there (`fleetctl.md` 3).

pub(crate) mod connect;
#[cfg(feature = "etcd")]
mod etcd;
pub(crate) mod nobody;
pub(crate) mod session;
