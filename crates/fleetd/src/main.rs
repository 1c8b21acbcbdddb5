//! The fleet daemon: engine, agent and API of one machine (`fleetd.md`).

mod args;
mod config;
mod identity;
mod listen;
mod logging;

fn main() {}
