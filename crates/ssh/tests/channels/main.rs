//! Jobs and streams on a real OpenSSH server.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod desk;
mod dial;
mod hard;
mod interrupted;
mod job;
mod mute;
mod terminal;
