//! How units went wrong: what is told beside the state of one that has failed, or that systemd is about
//! to start again.

use std::{collections::BTreeMap, time::Duration};

use fleet_core::{JobState, UnitName, UnitState};
use fleet_registry::PublishedState;
use futures::{StreamExt, stream};
use tokio::time;

use super::{News, Standings};
use crate::{UnitManager, manager::has_failed};

/// How long publishing waits for it. Without an answer the state is told alone.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many units are asked about at once.
const AT_ONCE: usize = 16;

/// What is known of it, by unit.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<UnitName, String>);

impl Failures {
    /// How a unit went wrong that systemd says this of.
    pub(super) fn of(&self, unit: &UnitName, state: &UnitState) -> String {
        self.0.get(unit).filter(|_| has_failed(state)).cloned().unwrap_or_default()
    }

    /// Takes in what the fleetd before this one has published, so that nobody has to ask again.
    pub(super) fn recall(&mut self, states: &BTreeMap<UnitName, PublishedState>) {
        for (unit, state) in states.iter().filter(|(_, state)| !state.failure.is_empty()) {
            self.0.entry(unit.clone()).or_insert_with(|| state.failure.clone());
        }
    }

    pub(super) fn retain(&mut self, here: &Standings) {
        self.0.retain(|unit, _| here.contains_key(unit));
    }

    /// Asks how the units of `news` went wrong that did, and puts it there.
    pub(super) async fn learn(
        &mut self,
        manager: &dyn UnitManager,
        news: &mut News<PublishedState>,
    ) {
        let failed = news.iter().filter(|(_, state)| state.as_ref().is_some_and(is_told));
        let failed: Vec<UnitName> = failed.map(|(unit, _)| unit.clone()).collect();
        if failed.is_empty() {
            return;
        }
        let asked = failed.into_iter().map(|unit| async move {
            let run = manager.outcome(&unit).await;
            (unit, run)
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let learning = async {
            while let Some((unit, run)) = answers.next().await {
                // It may be on its way again: then what was known before still stands.
                let how = run.map(|run| run.how()).unwrap_or_default();
                if !how.is_empty() {
                    self.0.insert(unit, how);
                }
            }
        };
        let _ = time::timeout(PATIENCE, learning).await; // what came in time is told
        for (unit, state) in news {
            if let Some(state) = state {
                state.failure = self.of(unit, &state.systemd);
            }
        }
    }
}

/// Whether it is told how a unit went wrong that was published so.
fn is_told(state: &PublishedState) -> bool {
    state.claim == JobState::Launched && has_failed(&state.systemd)
}
