//! Which API answers: a reload of fleetd replaces it under open listeners and connections.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Api;

/// Points to the API that answers requests from now on. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Mutex<Arc<Api>>>);

impl Switch {
    /// Lets `api` answer. Requests at hand are finished by the one before it.
    pub fn set(&self, api: Arc<Api>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = api;
    }

    /// The API that answers now.
    pub(crate) fn current(&self) -> Arc<Api> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Arc<Api>> for Switch {
    fn from(api: Arc<Api>) -> Self {
        Self(Arc::new(Mutex::new(api)))
    }
}
