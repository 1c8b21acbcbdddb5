//! The vocabulary of fleet: unit names, unit files, `[X-Fleet]` requirements, hashes, machines,
//! states, eligibility, who is on a machine. No I/O, no async, no clock.

mod complaint;
pub mod eligibility;
pub mod error_text;
mod glob;
mod hash;
mod lexer;
pub mod literal;
mod machine;
mod obstacle;
mod own_units;
mod pauses;
mod quote;
mod reading;
mod requirements;
pub mod residents;
mod standing;
mod state;
mod unit_file;
mod unit_name;
mod validate;

pub use complaint::Complaint;
pub use glob::Pattern;
pub use hash::{InvalidHash, UnitHash};
pub use lexer::{ByteList, LexError};
pub use machine::{InvalidMachineId, Machine, MachineId};
pub use obstacle::Obstacle;
pub use own_units::{OWN_UNITS, OwnName, check_own_names, check_own_names_for};
pub use pauses::{Backoff, Pauses, jittered};
pub use quote::{Quoted, QuotedChar};
pub use reading::Misread;
pub use requirements::{
    Excess, FleetOptions, MAX_PATTERN_BYTES, MAX_PATTERNS, Requirements, Warning,
};
pub use standing::MachineStanding;
pub use state::{InvalidJobState, JobState, UnitState};
pub use unit_file::{UnitFile, UnitOption};
pub use unit_name::{InvalidUnitName, RECOGNISED_UNIT_TYPES, UNIT_TYPES, UnitName};
pub use validate::{InvalidUnit, OptionFault, validate};

/// The version of everything here, as users see it.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
