//! Who was there, who is away, and who of those is dead: what the leader makes of the entries of
//! machines as they come and go (`docs/decisions/0017`). Pure; time is an argument.
//!
//! ```text
//!              entry gone              MOMENT, while the brake is off
//!   present ────────────────▶ away ──────────────────────────────────▶ dead
//!      ▲                       │                                         │
//!      └───── entry is back ───┴─────────────────────────────────────────┘
//!
//!   brake:
//!          more than a third, of MANY at least, lost within one ttl
//!   off ─────────────────────────────────────────────────────────────▶ on ◀─┐ one returns:
//!    ▲                                                                 │ └───┘ time counts anew
//!    └──── nobody is away any more, or nobody has returned for a ttl ──┘
//!          (then all who are still away are dead, however many)
//! ```
//!
//! A machine counts once for a brake when it returns, so that one that comes and goes can't hold
//! up the end of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet_core::MachineId;
use fleet_runtime::exhibits::Exhibit;
use tokio::time::Instant;

/// What a machine whose lease ends has to be back: a living agent registers anew within
/// milliseconds. Leases end a second before `agent_ttl`, so there is room for it.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// Below that many machines one or two that are gone are most of them.
const MANY: usize = 3;

/// A loss of more than one machine in so many is no ordinary one.
const SHARE: usize = 3;

/// See the module. The default has seen nobody yet.
#[derive(Debug)]
pub(crate) struct Roll {
    ttl: Duration,
    present: BTreeSet<MachineId>,
    away: BTreeMap<MachineId, Away>,
    brake: Option<Brake>,
}

/// A machine that was there.
#[derive(Debug)]
struct Away {
    since: Instant,
    /// A brake has ended over it: it is dead, and no loss to brake for.
    is_settled: bool,
}

#[derive(Debug)]
struct Brake {
    /// When it began, or the last machine returned.
    last: Instant,
    returned: BTreeSet<MachineId>,
}

/// What is to be told of a brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// So many machines were lost of those that were there: nobody is taken for dead for a while.
    Braked { lost: usize, of: usize },
    /// It is over: so many are dead.
    Released { dead: usize },
}

impl Roll {
    /// One for machines that may be silent for `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, present: BTreeSet::new(), away: BTreeMap::new(), brake: None }
    }

    /// Takes in who is `present`, and who must have been there as units are `placed` on them: a
    /// new leader knows of machines that were lost before its time by that alone.
    pub(crate) fn call<'a>(
        &mut self,
        now: Instant,
        present: impl Iterator<Item = &'a MachineId>,
        placed: impl Iterator<Item = &'a MachineId>,
    ) -> Option<News> {
        let before = std::mem::replace(&mut self.present, present.cloned().collect());
        let placed: BTreeSet<&MachineId> = placed.collect();
        let (here, ttl) = (&self.present, self.ttl);
        for id in self.away.keys().filter(|id| here.contains(*id)) {
            if let Some(brake) = &mut self.brake
                && brake.returned.insert(id.clone())
            {
                brake.last = now;
            }
        }
        let is_kept = |id: &MachineId, away: &Away| placed.contains(id) || now < away.since + ttl;
        self.away.retain(|id, away| !here.contains(id) && is_kept(id, away));
        let lost = before.iter().chain(placed).filter(|id| !here.contains(*id));
        let known = self.away.len();
        for id in lost {
            let away = || Away { since: now, is_settled: false };
            self.away.entry(id.clone()).or_insert_with(away);
        }
        let has_lost = self.away.len() > known;
        self.brake_or_release(now, has_lost)
    }

    fn brake_or_release(&mut self, now: Instant, has_lost: bool) -> Option<News> {
        let is_open = |away: &&Away| !away.is_settled;
        match &self.brake {
            None => {
                let is_recent = |away: &&Away| now < away.since + self.ttl;
                let lost = self.away.values().filter(is_open).filter(is_recent).count();
                let of = self.present.len() + lost;
                if !has_lost || of < MANY || lost * SHARE <= of {
                    return None;
                }
                self.brake = Some(Brake { last: now, returned: BTreeSet::new() });
                Some(News::Braked { lost, of })
            }
            Some(brake) => {
                let dead = self.away.values().filter(is_open).count();
                if dead > 0 && now < brake.last + self.ttl {
                    return None;
                }
                self.brake = None;
                self.away.values_mut().for_each(|away| away.is_settled = true);
                Some(News::Released { dead })
            }
        }
    }

    /// Those who are away and may be about to come back.
    pub(crate) fn missing(&self, now: Instant) -> BTreeSet<MachineId> {
        if Exhibit::AbsentIsDead.is_shown() {
            return BTreeSet::new();
        }
        let is_missing =
            |away: &Away| now < away.since + MOMENT || (self.brake.is_some() && !away.is_settled);
        let missing = self.away.iter().filter(|(_, away)| is_missing(away));
        missing.map(|(id, _)| id.clone()).collect()
    }

    /// All who are away.
    pub(crate) fn away(&self) -> impl Iterator<Item = MachineId> {
        self.away.keys().cloned()
    }

    /// When one of those who are missing counts as dead, if nothing happens before.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let moments = self.away.values().map(|away| away.since + MOMENT);
        let brake = self.brake.iter().map(|brake| brake.last + self.ttl);
        moments.chain(brake).filter(|at| *at > now).min()
    }

    /// Whether the brake is on.
    pub(crate) fn is_braked(&self) -> bool {
        self.brake.is_some()
    }
}

#[cfg(test)]
mod tests;
