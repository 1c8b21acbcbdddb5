//! What is known of the units here: how they stand, what systemd said of them, and of which it is to be
//! asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fleet_core::{UnitName, UnitState};
use fleet_registry::PublishedState;
use tokio::time::Instant;

use super::{
    failures::Failures,
    pace::Pace,
    sources::{Standing, Standings},
};

/// How often systemd is asked about all units, whatever it told (`units.md` 8.2).
const POLL: Duration = Duration::from_secs(30);

/// See the module. Nothing is kept of units that aren't here.
pub(super) struct UnitsHere {
    /// What the standings were when they were looked at last; `None` until they are known.
    here: Option<Arc<Standings>>,
    states: BTreeMap<UnitName, UnitState>,
    /// How units went wrong, where they did.
    pub(super) failures: Failures,
    pub(super) pace: Pace,
    /// Units whose state is to be asked for.
    stale: BTreeSet<UnitName>,
    poll_at: Instant,
}

impl UnitsHere {
    pub(super) fn new() -> Self {
        Self {
            here: None,
            states: BTreeMap::new(),
            failures: Failures::default(),
            pace: Pace::default(),
            stale: BTreeSet::new(),
            poll_at: Instant::now() + POLL,
        }
    }

    /// The units here; `None` until that is known.
    pub(super) fn here(&self) -> Option<&Arc<Standings>> {
        self.here.as_ref()
    }

    /// Takes in what the reconciler has here. Units that are new or were dealt with are asked for.
    pub(super) fn take_standings(&mut self, now: Arc<Standings>) {
        let before = self.here.replace(Arc::clone(&now));
        let dealt_with = now
            .iter()
            .filter(|(name, standing)| before.as_ref().and_then(|b| b.get(*name)) != Some(standing))
            .map(|(name, _)| name.clone());
        self.stale.extend(dealt_with);
        self.stale.retain(|name| now.contains_key(name));
        self.states.retain(|name, _| now.contains_key(name));
        self.failures.retain(&now);
        self.pace.retain(&now);
    }

    /// Units of which systemd has something new to say.
    pub(super) fn may_have_changed(&mut self, units: impl IntoIterator<Item = UnitName>) {
        let Some(here) = &self.here else { return };
        self.stale.extend(units.into_iter().filter(|unit| here.contains_key(unit)));
    }

    /// All may have changed.
    pub(super) fn all_may_have_changed(&mut self) {
        if let Some(here) = &self.here {
            self.stale.extend(here.keys().cloned());
        }
        self.poll_at = Instant::now() + POLL;
    }

    /// When all units are asked about, whatever systemd told.
    pub(super) fn poll_at(&self) -> Instant {
        self.poll_at
    }

    /// The units to ask systemd about.
    pub(super) fn stale(&self) -> &BTreeSet<UnitName> {
        &self.stale
    }

    /// Takes in what systemd said of all that were stale.
    pub(super) fn take_states(&mut self, states: BTreeMap<UnitName, UnitState>) {
        let asked = std::mem::take(&mut self.stale);
        let here = self.here.as_deref();
        assert!(
            asked.iter().all(|unit| here.is_some_and(|here| here.contains_key(unit))),
            "systemd is asked only about units that are here"
        );
        for (name, state) in states.into_iter().filter(|(name, _)| asked.contains(name)) {
            self.pace.saw(&name, &state);
            self.states.insert(name, state);
        }
    }

    /// What there is to publish of the units that are here and that systemd has said something of.
    pub(super) fn states(&self) -> BTreeMap<UnitName, PublishedState> {
        let state = |(name, standing): (&UnitName, &Standing)| {
            let Standing { hash, claim, start } = standing.clone();
            let systemd = self.states.get(name)?.clone();
            let failure = self.failures.of(name, &systemd);
            Some((name.clone(), PublishedState { systemd, hash, claim, start, failure }))
        };
        self.here.iter().flat_map(|here| here.iter()).filter_map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use fleet_core::{JobState, UnitHash};

    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    fn here(units: &[(&str, JobState)]) -> Arc<Standings> {
        let standing = |claim| Standing { hash: UnitHash::of(b"x"), claim, start: None };
        Arc::new(units.iter().map(|(unit, claim)| (name(unit), standing(*claim))).collect())
    }

    fn running(units: &[&str]) -> BTreeMap<UnitName, UnitState> {
        let state =
            UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() };
        units.iter().map(|unit| (name(unit), state.clone())).collect()
    }

    #[test]
    fn only_units_that_are_here_and_may_have_changed_are_asked_about() {
        use JobState::{Launched, Loaded};
        let mut units = UnitsHere::new();
        units.may_have_changed([name("a.service")]);
        assert_eq!(units.stale(), &[].into(), "nobody knows what is here");
        units.take_standings(here(&[("a.service", Loaded), ("b.service", Loaded)]));
        assert_eq!(units.stale(), &[name("a.service"), name("b.service")].into());
        units.take_states(running(&["a.service", "b.service", "c.service"]));
        assert_eq!(units.stale(), &[].into());
        assert_eq!(units.states().len(), 2, "nobody asked about the third");
        units.take_standings(here(&[("a.service", Launched), ("b.service", Loaded)]));
        units.may_have_changed([name("c.service")]);
        assert_eq!(units.stale(), &[name("a.service")].into(), "it was dealt with");
        units.take_standings(here(&[("b.service", Loaded)]));
        assert_eq!((units.stale(), units.states().len()), (&[].into(), 1));
        units.all_may_have_changed();
        assert_eq!(units.stale(), &[name("b.service")].into());
    }

    #[test]
    fn nothing_is_told_of_a_unit_that_systemd_said_nothing_of() {
        let mut units = UnitsHere::new();
        units.take_standings(here(&[("a.service", JobState::Loaded)]));
        units.take_states(BTreeMap::new());
        assert_eq!(units.states(), BTreeMap::new());
    }
}
