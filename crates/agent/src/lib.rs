//! Makes this machine run what was decided: follows its part of the registry, plans, drives
//! systemd through [`UnitManager`], publishes what systemd says, and keeps the machine present.

pub mod desired;
pub mod fake;
pub mod manager;
pub mod plan;

pub use manager::{Changed, Job, JobResult, ManagerError, UnitManager};
