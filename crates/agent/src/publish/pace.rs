//! Keeps units that flap from being published at every change.
//!
//! What systemd says of a unit is published at once, a few times. One that goes on changing (a process
//! that crashes and is started again) is published when it has been the same for a second, and every
//! ten seconds while it never is. What fleet itself did with a unit is never held back.

use std::{collections::BTreeMap, time::Duration};

use fleet_core::{UnitName, UnitState};
use fleet_registry::PublishedState;
use tokio::time::Instant;

use super::{News, Standings};

/// How many changes of a unit are published at once. A start makes four or five.
const BURST: u32 = 8;
/// How soon one more is: also how often the state is shown of a unit that never rests.
const REFILL: Duration = Duration::from_secs(10);
/// For how long a state has to last that is published beyond that; also the least time between two.
const STEADY: Duration = Duration::from_secs(1);

/// What is known of the changes of each unit.
#[derive(Debug, Default)]
pub(super) struct Pace(BTreeMap<UnitName, Changes>);

#[derive(Debug)]
struct Changes {
    state: UnitState,
    /// Since when it has been so.
    since: Instant,
    /// How many more changes are published at once.
    spare: u32,
    refilled: Instant,
    published: Option<Instant>,
}

impl Pace {
    /// Takes in what systemd says of a unit now.
    pub(super) fn saw(&mut self, unit: &UnitName, state: &UnitState) {
        let now = Instant::now();
        match self.0.get_mut(unit) {
            Some(changes) if changes.state == *state => {}
            Some(changes) => (changes.state, changes.since) = (state.clone(), now),
            None => {
                let changes = Changes {
                    state: state.clone(),
                    since: now,
                    spare: BURST,
                    refilled: now,
                    published: None,
                };
                self.0.insert(unit.clone(), changes);
            }
        }
    }

    pub(super) fn retain(&mut self, here: &Standings) {
        self.0.retain(|unit, _| here.contains_key(unit));
    }

    /// Takes out of `news` what is to be published later. Returns when to look again.
    pub(super) fn hold_back(
        &mut self,
        news: &mut News<PublishedState>,
        published: &News<PublishedState>,
    ) -> Option<Instant> {
        let now = Instant::now();
        let mut until: Option<Instant> = None;
        news.retain(|unit, state| {
            let before = published.get(unit).and_then(Option::as_ref);
            let (Some(state), Some(before)) = (state.as_ref(), before) else { return true };
            let Some(changes) = self.0.get_mut(unit) else { return true };
            if !only_systemd_differs(state, before) {
                return true;
            }
            let at = changes.publish_at(now);
            if let Some(at) = at {
                until = Some(until.map_or(at, |other| other.min(at)));
            }
            at.is_none()
        });
        until
    }
}

impl Changes {
    /// When it may be published; `None` is now, and counts.
    fn publish_at(&mut self, now: Instant) -> Option<Instant> {
        while self.spare < BURST && now - self.refilled >= REFILL {
            self.spare += 1;
            self.refilled += REFILL;
        }
        if self.spare == BURST {
            self.refilled = now;
        }
        let due = match self.spare {
            0 => (self.since + STEADY).min(self.refilled + REFILL),
            _ => now,
        };
        let again = self.published.map_or(now, |published| published + STEADY);
        let due = if self.spare > 1 { due } else { due.max(again) };
        if due > now {
            return Some(due);
        }
        self.spare = self.spare.saturating_sub(1);
        self.published = Some(now);
        None
    }
}

fn only_systemd_differs(a: &PublishedState, b: &PublishedState) -> bool {
    a.hash == b.hash && a.claim == b.claim && a.start == b.start
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fleet_core::{JobState, UnitHash};
    use tokio::time;

    use super::*;

    /// Plays a unit that changes every `period`, alternating between two states and resting for good
    /// after `changes`. Returns when it was published, in milliseconds, and what was published last.
    async fn play(period: Duration, changes: usize) -> (Vec<u128>, UnitState) {
        let unit: UnitName = "a.service".parse().unwrap();
        let states = ["running", "auto-restart"].map(|sub| UnitState {
            load: "loaded".into(),
            active: "active".into(),
            sub: sub.into(),
        });
        let shown = |state: &UnitState| {
            PublishedState::new(state.clone(), UnitHash::of(b"x"), JobState::Launched)
        };
        let mut published = News::from([(unit.clone(), Some(shown(&states[0])))]);
        let (mut pace, mut times, begun) = (Pace::default(), Vec::new(), Instant::now());
        let mut now = states[0].clone();
        let mut next = begun + period;
        let mut changed = 0;
        loop {
            pace.saw(&unit, &now);
            let mut news = News::new();
            if published[&unit] != Some(shown(&now)) {
                news.insert(unit.clone(), Some(shown(&now)));
            }
            let until = pace.hold_back(&mut news, &published);
            if !news.is_empty() {
                times.push(begun.elapsed().as_millis());
                published.extend(news);
            }
            let change = (changed < changes).then_some(next);
            let Some(wake) = [until, change].into_iter().flatten().min() else { break };
            time::sleep_until(wake).await;
            if change == Some(wake) {
                changed += 1;
                now = states[changed % 2].clone();
                next += period;
            }
        }
        (times, published[&unit].clone().unwrap().systemd)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_changes_are_published_at_once_and_then_one_every_ten_seconds() {
        let (times, _) = play(Duration::from_millis(110), 1000).await;
        assert_eq!(times[..7], [110, 220, 330, 440, 550, 660, 770]);
        assert!(times.len() < 7 + 110 / 10 + 3, "{times:?}");
        let apart: BTreeSet<_> = times[7..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(apart.iter().all(|ms| *ms >= 1000), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_state_is_published_a_second_after_it_came() {
        for changes in [1, 8, 99, 100] {
            let (times, last) = play(Duration::from_millis(110), changes).await;
            assert_eq!(last.sub, ["running", "auto-restart"][changes % 2]);
            let came = 110 * changes as u128;
            assert!(*times.last().unwrap() <= came + 1000, "{changes}: {times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_changes_slowly_is_published_at_once() {
        let (times, _) = play(Duration::from_secs(10), 30).await;
        assert_eq!(times.len(), 30);
        assert!(times.iter().all(|ms| ms % 10_000 == 0), "{times:?}");
    }
}
