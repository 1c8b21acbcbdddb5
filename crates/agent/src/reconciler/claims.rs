//! What is claimed of each unit here and what is intended with it, in a file that is always true.
//!
//! Before a pass tells systemd anything the file says what is intended ([`Reconciler::intend`]), once
//! for all units of the pass; after it, what is claimed. An intent that is still open when the units
//! are looked for (at the start of fleetd, or after a call without an answer) is held against what
//! systemd says ([`Reconciler::hold`]).

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{JobState, UnitHash, UnitName};
use fleet_registry::Start;
use fleet_store::Revision;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Reconciler;
use crate::{
    Listed, ManagerError,
    intent::{Found, Intent},
    manager::{Moment, Past, Run},
    plan::{Action, Here, Step},
    runtime::RuntimeFile,
};

/// What is said of a oneshot that may have run.
const MAY_HAVE_RUN: &str =
    "nothing tells whether it ran before fleetd was killed, so it is not run again by itself";

/// The file, and what is open.
pub(super) struct Claims {
    file: RuntimeFile,
    written: Option<Entries>,
    pub(super) intents: BTreeMap<UnitName, Intent>,
    /// Intents of which nothing more can be found out. They stay in the file: what comes after
    /// this fleetd has to say the same.
    unknown: BTreeSet<UnitName>,
}

type Entries = BTreeMap<UnitName, Entry>;

/// What the file says of a unit. An earlier version writes and reads it without the intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    hash: UnitHash,
    claim: JobState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
    /// How its last start went, so that what is published of it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
}

impl Claims {
    pub(super) fn new(file: RuntimeFile) -> Self {
        Self { file, written: None, intents: BTreeMap::new(), unknown: BTreeSet::new() }
    }

    /// What the fleetd before this one claimed, and of which content. What can't be understood of one
    /// unit costs only that unit.
    fn recall(&mut self) -> BTreeMap<UnitName, Here> {
        let entries: BTreeMap<String, serde_json::Value> = self.file.read().unwrap_or_default();
        let mut units = BTreeMap::new();
        self.intents.clear();
        for (name, value) in entries {
            let Ok(unit) = name.parse::<UnitName>() else { continue };
            match serde_json::from_value::<Entry>(value) {
                Ok(Entry { hash, claim, intent, start }) => {
                    // Nobody knows how one went that was on its way.
                    let start = start.filter(|start| start.settled);
                    let here = Here { hash: Some(hash), claim, start, ..Here::default() };
                    units.insert(unit.clone(), here);
                    self.intents.extend(intent.map(|intent| (unit, intent)));
                }
                Err(error) => warn!(%unit, %error, "what was claimed of it can't be understood"),
            }
        }
        units
    }

    /// Nothing is open any more of what was intended with a unit.
    pub(super) fn settle(&mut self, unit: &UnitName) {
        self.intents.remove(unit);
        self.unknown.remove(unit);
    }

    /// The same, of what was certainly not carried out.
    pub(super) fn settle_failed(&mut self, unit: &UnitName) {
        if !self.unknown.contains(unit) {
            self.settle(unit);
        }
    }

    /// Whether that is the last that was intended with the unit.
    pub(super) fn ends_with(&self, unit: &UnitName, act: Action) -> bool {
        self.intents.get(unit).is_some_and(|intent| intent.act == act)
    }

    fn write(&mut self, entries: Entries) {
        if self.written.as_ref() != Some(&entries) || self.file.is_failing() {
            self.file.write(&entries);
            self.written = Some(entries);
        }
    }
}

impl Reconciler {
    /// What the fleetd before this one left.
    pub(super) fn recall(&mut self) {
        self.current.units = self.claims.recall();
        self.current.restarts = self.told.recall();
    }

    /// Writes down what is about to be done, before systemd is told any of it.
    pub(super) async fn intend(&mut self, steps: &[Step]) -> Result<(), ManagerError> {
        let since = Moment::now(); // before systemd is asked: what happens from now on counts
        let has_job = |step: &&Step| !matches!(step.action, Action::Load | Action::Unload);
        let asked: BTreeSet<UnitName> =
            steps.iter().filter(has_job).map(|step| step.unit.clone()).collect();
        let runs = match asked.is_empty() {
            true => BTreeMap::new(),
            false => self.manager.runs(&asked).await?,
        };
        let mut acts: BTreeMap<&UnitName, (Action, bool)> = BTreeMap::new();
        for Step { unit, action, .. } in steps {
            let (act, load) = acts.entry(unit).or_insert((*action, false));
            *act = (*act).max(*action);
            *load |= *action == Action::Load;
        }
        for (unit, (act, load)) in acts {
            if act == Action::Load && self.claims.unknown.contains(unit) {
                continue; // its file is put right, and what isn't known stays so
            }
            let intent = self.intent(unit, act, load, runs.get(unit), since);
            self.claims.unknown.remove(unit);
            self.claims.intents.insert(unit.clone(), intent);
        }
        self.remember();
        Ok(())
    }

