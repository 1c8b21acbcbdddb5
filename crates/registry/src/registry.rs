//! The handle everything else is a method of.

use std::{fmt, sync::Arc};

use fleet_store::Store;

use crate::Keys;

/// The registry of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
}

impl Registry {
    /// The registry under `keys`' prefix in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keys: Keys) -> Self {
        Self { store, keys }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("keys", &self.keys).finish_non_exhaustive()
    }
}
