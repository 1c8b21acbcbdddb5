//! Lists, page by page: each page is a bounded read at one revision.

use std::collections::BTreeMap;

use fleet_core::{MachineId, UnitName};

use crate::{PublishedState, Registry, RegistryError, Unit};

/// A page of a list in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts: after this key. `None` on the last page. Opaque to callers.
    pub next: Option<String>,
}

/// Which states to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateFilter {
    /// Only of this unit (exact text; one that can't exist matches nothing).
    pub unit: Option<String>,
    /// Only of this machine (exact text).
    pub machine: Option<String>,
}

/// A published state with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateView {
    /// The unit.
    pub unit: UnitName,
    /// The machine.
    pub machine: MachineId,
    /// What it says.
    pub state: PublishedState,
}

/// A present machine with its effective metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineView {
    /// Its id.
    pub id: MachineId,
    /// Its address; empty when unknown.
    pub public_ip: String,
    /// Configured metadata overlaid with dynamic metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Registry {
    /// Units after `after` (a page's `next`), at most `limit`. Corrupt ones are left out and logged.
    ///
    /// # Errors
    /// The store failed.
    pub async fn units_page(&self, _after: Option<&str>, _limit: usize) -> Result<Page<Unit>, RegistryError> {
        todo!()
    }

    /// States that pass `filter`, ordered by unit, then machine.
    ///
    /// # Errors
    /// The store failed.
    pub async fn states_page(
        &self,
        _filter: &StateFilter,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Page<StateView>, RegistryError> {
        todo!()
    }

    /// Present machines by id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn machines_page(
        &self,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Page<MachineView>, RegistryError> {
        todo!()
    }
}
