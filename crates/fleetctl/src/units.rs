//! What commands do with units, whichever command it is: name, find and judge them, bring them in,
//! set what is desired of them, and wait for it.

pub(crate) mod advice;
pub(crate) mod create;
pub(crate) mod halt;
pub(crate) mod local;
pub(crate) mod many;
pub(crate) mod name;
pub(crate) mod select;
pub(crate) mod target;
pub(crate) mod unit;
pub(crate) mod wait;
pub(crate) mod why;
