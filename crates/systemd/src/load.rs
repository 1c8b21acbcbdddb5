//! Loading units: see whose their names are, write, link, enable (`units.md` 7.3).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use fleet_agent::manager::ManagerError;
use fleet_core::{UnitFile, UnitName};
use futures::{FutureExt as _, StreamExt as _, stream};
use tracing::{info, warn};

use crate::{
    bus::CallError,
    calls::LinkChange,
    manager::{AT_ONCE, SystemdManager, blocking},
    names::{Holder, Places},
    owned::{Proof, taken},
    reload::Link,
};

pub(crate) type Results = BTreeMap<UnitName, Result<(), ManagerError>>;

impl SystemdManager {
    pub(crate) async fn load_units(&self, units: &BTreeMap<UnitName, UnitFile>) -> Results {
        let (free, unmet, mut results) = self.sift(units).await;
        let units = &free;
        self.lock_reload().loaded(units.keys(), unmet);
        results.extend(self.write(units).await);
        let written = succeeded(&results);
        results.extend(self.link(&written).await);
        let to_enable: BTreeSet<UnitName> = succeeded(&results)
            .into_iter()
            .filter(|unit| units.get(unit).is_some_and(UnitFile::has_install))
            .collect();
        results.extend(self.enable(&to_enable).await);
        {
            let mut owned = self.lock_owned();
            for unit in succeeded(&results) {
                owned.entry(unit).or_insert(Proof::Files);
            }
        }
        for (unit, result) in &results {
            // What could not be enabled was unloaded again, which says itself how that went.
            // Nor is anything of what has no name here.
            let is_undone = to_enable.contains(unit) && is_refused(result);
            if !is_undone && units.contains_key(unit) {
                self.directory.set_finished(unit, result.is_ok());
            }
        }
        results
    }

    async fn write(&self, units: &BTreeMap<UnitName, UnitFile>) -> Results {
        let directory = Arc::clone(&self.directory);
        let files = units.clone();
        let written = blocking(move || {
            let write = |(unit, file)| {
                let result = directory.write(&unit, &file);
                (unit, result)
            };
            files.into_iter().map(write).collect()
        });
        let written: Results =
            written.await.unwrap_or_else(|error| all_failed(units.keys(), &error));
        for unit in succeeded(&written) {
            self.signals.follow(&unit);
        }
        written
    }

    /// Links units by hand, and what can't be linked so by systemd, whose word counts.
    async fn link(&self, units: &BTreeSet<UnitName>) -> Results {
        let (places, to_link) = (self.places(), units.clone());
        // What it can't be asked of, systemd is.
        let linked = blocking(move || places.link(&to_link)).await.unwrap_or_default();
        let mut results = self.link_by_systemd(units - &linked).await;
        results.extend(linked.into_iter().map(|unit| (unit, Ok(()))));
        results
    }

