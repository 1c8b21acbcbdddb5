//! The lab: several real hosts with systemd, D-Bus, journald, sshd and fleet, and a real etcd,
//! in namespaces of their own on one Debian machine. It needs root and no network.
//!
//! It knows fleet only from outside: binaries, sockets and files.

mod api;
mod base;
mod cable;
pub mod chaos;
mod etcd;
mod host;
mod http;
mod inotify;
mod lab;
mod laptop;
mod needs;
mod process;
mod rootfs;
mod sandbox;
mod slot;
mod terminal;
pub mod units;
mod wait;

pub use api::{Api, State};
pub use etcd::{Etcd, Member};
pub use host::{Host, Output, Run};
pub use http::Reply;
pub use lab::{Builder, Lab};
pub use laptop::Laptop;
pub use process::Process;
pub use terminal::Terminal;
pub use wait::{Stopwatch, eventually, throughout};
