//! Makes this machine run what was decided: follows its part of the registry, plans, drives
//! systemd through [`UnitManager`], publishes what systemd says, and keeps the machine present.
//!
//! ```text
//! registry ──mirror──▶ reconciler ──standings──▶ publisher ──▶ registry
//!                        │   ▲                     ▲   │
//!                 steps  ▼   │ jobs       changes  │   │ current presence
//!                      unit manager ───────────────┘   └── presence ──▶ registry
//! ```

mod agent;
pub mod desired;
mod dump;
mod execute;
#[cfg(feature = "testing")]
pub mod fake;
mod intent;
pub mod manager;
pub mod plan;
mod presence;
mod publish;
mod reconciler;
mod settle;
mod standing;

pub use agent::{Agent, Config};
pub use dump::DumpHandle;
pub use manager::{
    Changed, Exit, Job, JobResult, Listed, ManagerError, Outcome, Taken, UnitManager,
};
pub use presence::{Ended, PresenceHandle};
pub use standing::StandingHandle;
