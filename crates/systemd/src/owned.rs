//! Keeps to the names that are fleet's to use (`docs/decisions/0014`).
//!
//! Files say whose a name is, and are looked at before every link, start, restart and stop: that costs
//! no call. systemd is asked of units that this process has never loaded, for it may have one in
//! memory that has no file: mounted by hand, of its own making, or running on though its file is
//! gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, MutexGuard, PoisonError},
};

use fleet_agent::manager::{ManagerError, Taken};
use fleet_core::{UnitFile, UnitName};
use futures::{StreamExt as _, stream};
use tracing::{error, warn};

use crate::{
    bus::CallError,
    calls::Verb,
    directory::file_error,
    load::Results,
    manager::{AT_ONCE, SystemdManager, blocking},
    names::{Holder, Places},
};

/// Names of units, each with the other names that it has or would have.
pub(crate) type Names = BTreeMap<UnitName, BTreeSet<String>>;

/// Units that are fleet's here, and whether systemd was seen to run what fleet has written.
pub(crate) type Owned = BTreeMap<UnitName, Proof>;

/// How sure it is that a unit is fleet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// No directory has its name.
    Files,
    /// systemd has read it from fleet's file.
    Loaded,
}

impl SystemdManager {
    /// Where units are, as systemd said last.
    pub(crate) fn places(&self) -> Places {
        let (root, units) = (self.root.clone(), self.directory.path().to_owned());
        Places { root, units, path: self.session.unit_path() }
    }

    pub(crate) fn lock_owned(&self) -> MutexGuard<'_, Owned> {
        // A panic leaves it whole: changes are single ones.
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has the names that aren't free, as files say.
    pub(crate) async fn holders(
        &self,
        names: Names,
    ) -> Result<BTreeMap<UnitName, Holder>, ManagerError> {
        let places = self.places();
        let look = move || -> Result<_, ManagerError> {
            let mut holders = BTreeMap::new();
            for (unit, aliases) in names {
                let holder = places.holder(&unit, &aliases);
                let holder = holder.map_err(|error| file_error(Path::new(unit.as_str()), error))?;
                holders.extend(holder.map(|holder| (unit, holder)));
            }
            Ok(holders)
        };
        blocking(look).await?
    }

    /// Leaves out the units whose names aren't free, with what there is to say of them; and says which
    /// of the others systemd hasn't met.
    pub(crate) async fn sift(
        &self,
        units: &BTreeMap<UnitName, UnitFile>,
    ) -> (BTreeMap<UnitName, UnitFile>, BTreeSet<UnitName>, Results) {
        let names: Names =
            units.iter().map(|(unit, file)| (unit.clone(), file.aliases(unit))).collect();
        let holders = match self.holders(names.clone()).await {
            Ok(holders) => holders,
            Err(error) => {
                let failed = |unit: &UnitName| (unit.clone(), Err(unavailable(&error)));
                return (BTreeMap::new(), BTreeSet::new(), units.keys().map(failed).collect());
            }
        };
        let mut results = Results::new();
        for (unit, holder) in holders.into_iter().chain(rivals(&names)) {
            results.insert(unit, Err(taken(&holder)));
        }
        let strangers: BTreeSet<UnitName> = {
            let owned = self.lock_owned();
            let unknown = |unit: &&UnitName| !owned.contains_key(*unit);
            let free = units.keys().filter(|unit| !results.contains_key(*unit));
            free.filter(unknown).cloned().collect()
        };
        let mut unmet = BTreeSet::new();
        for (unit, met) in self.meet(&strangers, &names).await {
            match met {
                Ok(HeldBy::Nobody) => drop(unmet.insert(unit)),
                Ok(HeldBy::Own) => {}
                Ok(HeldBy::Host(holder)) => drop(results.insert(unit, Err(taken(&holder)))),
                Err(error) => drop(results.insert(unit, Err(error.into()))),
            }
        }
        let free = units.iter().filter(|(unit, _)| !results.contains_key(*unit));
        (free.map(|(unit, file)| (unit.clone(), file.clone())).collect(), unmet, results)
    }

    /// Asks systemd what it has in memory under these names.
    async fn meet(
        &self,
        units: &BTreeSet<UnitName>,
        names: &Names,
    ) -> Vec<(UnitName, Result<HeldBy, CallError>)> {
        let none = BTreeSet::new();
        let questions: Vec<_> = units
            .iter()
            .map(|unit| {
                let aliases = names.get(unit).unwrap_or(&none).clone();
                async move { (unit.clone(), self.meet_one(unit, &aliases).await) }
            })
            .collect();
        stream::iter(questions).buffer_unordered(AT_ONCE).collect().await
    }

    async fn meet_one(
        &self,
        unit: &UnitName,
        aliases: &BTreeSet<String>,
    ) -> Result<HeldBy, CallError> {
        let places = self.places();
        let met = match self.calls.in_memory(unit.as_str()).await? {
            None => HeldBy::Nobody,
            Some(found) if found.is_nobodys() => HeldBy::Own,
            Some(found) if places.is_from_fleet(&found.fragment, unit) => HeldBy::Own,
            Some(found) if found.is_idle_file() => HeldBy::Own,
            Some(_) => return Ok(HeldBy::Host(Holder::Machine)),
        };
        for alias in aliases {
            if let Some(found) = self.calls.in_memory(alias).await?
                && !found.is_nobodys()
                && !places.is_from_fleet(&found.fragment, unit)
                && !found.is_idle_file()
            {
                return Ok(HeldBy::Host(Holder::Alias(alias.clone())));
            }
        }
        Ok(met)
    }

