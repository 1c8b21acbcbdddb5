//! A real OpenSSH server and agent, keys, and a user who answers by a script.
//!
//! Each `tests/*/main.rs` that needs them says `#[path = "../support/mod.rs"] mod support;`.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "not every test uses all of it")]

mod agent;
mod keys;
mod script;
mod sshd;

use std::time::Duration;

use fleet_ssh::{Hop, Route};

pub use agent::Agent;
pub use keys::{certify, generate, generate_encrypted};
pub use script::Script;
pub use sshd::Sshd;

/// Plenty for a machine under load; tests that wait for the limit set their own.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The way along `hops`.
pub fn route<const N: usize>(hops: [Hop; N]) -> Route {
    Route { hops: hops.into(), timeout: LIMIT }
}
