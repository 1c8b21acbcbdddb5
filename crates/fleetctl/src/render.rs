//! How lists are written: columns that the user chooses, laid out as a table.

mod columns;
mod table;

pub(crate) use columns::{Column, List, machines_for, or_dash};
pub(crate) use table::layout;
