//! Placeholder.

mod etcd;

pub use etcd::EtcdServer;
