//! Decides which machine runs which unit (`cluster.md` 3 and 4).
//!
//! Every fleetd runs an [`Engine`]; one leads at a time. The leader keeps a mirror of the
//! cluster, plans on it without any I/O, and writes its decisions, each of which insists on
//! what it was decided on and on the engine lease.
//!
//! ```text
//! Engine::run ── lead         follows the engine lease, takes it when it is free, renews it
//!            └── reconciler   while leading: Mirror<Cluster> ─▶ plan ─▶ execute ─▶ registry
//! ```

mod backoff;
mod cluster;
mod contact;
mod engine;
mod execute;
mod explain;
mod full_look;
mod lead;
mod metrics;
mod move_limiter;
mod pace;
mod picture;
mod plan;
mod reconciler;
mod refused;
mod roll;
mod status;
mod thinking;

pub use cluster::{Cluster, Marks, Unit};
pub use engine::{Config, Engine};
pub use explain::{Explainer, WhyNot, why_not};
pub use lead::VERSION;
pub use metrics::{ByAction, LongPass, Metrics, SharedMetrics};
pub use plan::{Absent, Action, Pace, Plan, Reason, Sweep, Task, plan, plan_within};
pub use status::{EngineHandle, NotLeading};
