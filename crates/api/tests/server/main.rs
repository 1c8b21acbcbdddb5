//! The real server on a unix socket, as its clients see it: byte by byte.
//!
//! Its registry is in memory here. What doesn't depend on playing tricks with the store is tested
//! on a real etcd as well: `server_on_etcd`.

mod basics;
mod fuzz;
mod harness;
mod limits;
mod listeners;
mod lists;
mod machines;
mod metrics;
mod outage;
mod pending;
mod prop_requests;
mod put;
mod races;
mod restart;
mod store;
mod units;
