//! What is claimed of each unit here and what is intended with it, in a file that is always true.
//!
//! Before a pass tells systemd anything the file says what is intended ([`Claims::intend`]), once for
//! all units of the pass; after it, what is claimed. An intent that is still open when the units are
//! looked for (at the start of fleetd, or after a call without an answer) is held against what
//! systemd says ([`Claims::hold`]).

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{JobState, UnitHash, UnitName};
use fleet_registry::Start;
use fleet_runtime::{RuntimeFile, exhibits::Exhibit};
use fleet_store::Revision;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    ManagerError, UnitManager,
    desired::Wanted,
    intent::Intent,
    manager::{Moment, Run},
    plan::{Action, Current, Here, Step},
};

mod hold;

/// What is said of a oneshot that may have run.
const MAY_HAVE_RUN: &str =
    "nothing tells whether it ran before fleetd was killed, so it is not run again by itself";

/// The file, and what is open.
pub(super) struct Claims {
    file: RuntimeFile,
    written: Option<Entries>,
    intents: BTreeMap<UnitName, Intent>,
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

/// What is about to be done to one unit.
struct Intended {
    act: Action,
    load: bool,
    claim: JobState,
    request: Option<Revision>,
    since: Moment,
}

impl Claims {
    pub(super) fn new(file: RuntimeFile) -> Self {
        Self { file, written: None, intents: BTreeMap::new(), unknown: BTreeSet::new() }
    }

    /// What the fleetd before this one claimed, and of which content. What can't be understood of one
    /// unit costs only that unit.
    pub(super) fn recall(&mut self) -> BTreeMap<UnitName, Here> {
        let entries: BTreeMap<String, serde_json::Value> = self.file.read().unwrap_or_default();
        let mut units = BTreeMap::new();
        self.intents.clear();
        self.unknown.clear(); // it is found out once more
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

    /// The units that something is intended with.
    pub(super) fn intended(&self) -> impl Iterator<Item = &UnitName> {
        self.intents.keys()
    }

    /// Whether that is the last that was intended with the unit.
    pub(super) fn ends_with(&self, unit: &UnitName, act: Action) -> bool {
        self.intents.get(unit).is_some_and(|intent| intent.act == act)
    }

    /// Writes down what is about to be done, before systemd is told any of it.
    pub(super) async fn intend(
        &mut self,
        manager: &dyn UnitManager,
        steps: &[Step],
        wanted: &BTreeMap<UnitName, Wanted>,
        current: &Current,
    ) -> Result<(), ManagerError> {
        if Exhibit::NoIntents.is_shown() {
            return Ok(());
        }
        let since = Moment::now(); // before systemd is asked: what happens from now on counts
        let has_job = |step: &&Step| !matches!(step.action, Action::Load | Action::Unload);
        let asked: BTreeSet<UnitName> =
            steps.iter().filter(has_job).map(|step| step.unit.clone()).collect();
        let runs = match asked.is_empty() {
            true => BTreeMap::new(),
            false => manager.runs(&asked).await?,
        };
        self.note_intents(steps, wanted, current, &runs, &since);
        self.keep(current);
        Ok(())
    }

    fn note_intents(
        &mut self,
        steps: &[Step],
        wanted: &BTreeMap<UnitName, Wanted>,
        current: &Current,
        runs: &BTreeMap<UnitName, Run>,
        since: &Moment,
    ) {
        let mut acts: BTreeMap<&UnitName, (Action, bool)> = BTreeMap::new();
        for Step { unit, action, .. } in steps {
            let (act, load) = acts.entry(unit).or_insert((*action, false));
            *act = (*act).max(*action);
            *load |= *action == Action::Load;
        }
        for (unit, (act, load)) in acts {
            if act == Action::Load && self.unknown.contains(unit) {
                continue; // its file is put right, and what isn't known stays so
            }
            let claim = current.units.get(unit).map_or(JobState::Inactive, |here| here.claim);
            let request = wanted.get(unit).and_then(|wanted| wanted.restart);
            let intended = Intended { act, load, claim, request, since: since.clone() };
            let intent = self.intent(unit, intended, runs.get(unit));
            self.unknown.remove(unit);
            self.intents.insert(unit.clone(), intent);
        }
        let is_intended = |step: &Step| self.intents.contains_key(&step.unit);
        assert!(steps.iter().all(is_intended), "what is done is written down first");
    }

    fn intent(&self, unit: &UnitName, intended: Intended, run: Option<&Run>) -> Intent {
        let Intended { act, load, claim, request, since } = intended;
        if let (Action::Unload, Some(halt)) = (act, self.intents.get(unit))
            && halt.act == Action::Halt
        {
            return Intent { act, ..halt.clone() }; // the second half of one thing
        }
        let request = request.filter(|_| act == Action::Restart).map(|Revision(at)| at);
        let up = run.is_some_and(Run::is_up);
        let run = run.and_then(|run| run.id.clone());
        Intent { act, load, claim, run, up, since, request }
    }

    /// Tells the fleetd after this one what is claimed and intended.
    pub(super) fn keep(&mut self, current: &Current) {
        let units = &current.units;
        self.unknown.retain(|unit| {
            units.get(unit).is_some_and(|here| here.not_started == Some(MAY_HAVE_RUN))
        });
        let is_intended = |unit| self.intents.contains_key(unit);
        assert!(self.unknown.iter().all(is_intended), "nothing is unknown but what was intended");
        let claimed = |(unit, here): (&UnitName, &Here)| {
            let intent = self.intents.get(unit).cloned();
            let worth = here.claim != JobState::Inactive || intent.is_some();
            let hash = here.hash.filter(|_| worth)?;
            Some((
                unit.clone(),
                Entry { hash, claim: here.claim, intent, start: here.start.clone() },
            ))
        };
        let mut entries: Entries = units.iter().filter_map(claimed).collect();
        for (unit, intent) in &self.intents {
            let text = current.texts.get(unit).filter(|_| intent.load);
            if let (false, Some(text)) = (entries.contains_key(unit), text) {
                let (claim, intent) = (JobState::Inactive, Some(intent.clone()));
                let entry = Entry { hash: text.hash, claim, intent, start: None };
                entries.insert(unit.clone(), entry);
            }
        }
        self.write(entries);
    }

    fn write(&mut self, entries: Entries) {
        if self.written.as_ref() != Some(&entries) || self.file.is_failing() {
            self.file.write(&entries);
            self.written = Some(entries);
        }
    }
}

#[cfg(test)]
mod tests;