    fn intent(
        &self,
        unit: &UnitName,
        act: Action,
        load: bool,
        run: Option<&Run>,
        since: Moment,
    ) -> Intent {
        if let (Action::Unload, Some(halt)) = (act, self.claims.intents.get(unit))
            && halt.act == Action::Halt
        {
            return Intent { act, ..halt.clone() }; // the second half of one thing
        }
        let claim = self.current.units.get(unit).map_or(JobState::Inactive, |here| here.claim);
        let request = self.desired.units.get(unit).and_then(|wanted| wanted.restart);
        let request = request.filter(|_| act == Action::Restart).map(|Revision(at)| at);
        let up = run.is_some_and(Run::is_up);
        let run = run.and_then(|run| run.id.clone());
        Intent { act, load, claim, run, up, since, request }
    }

    /// Tells the fleetd after this one what is claimed and intended.
    pub(super) fn remember(&mut self) {
        let units = &self.current.units;
        self.claims.unknown.retain(|unit| {
            units.get(unit).is_some_and(|here| here.not_started == Some(MAY_HAVE_RUN))
        });
        let claimed = |(unit, here): (&UnitName, &Here)| {
            let intent = self.claims.intents.get(unit).cloned();
            let worth = here.claim != JobState::Inactive || intent.is_some();
            let hash = here.hash.filter(|_| worth)?;
            Some((
                unit.clone(),
                Entry { hash, claim: here.claim, intent, start: here.start.clone() },
            ))
        };
        let mut entries: Entries = units.iter().filter_map(claimed).collect();
        for (unit, intent) in &self.claims.intents {
            let text = self.current.texts.get(unit).filter(|_| intent.load);
            if let (false, Some(text)) = (entries.contains_key(unit), text) {
                let (claim, intent) = (JobState::Inactive, Some(intent.clone()));
                let entry = Entry { hash: text.hash, claim, intent, start: None };
                entries.insert(unit.clone(), entry);
            }
        }
        self.claims.write(entries);
    }

    /// Finds out what has become of what was intended and isn't settled.
    pub(super) async fn hold(
        &mut self,
        listing: &BTreeMap<UnitName, Listed>,
        found: &mut BTreeMap<UnitName, Here>,
    ) -> Result<(), ManagerError> {
        let is_open = |unit: &&UnitName| {
            let here = self.current.units.get(*unit);
            let is_idle = here.is_none_or(|here| here.busy.is_none() && !here.stopped);
            is_idle && !self.claims.unknown.contains(*unit)
        };
        let open: BTreeSet<UnitName> =
            self.claims.intents.keys().filter(is_open).cloned().collect();
        if open.is_empty() {
            return Ok(());
        }
        let runs = self.manager.runs(&open).await?;
        let past = self.past(&open, &runs).await;
        for unit in open {
            let Some(intent) = self.claims.intents.get(&unit).cloned() else { continue };
            let past = past.get(&unit).cloned().unwrap_or_default();
            let Some(is) = intent.found(runs.get(&unit), Some(&past)) else { continue };
            let listed = listing.get(&unit);
            let once = listed.is_some_and(|listed| listed.once);
            info!(%unit, intended = ?intent.act, found = ?is, once, "found out what became of a unit");
            let here = found.remove(&unit).or_else(|| self.current.units.get(&unit).cloned());
            let here = here.unwrap_or_default();
            found.extend(self.settled(&unit, &intent, is, listed, here).map(|here| (unit, here)));
        }
        Ok(())
    }

    /// Asks what is on record only of those that systemd's memory doesn't tell of.
    async fn past(
        &self,
        open: &BTreeSet<UnitName>,
        runs: &BTreeMap<UnitName, Run>,
    ) -> BTreeMap<UnitName, Past> {
        let doubtful = |unit: &UnitName| {
            let intent = self.claims.intents.get(unit)?;
            intent.found(runs.get(unit), None).is_none().then(|| (unit.clone(), intent.since))
        };
        let doubtful: BTreeMap<UnitName, Moment> = open.iter().filter_map(doubtful).collect();
        match doubtful.is_empty() {
            true => BTreeMap::new(),
            false => self.manager.past(&doubtful).await,
        }
    }

    /// Takes in what has become of a unit, and returns it as it is here; `None` when it isn't.
    fn settled(
        &mut self,
        unit: &UnitName,
        intent: &Intent,
        is: Found,
        listed: Option<&Listed>,
        here: Here,
    ) -> Option<Here> {
        let once = listed.is_some_and(|listed| listed.once);
        if let Some(request) = intent.told(is, once) {
            self.current.restarts.insert(unit.clone(), Revision(request));
        }
        if is == Found::Unknown && once {
            warn!(%unit, "{MAY_HAVE_RUN}");
            self.claims.unknown.insert(unit.clone());
        } else {
            self.claims.settle(unit);
        }
        let claim = intent.claim_when(is, once);
        // Its file is gone, as it was to be or by somebody's hand. What runs is here all the same.
        let stays = match intent.act {
            Action::Unload => is == Found::Runs,
            _ => claim == JobState::Launched,
        };
        if listed.is_none() && !stays {
            self.claims.settle(unit);
            return None;
        }
        let unfinished = here.unfinished || listed.is_none() || intent.leaves_file_open(is);
        let hash = listed.map_or(here.hash, |listed| listed.hash);
        let not_started = (is == Found::Unknown && once).then_some(MAY_HAVE_RUN);
        Some(Here { hash, claim, unfinished, not_started, ..here })
    }
}
