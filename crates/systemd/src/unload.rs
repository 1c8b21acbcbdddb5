//! Unloading units: disable, forget, remove (`units.md` 7.3).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleet_agent::manager::ManagerError;
use fleet_core::UnitName;
use tracing::{info, warn};

use crate::{
    bus::CallError,
    calls::LinkChange,
    load::Results,
    manager::{SystemdManager, blocking},
    names::Holder,
};

impl SystemdManager {
    pub(crate) async fn unload_units(&self, units: &BTreeSet<UnitName>) -> Results {
        for unit in units {
            info!("Removing systemd unit {unit}");
            self.signals.unfollow(unit);
        }
        let names = units.iter().map(|unit| (unit.clone(), self.directory.aliases_of(unit)));
        let holders = match self.holders(names.collect()).await {
            Ok(holders) => holders,
            Err(error) => {
                let text = error.to_string();
                let failed = |unit: &UnitName| {
                    (unit.clone(), Err(ManagerError::Unavailable(text.clone().into())))
                };
                return units.iter().map(failed).collect();
            }
        };
        let is_ours = |unit: &&UnitName| holders.get(*unit).is_none_or(Holder::is_alias);
        let (ours, theirs): (BTreeSet<UnitName>, BTreeSet<UnitName>) =
            units.iter().cloned().partition(|unit| is_ours(&unit));
        let disabled = self.unlink(units, &holders).await;
        let mut results = self.each(&ours, |unit| self.forget(unit, disabled.get(unit))).await;
        // Nothing of what is the host's is forgotten: only fleet's files and links go.
        results.extend(theirs.into_iter().map(|unit| (unit, Ok(()))));
        // Without its file a unit is nobody's, so what is left of it would stay.
        let told = |unit: &&UnitName| {
            !matches!(results.get(*unit), Some(Err(ManagerError::Unavailable(_))))
        };
        let told: BTreeSet<UnitName> = units.iter().filter(told).cloned().collect();
        for unit in units.difference(&told) {
            self.directory.set_finished(unit, false);
        }
        self.lock_owned().retain(|unit, _| !told.contains(unit));
        for (unit, removed) in self.remove_files(told).await {
            // What systemd said first is the better reason.
            results.entry(unit).and_modify(|result| {
                if result.is_ok() {
                    *result = removed;
                }
            });
        }
        results
    }

    /// Removes fleet's links to these units. What this process may not remove, systemd may; by name,
    /// so only where that is fleet's. Returns how that went.
    async fn unlink(
        &self,
        units: &BTreeSet<UnitName>,
        holders: &BTreeMap<UnitName, Holder>,
    ) -> Results {
        let (places, to_unlink) = (self.places(), units.clone());
        let unlinked = blocking(move || places.unlink(&to_unlink)).await;
        let (aliases, errors) = match unlinked {
            Ok(unlinked) => unlinked,
            Err(error) => {
                warn!(%error, "links of units were not removed");
                (Vec::new(), Vec::new())
            }
        };
        let mut concerned = units.clone();
        concerned.extend(aliases.iter().filter_map(|alias| alias.parse().ok()));
        self.lock_reload().unloaded(&concerned);
        let mut denied = BTreeSet::new();
        for error in errors {
            if error.is_denial() && !holders.contains_key(&error.unit) {
                denied.insert(error.unit);
            } else {
                let (unit, link, error) = (&error.unit, error.link.display(), &error.error);
                warn!(%unit, %link, %error, "link of a unit was not removed");
            }
        }
        self.disable(&denied).await
    }

    /// One call for all; when it is refused, one for each, so that a bad name costs only itself.
    async fn disable(&self, units: &BTreeSet<UnitName>) -> Results {
        let names: Vec<&str> = units.iter().map(UnitName::as_str).collect();
        if names.is_empty() {
            return Results::new();
        }
        let failure = match self.calls.disable(&names).await {
            Ok(changes) => {
                self.links_removed(units, changes).await;
                return Results::new();
            }
            Err(error) => error,
        };
        if failure.is_unavailable() {
            let failed = units.iter().map(|unit| (unit.clone(), Err(failure.clone().into())));
            return failed.collect();
        }
        self.each(units, |unit| self.disable_one(units, unit)).await
    }

    async fn disable_one(
        &self,
        units: &BTreeSet<UnitName>,
        unit: &UnitName,
    ) -> Result<(), ManagerError> {
        match self.calls.disable(&[unit.as_str()]).await {
            Ok(changes) => self.links_removed(units, changes).await,
            Err(error) if error.is_no_possible_unit() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Looks at what disabling removed: with a template the links of all its instances go, those that
    /// stay too. They get theirs back.
    async fn links_removed(&self, unloaded: &BTreeSet<UnitName>, changes: Vec<LinkChange>) {
        let mut to_link = BTreeSet::new();
        for (what, link, _) in changes {
            let (folder, name) = link.rsplit_once('/').unwrap_or(("", &link));
            let unit = name.parse::<UnitName>().ok().filter(|_| what == "unlink");
            match unit {
                Some(unit) if is_unit_folder(folder) && unloaded.contains(&unit) => {}
                Some(unit) if is_unit_folder(folder) && self.directory.has(&unit) => {
                    to_link.insert(unit);
                }
                _ => {}
            }
        }
        for (unit, result) in self.each(&to_link, |unit| self.link_one(unit)).await {
            if let Err(error) = result {
                warn!(%unit, %error, "unit lost its link with its template");
                self.directory.set_finished(&unit, false);
            }
        }
    }

    /// Drops a failed unit from systemd's memory, and joins what went wrong for this unit.
    async fn forget(
        &self,
        unit: &UnitName,
        disabled: Option<&Result<(), ManagerError>>,
    ) -> Result<(), ManagerError> {
        let forgotten = match self.calls.reset_failed(unit).await {
            Err(error) if !error.is_no_possible_unit() => Some(error),
            _ => None,
        };
        let disabled = disabled.and_then(|disabled| disabled.as_ref().err());
        let unavailable = matches!(disabled, Some(ManagerError::Unavailable(_)))
            || forgotten.as_ref().is_some_and(CallError::is_unavailable);
        let texts =
            [disabled.map(ToString::to_string), forgotten.as_ref().map(ToString::to_string)];
        let text = texts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        match (text.is_empty(), unavailable) {
            (true, _) => Ok(()),
            (false, true) => Err(CallError::Unavailable(text).into()),
            (false, false) => Err(ManagerError::Refused(text)),
        }
    }

    async fn remove_files(&self, units: BTreeSet<UnitName>) -> Results {
        let directory = Arc::clone(&self.directory);
        let removed = blocking(move || {
            let remove = |unit: UnitName| {
                let result = directory.remove(&unit);
                (unit, result)
            };
            units.into_iter().map(remove).collect()
        });
        removed.await.unwrap_or_else(|error| {
            warn!(%error, "unit files were not removed");
            Results::new()
        })
    }
}

/// Whether units themselves are here, not what they are wanted or required by.
fn is_unit_folder(folder: &str) -> bool {
    folder.ends_with("/systemd/system") || folder.ends_with("/systemd/user")
}
