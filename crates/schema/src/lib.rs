//! The JSON types of fleet's HTTP API, shared by server and client (`api.md` 3).
//!
//! What is emitted has its keys in alphabetical order, leaves out what is empty, and escapes as
//! `api.md` 1.3 says: use [`to_json`]. What is read may spell keys in any letter case, may repeat
//! them (the last one wins), may have unknown ones, and `null` counts as absent: use [`from_json`].

#[macro_use]
mod entity;
mod error;
mod json;
mod machine;
mod metadata;
mod pending;
mod restart;
mod state;
mod unit;

pub use error::{ErrorBody, ErrorDetail, ErrorEntity};
pub use json::{DecodeError, Entity, from_json, to_json};
pub use machine::{Machine, MachinePage};
pub use metadata::{MetadataOp, MetadataValue};
pub use pending::{Pending, PendingMachine};
pub use restart::{RestartAsked, RestartPending};
pub use state::{UnitStart, UnitState, UnitStatePage};
pub use unit::{Unit, UnitOption, UnitPage};
