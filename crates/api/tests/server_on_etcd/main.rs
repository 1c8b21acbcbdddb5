//! The same suite as `server`, with the registry in a real etcd.

#[path = "../server/basics.rs"]
mod basics;
#[path = "../server/harness.rs"]
mod harness;
#[path = "../server/lists.rs"]
mod lists;
#[path = "../server/machines.rs"]
mod machines;
#[path = "../server/pending.rs"]
mod pending;
#[path = "../server/prop_requests.rs"]
mod prop_requests;
#[path = "../server/put.rs"]
mod put;
#[path = "../server/restart.rs"]
mod restart;
mod store;
#[path = "../server/units.rs"]
mod units;
