//! Units: submit, replace, set the desired state, destroy. Each is one transaction.

use fleet_core::{JobState, UnitFile, UnitName};

use crate::{Registry, RegistryError, UnitRecord, Versioned};

/// A unit as the API shows it, all of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// What is decided about it.
    pub record: Versioned<UnitRecord>,
    /// Its content.
    pub file: UnitFile,
    /// Its current state as a whole (`cluster.md` 1); `inactive` for global units.
    pub current_state: JobState,
}

impl Registry {
    /// Reads one unit.
    ///
    /// # Errors
    /// The store failed, or the stored unit is corrupt.
    pub async fn unit(&self, _name: &UnitName) -> Result<Option<Unit>, RegistryError> {
        todo!()
    }

    /// Creates a unit.
    ///
    /// # Errors
    /// `Conflict` when there is one of that name.
    pub async fn create_unit(
        &self,
        _name: &UnitName,
        _file: &UnitFile,
        _desired: JobState,
    ) -> Result<(), RegistryError> {
        todo!()
    }

    /// Replaces content and desired state of a unit; it stays on its machine.
    ///
    /// # Errors
    /// `Conflict` when it changed since `seen`.
    pub async fn replace_unit(
        &self,
        _seen: &Unit,
        _file: &UnitFile,
        _desired: JobState,
    ) -> Result<(), RegistryError> {
        todo!()
    }

    /// Sets the desired state of a unit. Setting what is set already writes nothing.
    ///
    /// # Errors
    /// `Conflict` when it changed since `seen`.
    pub async fn set_desired_state(&self, _seen: &Unit, _desired: JobState) -> Result<(), RegistryError> {
        todo!()
    }

    /// Destroys a unit: its record, content and schedule. Works on a corrupt record too.
    ///
    /// # Errors
    /// `NoSuchUnit`.
    pub async fn destroy_unit(&self, _name: &UnitName) -> Result<(), RegistryError> {
        todo!()
    }

    /// The content of a unit: its text as stored, not lexed. `None` when there is no such unit.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unit_text(&self, _name: &UnitName) -> Result<Option<Vec<u8>>, RegistryError> {
        todo!()
    }

    /// The contents of several units, read at one revision; those that don't exist are left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unit_texts<'a>(
        &self,
        _names: impl IntoIterator<Item = &'a UnitName> + Send,
    ) -> Result<std::collections::BTreeMap<UnitName, Vec<u8>>, RegistryError> {
        todo!()
    }
}
