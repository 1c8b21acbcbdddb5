//! [`UnitManager`](fleet_agent::manager::UnitManager) over D-Bus to systemd (`units.md` 7).
//!
//! [`SystemdManager`] is the facade. Below it: `directory` owns the unit files, `calls` speaks
//! the methods of systemd that fleet uses, `session` keeps the connection they go over, and
//! `signals` gathers what systemd tells by itself. Units are followed by signals, never polled.

mod bus;
mod calls;
mod config;
mod dial;
mod directory;
mod interfaces;
mod jobs;
mod journal;
mod load;
mod manager;
mod names;
mod nudge;
mod object_path;
mod outcome;
mod owned;
mod private;
mod reload;
mod session;
mod signals;
mod states;
mod unload;

pub use config::{Bus, Config, ConnectError, Endpoint, WakeSocket};
pub use journal::Journal;
pub use manager::SystemdManager;
