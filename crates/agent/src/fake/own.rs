//! What the fake's host has of its own.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::UnitName;

use super::host::Host;
use crate::{ManagerError, Taken};

impl Host {
    pub(super) fn have_own(&mut self, unit: &UnitName, active: Option<&str>) {
        match active {
            Some(active) => drop(self.own.insert(unit.clone(), active.to_owned())),
            None => drop(self.own.remove(unit)),
        }
        self.tell_reloaded();
    }

    pub(super) fn mask(&mut self, unit: &UnitName, masked: bool) {
        if masked {
            self.masks.insert(unit.clone());
        } else {
            self.masks.remove(unit);
        }
        self.tell_reloaded();
    }

    pub(super) fn taken_of(
        &self,
        others: &BTreeMap<UnitName, BTreeSet<String>>,
    ) -> BTreeMap<UnitName, Taken> {
        let here = self.files.iter().map(|(unit, file)| {
            (unit, file.as_ref().map(|file| file.aliases(unit)).unwrap_or_default())
        });
        let others = others.iter().filter(|(unit, _)| !self.files.contains_key(*unit));
        let others = others.map(|(unit, aliases)| (unit, aliases.clone()));
        let taken = here.chain(others).filter_map(|(unit, aliases)| {
            let why = self.holder(unit, &aliases)?;
            Some((unit.clone(), Taken { why, runs_ours: !self.own.contains_key(unit), aliases }))
        });
        taken.collect()
    }

    pub(super) fn check_free(
        &self,
        unit: &UnitName,
        aliases: &BTreeSet<String>,
    ) -> Result<(), ManagerError> {
        self.holder(unit, aliases).map_or(Ok(()), |why| Err(ManagerError::Taken(why)))
    }

    pub(super) fn check_startable(&self, unit: &UnitName) -> Result<(), ManagerError> {
        let file = self.files.get(unit).and_then(Option::as_ref);
        self.check_free(unit, &file.map(|file| file.aliases(unit)).unwrap_or_default())
    }

    pub(super) fn check_stoppable(&self, unit: &UnitName) -> Result<(), ManagerError> {
        if self.own.contains_key(unit) { self.check_free(unit, &BTreeSet::new()) } else { Ok(()) }
    }

    fn holder(&self, unit: &UnitName, aliases: &BTreeSet<String>) -> Option<String> {
        let own = "this machine has a unit of that name of its own";
        if self.own.contains_key(unit) {
            return Some(own.to_owned());
        }
        if self.masks.contains(unit) {
            return Some(format!("{own}: it is masked"));
        }
        let alias =
            aliases.iter().find(|alias| self.own.keys().any(|name| name.as_str() == *alias));
        alias.map(|alias| {
            format!("this machine has a unit of its own called {alias}, an alias of this one")
        })
    }
}
