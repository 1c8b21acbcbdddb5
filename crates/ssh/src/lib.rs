//! SSH as fleetctl speaks it (`ssh.md`), in this process; the only crate that names `russh`.
//!
//! A [`Route`] is a list of [`Hop`]s: the hosts that are logged in to one through the other, the
//! last of which is the one that is meant. [`Connection::open`] goes along it; each hop has its own
//! host keys, user and identities. A connection runs commands and shells
//! ([`Connection::run`]) and opens streams to what its host can reach ([`Connection::dial`]).
//! What the user is asked and told goes through [`Ask`].

mod address;
mod ask;
mod auth;
mod clock;
mod config;
mod connection;
mod dial;
mod error;
mod handler;
mod host_key;
mod known_hosts;
mod refusals;
mod role;
mod route;
mod session;
mod tcp;
mod terminal;
mod wire;

pub use address::{Address, InvalidAddress};
pub use ask::{Ask, Standard};
pub use auth::Identities;
pub use config::{BadConfig, UserConfig};
pub use connection::Connection;
pub use dial::{Far, FarStream};
pub use error::{Cause, Place, Refusal, SshError, Step};
pub use host_key::{Checking, HostKeyAlgorithms, HostKeyRules};
pub use known_hosts::KnownHosts;
pub use role::Role;
pub use route::{Hop, Route, Settings};
pub use session::{End, Event, Events, Job, Local, RunError, Stop};
