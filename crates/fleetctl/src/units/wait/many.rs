//! Waiting for so many units that a list of what there is costs less than asking for each.
//!
//! In rounds: a list tells which units are worth a look; these are polled by themselves, and so are a few of
//! the others in turn, to find those that will never get there. What is left when it is few, or when the
//! list turns out to be dear, is polled as ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::{StreamExt, stream};
use tokio::time::{self, Duration, Instant};

use super::{ATTEMPT, Cause, Failure, Known, OnFailure, PAUSES, Poll, Wait};
use crate::{
    error::CliError,
    units::many::{AT_A_TIME, FEW, LIST_COSTS},
};

/// In each round so many are polled that the list says nothing new of.
const OTHERS: usize = 8;

/// What is known of the units that were waited for in rounds.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) failures: BTreeMap<usize, Cause>,
    pub(super) has_announced: bool,
    /// Those that are left, by their place.
    pub(super) left: VecDeque<usize>,
}

impl Wait<'_> {
    /// As [`run`](Self::run), where `look` tells of all units that are waited for at once, which are
    /// worth a poll: they may be there, or are gone. It is told how much it may read; `None` says that
    /// it can't tell for so much.
    pub(crate) async fn run_with_list(
        &self,
        look: impl AsyncFn(usize) -> Option<BTreeSet<String>>,
        poll: impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
    ) -> Result<Vec<Failure>, CliError> {
        let begun = Instant::now();
        let known = Known::default();
        let mut rounds = Rounds { left: (0..self.units.len()).collect(), ..Rounds::default() };
        let in_rounds = self.rounds(&look, &poll, begun, &known, &mut rounds);
        match self.limit {
            // Beyond it those that are left are polled for the last time.
            Some(limit) => time::timeout_at(begun + limit, in_rounds).await.unwrap_or(Ok(()))?,
            None => in_rounds.await?,
        }
        self.one_by_one(&poll, begun, known, rounds).await
    }

    async fn rounds(
        &self,
        look: &impl AsyncFn(usize) -> Option<BTreeSet<String>>,
        poll: &impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
        begun: Instant,
        known: &Known,
        rounds: &mut Rounds,
    ) -> Result<(), CliError> {
        let mut backoff = PAUSES.begin();
        while rounds.left.len() > FEW {
            let Some(worth) = look(rounds.left.len() * LIST_COSTS).await else { return Ok(()) };
            let mut others = OTHERS;
            let polled: Vec<usize> = rounds
                .left
                .iter()
                .copied()
                .filter(|unit| {
                    let is_worth = worth.contains(&self.units[*unit]);
                    let is_other = !is_worth && others > 0;
                    others -= usize::from(is_other);
                    is_worth || is_other
                })
                .collect();
            let polls = polled
                .into_iter()
                .map(async |unit| (unit, poll(&self.units[unit], begun.elapsed()).await));
            let mut polls = stream::iter(polls).buffer_unordered(AT_A_TIME);
            while let Some((unit, polled)) = polls.next().await {
                let place = rounds.left.iter().position(|left| *left == unit);
                place.and_then(|place| rounds.left.remove(place));
                match polled? {
                    Poll::Reached => _ = known.borrow_mut().remove(&unit),
                    Poll::NotYet(what) => {
                        known.borrow_mut().insert(unit, what);
                        // Others come first next time.
                        rounds.left.push_back(unit);
                    }
                    Poll::Never(reason) => {
                        known.borrow_mut().remove(&unit);
                        rounds.failures.insert(unit, Cause::Never(reason));
                        if self.on_failure == OnFailure::Stop {
                            rounds.left.clear();
                            return Ok(());
                        }
                    }
                }
            }
            if !rounds.has_announced && self.is_long() && begun.elapsed() >= ATTEMPT {
                rounds.has_announced = true;
                self.ui.err(self.still_waiting(&known.borrow(), rounds.left.len()));
            }
            time::sleep(backoff.pause()).await;
        }
        Ok(())
    }
}
