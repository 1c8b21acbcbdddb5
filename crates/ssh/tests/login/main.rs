//! Logging in to a real OpenSSH server, over one hop and more.

#[path = "../support/mod.rs"]
mod support;

mod keys;
