//! What the cluster knows, on any [`Store`](fleet_store::Store): keys, records, the transactions
//! that change them, and the [`Mirror`] that follows them.

mod attempts;
mod contact;
mod decide;
mod earlier;
mod error;
mod event;
mod fences;
mod keys;
mod lead;
mod leaving;
mod metadata;
mod metrics;
mod mirror;
mod pages;
mod presence;
mod records;
mod registry;
mod restarts;
mod scan;
mod size;
mod states;
mod units;
mod walk;
pub mod why;

pub use attempts::Attempts;
pub use contact::{Contact, LEASE_IN_INTERVALS, longest_pause_to_return};
pub use decide::{Decided, Decision, Target};
pub use earlier::EarlierEntry;
pub use error::RegistryError;
pub use event::{Event, MachineEntry, Order, Record, Unclear};
pub use keys::{InvalidPrefix, Keys};
pub use lead::{LeaderRecord, Leadership};
pub use leaving::{Gone, Moot, Stale};
pub use metadata::{MetadataChange, effective_metadata};
pub use metrics::{BUCKETS, FileCounters, FileMetrics, Histogram, OperationMetrics};
pub use mirror::{Followed, Mirror, Model, Scope};
pub use pages::{MachineView, Page, StateFilter, StateView};
pub use presence::{Instance, Presence};
pub use records::{
    Assignment, Capabilities, HostObstacle, Leaving, MachineRecord, PublishedState, Start, Trouble,
    UnitRecord, Versioned,
};
pub use registry::Registry;
pub use restarts::RestartError;
pub use size::{TooLarge, check_metadata, check_size};
pub use states::Published;
pub use units::Unit;
