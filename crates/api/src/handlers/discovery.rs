//! The description of the API (`api.md` 7).

use crate::reply::{self, Reply};

const DOCUMENT: &str = include_str!("discovery.json");

/// The document, the same for both prefixes.
pub(crate) fn get() -> Reply {
    reply::text(DOCUMENT)
}