    /// One call for all; when it is refused, one for each, so that a bad unit costs only itself.
    async fn link_by_systemd(&self, units: BTreeSet<UnitName>) -> Results {
        let units = &units;
        let paths: Vec<String> = units.iter().map(|unit| self.link_path(unit)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let together = match paths.is_empty() {
            true => Ok(()),
            false => self.calls.link(&paths).await.map(drop),
        };
        match together {
            Ok(()) => units.iter().map(|unit| (unit.clone(), Ok(()))).collect(),
            Err(error) if error.is_unavailable() || units.len() == 1 => all_failed(units, &error),
            Err(_) => self.each(units, |unit| self.link_one(unit)).await,
        }
    }

    pub(crate) async fn link_one(&self, unit: &UnitName) -> Result<(), ManagerError> {
        self.calls.link(&[&self.link_path(unit)]).await?;
        Ok(())
    }

    async fn enable(&self, units: &BTreeSet<UnitName>) -> Results {
        let results = self.each(units, |unit| self.enable_one(unit)).await;
        let failed: BTreeSet<UnitName> = units
            .iter()
            .filter(|unit| results.get(*unit).is_some_and(is_refused))
            .cloned()
            .collect();
        if !failed.is_empty() {
            // What went wrong in enabling is what the caller needs to hear, not how the undoing went.
            drop(self.unload_units(&failed).await);
        }
        results
    }

    async fn enable_one(&self, unit: &UnitName) -> Result<(), ManagerError> {
        info!("Enabling systemd unit {unit}");
        let failed = |reason: &str| format!("Failed to enable systemd unit {unit}: {reason}");
        match self.calls.enable(&self.link_path(unit)).await {
            Ok((true, changes)) => self.take_links(unit, changes).await,
            Ok((false, _)) => {
                Err(ManagerError::Refused(failed("unit has no installation information")))
            }
            // No answer is no reason to unload it again.
            Err(CallError::Unavailable(text)) => Err(CallError::Unavailable(failed(&text)).into()),
            Err(error) => Err(ManagerError::Refused(failed(&error.to_string()))),
        }
    }

    /// Looks at what enabling a unit has made. Names that only systemd could tell are looked at now, and
    /// what it has done about other units (`Also=`) is undone where those are the host's.
    async fn take_links(
        &self,
        unit: &UnitName,
        changes: Vec<LinkChange>,
    ) -> Result<(), ManagerError> {
        let (places, name) = (self.places(), unit.clone());
        let enabled = blocking(move || enabled_links(&places, &name, &changes)).await?;
        let mut due = self.lock_reload();
        enabled.links.into_iter().for_each(|link| due.linked(link));
        enabled.holder.map_or(Ok(()), |holder| Err(taken(&holder)))
    }

    fn link_path(&self, unit: &UnitName) -> String {
        self.directory.path_of(unit).to_string_lossy().into_owned()
    }

    /// Does something for each unit, several at a time.
    pub(crate) async fn each<'a, F, R>(&'a self, units: &'a BTreeSet<UnitName>, act: F) -> Results
    where
        F: Fn(&'a UnitName) -> R,
        R: Future<Output = Result<(), ManagerError>>,
    {
        let act = |unit: &'a UnitName| act(unit).map(|result| (unit.clone(), result));
        let acts: Vec<_> = units.iter().map(act).collect();
        stream::iter(acts).buffer_unordered(AT_ONCE).collect().await
    }
}

fn succeeded(results: &Results) -> BTreeSet<UnitName> {
    let succeeded = results.iter().filter(|(_, result)| result.is_ok());
    succeeded.map(|(unit, _)| unit.clone()).collect()
}

fn is_refused(result: &Result<(), ManagerError>) -> bool {
    matches!(result, Err(ManagerError::Refused(_) | ManagerError::Taken(_)))
}

/// What became of enabling a unit.
struct EnabledLinks {
    links: Vec<Link>,
    /// Who has a name that it got.
    holder: Option<Holder>,
}

fn enabled_links(places: &Places, unit: &UnitName, changes: &[LinkChange]) -> EnabledLinks {
    let mut enabled = EnabledLinks { links: Vec::new(), holder: None };
    for (_, link, target) in changes.iter().filter(|(what, ..)| what == "symlink") {
        let Some(of) = places.of_fleet(Path::new(target)) else {
            match places.remove(Path::new(link)) {
                Ok(()) => {
                    info!(%unit, link, "unit of the host's isn't enabled along with this one")
                }
                Err(error) => warn!(%unit, link, %error, "unit of the host's was enabled"),
            }
            continue;
        };
        let (folder, name) = link.rsplit_once('/').unwrap_or(("", link));
        let folder = folder.rsplit('/').next().unwrap_or_default();
        let link = match folder.rsplit_once('.') {
            Some((by, "wants")) => Link::WantedBy(by.to_owned()),
            Some((by, "requires" | "upholds")) => Link::NeededBy(by.to_owned()),
            _ if name == of => continue,
            _ => Link::Alias(name.to_owned()),
        };
        if let (Link::Alias(alias), None) = (&link, &enabled.holder) {
            let holder = places.holder(unit, &BTreeSet::from([alias.clone()]));
            enabled.holder = holder.unwrap_or_else(|_| Some(Holder::Alias(alias.clone())));
        }
        enabled.links.push(link);
    }
    enabled
}

fn all_failed<'a>(units: impl IntoIterator<Item = &'a UnitName>, error: &CallError) -> Results {
    units.into_iter().map(|unit| (unit.clone(), Err(error.clone().into()))).collect()
}
