//! A store in memory for each server.

use fleet_store::MemoryStore;

/// How often a property is tried.
pub(crate) const CASES: u32 = 128;

pub(crate) type TestStore = MemoryStore;

/// It needs nobody to keep it running.
pub(crate) struct Keeper;

pub(crate) fn new() -> (TestStore, Keeper) {
    (MemoryStore::new(), Keeper)
}

pub(crate) fn prefix() -> String {
    "/f/".to_owned()
}
