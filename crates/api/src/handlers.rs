//! One file a resource.

pub(crate) mod discovery;
pub(crate) mod machines;
mod paging;
pub(crate) mod put;
pub(crate) mod restart;
pub(crate) mod states;
pub(crate) mod units;
