//! Waiting for units (`fleetctl.md` 4.7, `spec/README.md` 5).
//!
//! Every unit is polled by itself: at once, then at growing pauses. All polls run in the future of
//! the command; the first failure, or the end of the attempts, drops those that are left.

use std::{cell::RefCell, collections::BTreeMap, fmt, time::Duration};

use fleet_core::Pauses;
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{self, Instant};

use crate::{
    error::CliError,
    ui::{Ui, tame},
};

mod everywhere;
mod launched;
mod many;
mod restarted;
mod since;
mod state;

pub(crate) use crate::flags::{ATTEMPT, Block};
pub(crate) use everywhere::{Everywhere, for_everywhere};
pub(crate) use launched::{AwaitedUnit, for_systemd};
use many::Rounds;
pub(crate) use restarted::{EarlierStarts, for_restart};
use since::Since;
pub(crate) use state::{Change, Goal, for_state, running};

/// The pauses between polls.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(20), Duration::from_millis(250));
/// How many units are named when a wait takes long.
const NAMED: usize = 3;

/// What a poll found.
#[derive(Debug)]
pub(crate) enum Poll {
    /// There is nothing more to wait for.
    Reached,
    /// Not there yet; what is known of it goes into the line about a long wait.
    NotYet(String),
    /// It will never be reached, because of this.
    Never(String),
}

/// Whether other units are waited for after one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// They are not.
    Stop,
    /// They are.
    GoOn,
}

/// What is waited for.
pub(crate) struct Wait<'a> {
    pub(crate) ui: &'a Ui,
    /// How it is called, such as `to report state loaded`.
    pub(crate) goal: &'a str,
    pub(crate) units: &'a [String],
    pub(crate) limit: Option<Duration>,
    pub(crate) on_failure: OnFailure,
}

/// Why waiting for a unit ended without it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) unit: String,
    pub(crate) cause: Cause,
}

/// See [`Failure`].
#[derive(Debug)]
pub(crate) enum Cause {
    /// Time is up.
    TimedOut,
    /// It will never be reached.
    Never(String),
}

/// What is known of the units that are waited for, by their place.
type Known = RefCell<BTreeMap<usize, String>>;

impl Wait<'_> {
    /// Polls the units until all are there or one failed. `poll` is told for how long it has been
    /// polling, and prints what is to be printed of a unit that is there.
    pub(crate) async fn run(
        &self,
        poll: impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
    ) -> Result<Vec<Failure>, CliError> {
        let rounds = Rounds { left: (0..self.units.len()).collect(), ..Rounds::default() };
        self.one_by_one(&poll, Instant::now(), Known::default(), rounds).await
    }

    /// Polls those that are left, each by itself.
    async fn one_by_one(
        &self,
        poll: &impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
        begun: Instant,
        known: Known,
        rounds: Rounds,
    ) -> Result<Vec<Failure>, CliError> {
        let Rounds { left, mut failures, mut has_announced } = rounds;
        known.borrow_mut().retain(|unit, _| left.contains(unit));
        let mut polls: FuturesUnordered<_> = left
            .into_iter()
            .map(|unit| poll_until(unit, &self.units[unit], poll, begun, &known))
            .collect();
        let deadline = sleep_at(self.limit.map(|limit| begun + limit));
        let patience = sleep_at(self.is_long().then(|| begun + ATTEMPT));
        tokio::pin!(deadline, patience);
        loop {
            tokio::select! {
                biased;
                ended = polls.next() => match ended {
                    None => break,
                    Some((unit, result)) => {
                        known.borrow_mut().remove(&unit);
                        if let Some(reason) = result? {
                            failures.insert(unit, Cause::Never(reason));
                            if self.on_failure == OnFailure::Stop {
                                break;
                            }
                        }
                    }
                },
                () = &mut deadline => {
                    let left: Vec<usize> = known.borrow().keys().copied().collect();
                    failures.extend(left.into_iter().map(|unit| (unit, Cause::TimedOut)));
                    break;
                }
                () = &mut patience, if !has_announced => {
                    has_announced = true;
                    let known = known.borrow();
                    self.ui.err(self.still_waiting(&known, known.len()));
                }
            }
        }
        let named =
            |(unit, cause): (usize, Cause)| Failure { unit: self.units[unit].clone(), cause };
        Ok(failures.into_iter().map(named).collect())
    }

    /// Whether the wait may go on for so long that the user should hear of it.
    fn is_long(&self) -> bool {
        self.limit.is_none_or(|limit| limit > ATTEMPT)
    }

    /// Tells of some of those that are waited for, who are so many.
    fn still_waiting(&self, known: &BTreeMap<usize, String>, many: usize) -> String {
        let named = known.iter().take(NAMED);
        let mut units: Vec<_> =
            named.map(|(unit, what)| format!("{} ({what})", self.units[*unit])).collect();
        if many > NAMED {
            units.push(format!("{} more", many - known.len().min(NAMED)));
        }
        // One line, whatever a server has said.
        let units = tame(&units.join(", "));
        format!("Still waiting for {units} {}", self.goal)
    }
}

/// Polls one unit until it is there (`None`) or never will be (the reason).
async fn poll_until(
    place: usize,
    unit: &str,
    poll: &impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
    begun: Instant,
    known: &Known,
) -> (usize, Result<Option<String>, CliError>) {
    known.borrow_mut().entry(place).or_insert_with(|| "no answer yet".to_owned());
    let mut backoff = PAUSES.begin();
    loop {
        match poll(unit, begun.elapsed()).await {
            Ok(Poll::Reached) => break,
            Ok(Poll::NotYet(what)) => {
                known.borrow_mut().insert(place, what);
            }
            Ok(Poll::Never(reason)) => return (place, Ok(Some(reason))),
            Err(error) => return (place, Err(error)),
        }
        time::sleep(backoff.pause()).await;
    }
    (place, Ok(None))
}

async fn sleep_at(when: Option<Instant>) {
    match when {
        Some(when) => time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Never(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests;
