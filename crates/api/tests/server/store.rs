//! A store in memory for each server.

use fleet_store::MemoryStore;

pub(crate) type TestStore = MemoryStore;

pub(crate) fn new() -> TestStore {
    MemoryStore::new()
}

pub(crate) fn prefix() -> String {
    "/f/".to_owned()
}