    /// Which names aren't fleet's, of the units with a file here and of `others`.
    pub(crate) async fn taken_names(
        &self,
        others: &Names,
    ) -> Result<BTreeMap<UnitName, Taken>, ManagerError> {
        let directory = Arc::clone(&self.directory);
        let here = blocking(move || directory.aliases()).await?;
        let mut names = others.clone();
        names.extend(here.clone());
        let holders = self.holders(names.clone()).await?;
        let mut taken = BTreeMap::new();
        for (unit, holder) in &holders {
            let runs_ours = here.contains_key(unit) && self.runs_ours(unit, holder).await;
            let aliases = names.get(unit).cloned().unwrap_or_default();
            taken.insert(unit.clone(), Taken { why: holder.why(), runs_ours, aliases });
        }
        {
            let is_ours = |unit: &&UnitName| holders.get(*unit).is_none_or(Holder::is_alias);
            let mut owned = self.lock_owned();
            for unit in here.keys().filter(is_ours) {
                owned.entry(unit.clone()).or_insert(Proof::Files);
            }
        }
        let away = |unit: &&UnitName| !here.contains_key(*unit) && !holders.contains_key(*unit);
        let away: BTreeSet<UnitName> = others.keys().filter(away).cloned().collect();
        for (unit, met) in self.meet(&away, &names).await {
            let holder = match met {
                Ok(HeldBy::Nobody | HeldBy::Own) => continue,
                Ok(HeldBy::Host(holder)) => holder,
                Err(_) => Holder::Machine, // it was so when systemd was asked last
            };
            let aliases = names.get(&unit).cloned().unwrap_or_default();
            taken.insert(unit, Taken { why: holder.why(), runs_ours: false, aliases });
        }
        Ok(taken)
    }

    /// Whether what runs under the name of a unit with a file here is fleet's, whoever has taken the
    /// name since. Where this process hasn't seen that it was free, it is not: a link of an earlier
    /// fleet's proves nothing, since it may stand before the file of what runs.
    async fn runs_ours(&self, unit: &UnitName, holder: &Holder) -> bool {
        match holder {
            // What is masked can't have been started since.
            Holder::Mask | Holder::Alias(_) | Holder::AliasOfFleets(_) => true,
            Holder::OtherOfFleets(_) => false,
            Holder::Machine | Holder::Template(_) => {
                if !self.lock_owned().contains_key(unit) {
                    return false;
                }
                match self.calls.in_memory(unit.as_str()).await {
                    Ok(Some(found)) => self.places().is_from_fleet(&found.fragment, unit),
                    Ok(None) => false,
                    Err(_) => true, // nothing is done to it while systemd can't be asked
                }
            }
        }
    }

    /// Checks that a unit is fleet's before something is done to it.
    pub(crate) async fn check_owner(
        &self,
        verb: Verb,
        unit: &UnitName,
    ) -> Result<(), ManagerError> {
        let (directory, name) = (Arc::clone(&self.directory), unit.clone());
        let aliases = blocking(move || directory.aliases_of(&name)).await?;
        let mut holders = self.holders([(unit.clone(), aliases)].into()).await?;
        let Some(holder) = holders.remove(unit) else { return self.check_memory(unit).await };
        let is_stop = verb == Verb::Stop && self.directory.has(unit);
        if is_stop && self.runs_ours(unit, &holder).await {
            return Ok(());
        }
        warn!(%unit, verb = verb.as_str(), why = holder.why(), "name is taken, nothing is done");
        Err(taken(&holder))
    }

    /// The same of one that this process hasn't loaded or found here.
    async fn check_memory(&self, unit: &UnitName) -> Result<(), ManagerError> {
        if self.lock_owned().contains_key(unit) {
            return Ok(());
        }
        match self.meet_one(unit, &BTreeSet::new()).await? {
            HeldBy::Nobody | HeldBy::Own => Ok(()),
            HeldBy::Host(holder) => Err(taken(&holder)),
        }
    }

    /// Checks, after its first start, that systemd has read a unit from what fleet has written.
    pub(crate) async fn check_loaded(&self, unit: &UnitName) -> Result<(), ManagerError> {
        if self.lock_owned().get(unit) != Some(&Proof::Files) {
            return Ok(());
        }
        // No answer is no proof of anything: the next start asks again.
        let Ok(fragment) = self.calls.fragment(unit).await else { return Ok(()) };
        if fragment.is_empty() || self.places().is_from_fleet(&fragment, unit) {
            self.lock_owned().insert(unit.clone(), Proof::Loaded);
            return Ok(());
        }
        error!(%unit, fragment, "systemd has another unit of that name");
        self.lock_owned().remove(unit);
        Err(taken(&Holder::Machine))
    }
}

/// What systemd has in memory under the names of a unit.
enum HeldBy {
    /// Nothing.
    Nobody,
    /// Nothing that isn't fleet's.
    Own,
    /// Something of the host's.
    Host(Holder),
}

/// Units that want as an alias what another of them is called: they give way.
fn rivals(names: &Names) -> BTreeMap<UnitName, Holder> {
    let called = |alias: &String| names.keys().any(|unit| unit.as_str() == alias);
    let rival = |(unit, aliases): (&UnitName, &BTreeSet<String>)| {
        let alias = aliases.iter().find(|alias| called(alias))?;
        Some((unit.clone(), Holder::AliasOfFleets(alias.clone())))
    };
    names.iter().filter_map(rival).collect()
}

pub(crate) fn taken(holder: &Holder) -> ManagerError {
    ManagerError::Taken(holder.why())
}

fn unavailable(error: &ManagerError) -> ManagerError {
    ManagerError::Unavailable(error.to_string().into())
}
