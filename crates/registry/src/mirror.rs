//! Follows a part of the registry: one consistent snapshot, then watches from the next revision.

use fleet_core::MachineId;

use crate::{Event, Registry, RegistryError};

/// What a mirror keeps. The default is an empty registry.
pub trait Model: Default + Send {
    /// Takes in one change.
    fn apply(&mut self, event: Event);
}

/// Which part of the registry a mirror follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What decisions rest on: units, machines, dynamic metadata.
    Cluster,
    /// What one machine obeys: its schedule, global units, its own entry and metadata, and
    /// nothing that changes elsewhere.
    Machine(MachineId),
    /// Who leads, and the cluster's engine version.
    Lead,
}

/// A part of the registry, kept up to date in place by its one owner.
#[derive(Debug)]
pub struct Mirror<M> {
    #[expect(unused, reason = "skeleton")]
    registry: Registry,
    #[expect(unused, reason = "skeleton")]
    scope: Scope,
    model: M,
}

impl<M: Model> Mirror<M> {
    /// An empty mirror. Nothing is read yet.
    #[must_use]
    pub fn new(registry: Registry, scope: Scope) -> Self {
        Self { registry, scope, model: M::default() }
    }

    /// Waits until something has changed, and has taken in all that is here. The first call, and
    /// the first after an error, takes a new snapshot and returns at once. Cancel-safe.
    ///
    /// # Errors
    /// The store can't be reached, or the watch broke. Until a later call succeeds the model is
    /// what was known last, and [`is_current`](Self::is_current) is false.
    pub async fn changed(&mut self) -> Result<(), RegistryError> {
        todo!()
    }

    /// Whether a snapshot has been taken and its watches still run.
    #[must_use]
    pub fn is_current(&self) -> bool {
        todo!()
    }

    /// What is known.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// What is known, to take in at once what the owner has itself written.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }
}
