//! What the publisher is told of the units here. Nothing is told that was told before.

use std::{collections::BTreeMap, sync::Arc};

use fleet_core::{JobState, UnitName};
use fleet_registry::{HostObstacle, Trouble, Unclear};
use tokio::sync::watch;

use crate::{
    Taken,
    desired::{Desired, Orders},
    plan::{Current, Here},
    publish::{Obstacles, Standing, Standings, Troubles},
};

/// The most that is told of what went wrong, in characters.
const TROUBLE: usize = 500;

/// What it was told last.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// What is here; `None` until that is known.
    pub(super) standings: watch::Sender<Option<Arc<Standings>>>,
    /// What keeps units from being as they should.
    pub(super) troubles: watch::Sender<Arc<Troubles>>,
    /// What keeps units off this machine; `None` until that is known.
    pub(super) obstacles: watch::Sender<Option<Arc<Obstacles>>>,
}

impl Shown {
    pub(super) fn standings(&self, current: &Current) {
        show(&self.standings, standings_of(current));
    }

    pub(super) fn obstacles(&self, current: &Current) {
        show(&self.obstacles, obstacles_of(current));
    }

    pub(super) fn troubles(
        &self,
        desired: &Desired,
        current: &Current,
        orders: &Orders,
        wrong: &BTreeMap<UnitName, String>,
    ) {
        let now = troubles_of(desired, current, orders, wrong);
        self.troubles.send_if_modified(|troubles| {
            let changed = **troubles != now;
            if changed {
                *troubles = Arc::new(now);
            }
            changed
        });
    }
}

fn show<T: PartialEq>(shown: &watch::Sender<Option<Arc<T>>>, now: T) {
    if shown.borrow().as_deref() != Some(&now) {
        shown.send_replace(Some(Arc::new(now)));
    }
}

/// The units here that are claimed to be fleet's.
fn standings_of(current: &Current) -> Standings {
    let foreign = |unit: &UnitName| current.taken.get(unit).is_some_and(|taken| !taken.runs_ours);
    let claimed = |(unit, here): (&UnitName, &Here)| {
        if foreign(unit) {
            return None;
        }
        let start = here.start.clone().filter(|_| here.claim == JobState::Launched);
        let standing = Standing { hash: here.hash?, claim: here.claim, start };
        (here.claim != JobState::Inactive).then(|| (unit.clone(), standing))
    };
    current.units.iter().filter_map(claimed).collect()
}

fn obstacles_of(current: &Current) -> Obstacles {
    let obstacle = |taken: &Taken| HostObstacle { reason: short(&taken.why) };
    current.taken.iter().map(|(unit, taken)| (unit.clone(), obstacle(taken))).collect()
}

/// What went wrong for units that should be here, or may have to, or are to be elsewhere once they
/// are gone.
fn troubles_of(
    desired: &Desired,
    current: &Current,
    orders: &Orders,
    wrong: &BTreeMap<UnitName, String>,
) -> Troubles {
    let launched = |unit| desired.units.get(unit).is_some_and(|w| w.state == JobState::Launched);
    let not_started = current.units.iter().filter(|(unit, _)| launched(*unit));
    let not_started =
        not_started.filter_map(|(unit, here)| Some((unit, here.not_started?.to_owned())));
    let failed = current
        .retries
        .iter()
        .filter(|(unit, retry)| retry.wanted.is_some() || orders.lets_go(unit));
    let failed = failed.map(|(unit, retry)| {
        let refused = retry.wanted.map(|wanted| wanted.hash).filter(|_| retry.refused);
        (unit, Trouble { error: short(&retry.error), refused })
    });
    let plain = |error: String| Trouble { error, ..Trouble::default() };
    let not_started = not_started.map(|(unit, error)| (unit, plain(error)));
    let taken = current.taken.iter().filter(|(unit, _)| desired.units.contains_key(*unit));
    let taken = taken.map(|(unit, taken)| (unit, plain(short(&taken.why))));
    let unclear = desired.unclear.iter().map(|(unit, Unclear(why))| (unit, plain(short(why))));
    let wrong = wrong.iter().map(|(unit, why)| (unit, plain(short(why))));
    let all = not_started.chain(failed).chain(wrong).chain(taken).chain(unclear); // the last of a unit counts
    all.map(|(unit, trouble)| (unit.clone(), trouble)).collect()
}

/// The beginning of a text that may be of any length.
fn short(text: &str) -> String {
    match text.char_indices().nth(TROUBLE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fleet_core::UnitHash;

    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    /// Units here, each with its claim and how it is taken: by nobody, by what runs, or by one that
    /// doesn't.
    fn current(units: &[(&str, JobState, Option<bool>)]) -> Current {
        let mut current = Current::default();
        for (unit, claim, runs_ours) in units {
            let here = Here { hash: Some(UnitHash::of(b"x")), claim: *claim, ..Here::default() };
            current.units.insert(name(unit), here);
            if let Some(runs_ours) = *runs_ours {
                let why = "x".repeat(TROUBLE + 1);
                current
                    .taken
                    .insert(name(unit), Taken { why, runs_ours, aliases: BTreeSet::new() });
            }
        }
        current
    }

    #[test]
    fn what_is_claimed_and_fleets_is_published_once() {
        let shown = Shown::default();
        let (mut standings, mut obstacles) =
            (shown.standings.subscribe(), shown.obstacles.subscribe());
        let current = current(&[
            ("a.service", JobState::Launched, None),
            ("b.service", JobState::Inactive, None),
            ("c.service", JobState::Launched, Some(true)),
            ("d.service", JobState::Launched, Some(false)),
        ]);
        shown.standings(&current);
        shown.obstacles(&current);
        let names = |units: &Standings| units.keys().cloned().collect::<Vec<_>>();
        let told = standings.borrow_and_update().clone().unwrap();
        assert_eq!(names(&told), [name("a.service"), name("c.service")]);
        let told = obstacles.borrow_and_update().clone().unwrap();
        assert_eq!(told.len(), 2, "whatever runs under the name");
        assert_eq!(told[&name("d.service")].reason.len(), TROUBLE + "...".len());
        shown.standings(&current);
        shown.obstacles(&current);
        assert!(!standings.has_changed().unwrap() && !obstacles.has_changed().unwrap());
    }
}
