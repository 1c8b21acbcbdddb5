//! All that the registry holds of this machine's units, and under which lease.
//!
//! What may be there is remembered by name in a file before it is: a fleetd that adopts the lease of
//! one that was killed withdraws what that one could no longer withdraw.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use fleet_core::UnitName;
use fleet_registry::{HostObstacle, Presence, PublishedState, Registry, RegistryError, Trouble};
use fleet_store::LeaseId;
use tokio::{sync::watch, time::Instant};

use super::ledger::{Ledger, News};
use fleet_runtime::{RuntimeFile, exhibits::Exhibit};

/// How often the registry is asked what is there of what was published. It costs a read of as many
/// keys, and only a hand in the registry makes it worth while.
const RECALL: Duration = Duration::from_secs(300);

/// How long after a write without an answer the next one has been answered until what may still be on
/// its way has arrived: the registry serves what waited at it at once.
const SETTLES: Duration = Duration::from_secs(5);

/// What is published, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Board {
    pub(crate) states: Ledger<PublishedState>,
    pub(crate) troubles: Ledger<Trouble>,
    pub(crate) obstacles: Ledger<HostObstacle>,
}

impl Board {
    fn unknown(names: &BTreeSet<UnitName>) -> Self {
        Self {
            states: Ledger::unknown(names),
            troubles: Ledger::unknown(names),
            obstacles: Ledger::unknown(names),
        }
    }

    /// All units that something may be published of.
    fn names(&self) -> BTreeSet<UnitName> {
        let others = self.troubles.names().chain(self.obstacles.names());
        self.states.names().chain(others).cloned().collect()
    }

    /// Nothing that was written is on its way any more.
    fn is_settled(&mut self) {
        self.states.is_settled();
        self.troubles.is_settled();
        self.obstacles.is_settled();
    }
}

/// One of the ledgers of a board.
pub(super) type Part<T> = fn(&mut Board) -> &mut Ledger<T>;

/// Keeps the board for whoever looks at it, and the names on it for the fleetd after this one.
pub(super) struct BoardKeeper {
    board: watch::Sender<Board>,
    /// The lease that what is on the board hangs on.
    lease: Option<LeaseId>,
    names: RuntimeFile,
    recall_at: Instant,
    /// Whether the store may be another than before: it was out of sight.
    may_be_restored: bool,
    answers: Answers,
}

/// Whether something that was written may come after what is written now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Nothing: all was answered.
    Complete,
    /// The last one wasn't answered. Nor may that of the fleetd before this one have been.
    Missing,
    /// The last one was, and one before it wasn't: until then that may come.
    LateUntil(Instant),
}

impl BoardKeeper {
    /// Begins with what the fleetd before this one may have published.
    pub(super) fn new(runtime_dir: &Path) -> Self {
        let none = BTreeSet::<UnitName>::new();
        let names = RuntimeFile::new(runtime_dir, "published").beginning_with(&none);
        let board = Board::unknown(&names.read().unwrap_or_default());
        let (board, recall_at) = (watch::Sender::new(board), Instant::now());
        let (lease, may_be_restored, answers) = (None, false, Answers::Missing);
        Self { board, lease, names, recall_at, may_be_restored, answers }
    }

    pub(super) fn board(&self) -> &watch::Sender<Board> {
        &self.board
    }

    /// What was published may be lost, and what was withdrawn may be back.
    pub(super) fn is_doubtful(&mut self) {
        (self.recall_at, self.may_be_restored) = (Instant::now(), true);
    }

    /// When it is to be looked up what is there, where that is soon.
    pub(super) fn look_at(&self) -> Option<Instant> {
        match self.answers {
            Answers::LateUntil(at) => Some(self.recall_at.min(at)),
            Answers::Complete | Answers::Missing => None,
        }
    }

    /// Finds out what is there under the lease of `presence`, if that isn't known, or was long ago.
    /// What hung on another is gone, or will be; what the fleetd before this one has published under
    /// this one needn't be again. Returns the states where it looked.
    pub(super) async fn recall(
        &mut self,
        registry: &Registry,
        presence: &Presence,
    ) -> Result<Option<BTreeMap<UnitName, PublishedState>>, RegistryError> {
        let (machine, lease) = (&presence.machine, Some(presence.lease));
        let now = Instant::now();
        let is_settled = matches!(self.answers, Answers::LateUntil(at) if at <= now);
        if self.lease == lease && now < self.recall_at && !is_settled {
            return Ok(None);
        }
        self.board.send_modify(|board| {
            board.states.look_again();
            board.troubles.look_again();
            board.obstacles.look_again();
        });
        let is_doubtful = self.may_be_restored || self.lease != lease;
        // What came in late would be found by that as well, where the store was out of sight.
        let is_shown = Exhibit::BackupsTrusted.is_shown() || Exhibit::LateWrites.is_shown();
        let is_restored = is_doubtful && !is_shown;
        let Board { states, troubles, obstacles } = self.board.borrow().clone();
        let states: BTreeMap<_, _> =
            registry.published(machine, lease, states.sought(is_restored)).await?;
        let troubles = registry.published(machine, lease, troubles.sought(is_restored)).await?;
        let obstacles = registry.published(machine, lease, obstacles.sought(is_restored)).await?;
        self.board.send_modify(|board| {
            board.states.found(states.clone());
            board.troubles.found(troubles);
            board.obstacles.found(obstacles);
        });
        self.may_be_restored = false;
        self.lease = lease;
        self.recall_at = Instant::now() + RECALL;
        if is_settled {
            self.answers = Answers::Complete;
            self.board.send_modify(Board::is_settled);
        }
        Ok(Some(states))
    }

    /// Notes what is about to be published, and remembers names that are new.
    pub(super) fn announce<T: Clone + PartialEq>(&mut self, news: &News<T>, part: Part<T>) {
        assert!(self.lease.is_some(), "nothing is published before it is known what is there");
        let mut has_more = false;
        self.board.send_modify(|board| has_more = part(board).announce(news));
        if has_more || self.names.is_failing() {
            self.remember();
        }
    }

    /// What was announced last may be written still, whatever is written after it.
    pub(super) fn unanswered(&mut self) {
        if Exhibit::LateWrites.is_shown() {
            return;
        }
        self.answers = Answers::Missing;
    }

    /// Notes that what was announced is there, or withdrawn.
    pub(super) fn written<T: Clone + PartialEq>(&mut self, part: Part<T>) {
        if self.answers == Answers::Missing {
            self.answers = Answers::LateUntil(Instant::now() + SETTLES);
        }
        let (in_doubt, mut has_less) = (self.answers != Answers::Complete, false);
        self.board.send_modify(|board| has_less = part(board).written(in_doubt));
        if has_less {
            self.remember();
        }
    }

    fn remember(&mut self) {
        let names = self.board.borrow().names();
        self.names.write(&names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    fn names(runtime_dir: &Path) -> BTreeSet<UnitName> {
        BoardKeeper::new(runtime_dir).board().borrow().names()
    }

    #[tokio::test]
    async fn names_are_remembered_from_before_they_are_published_until_all_is_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = BoardKeeper::new(directory.path());
        (keeper.lease, keeper.answers) = (Some(LeaseId(1)), Answers::Complete);
        let (a, b) = (name("a.service"), name("b.service"));
        let trouble =
            |unit: &UnitName, is: bool| News::from([(unit.clone(), is.then(Trouble::default))]);
        let obstacle = HostObstacle { reason: "taken".to_owned() };
        keeper.announce(&trouble(&a, true), |board| &mut board.troubles);
        assert_eq!(names(directory.path()), [a.clone()].into());
        keeper.written(|board| &mut board.troubles);
        keeper.announce(&News::from([(a.clone(), Some(obstacle))]), |board| &mut board.obstacles);
        keeper.announce(&trouble(&b, true), |board| &mut board.troubles);
        assert_eq!(names(directory.path()), [a.clone(), b.clone()].into());
        keeper.written(|board| &mut board.troubles);
        keeper.announce(&trouble(&b, false), |board| &mut board.troubles);
        assert_eq!(names(directory.path()), [a.clone(), b].into(), "it may be there still");
        keeper.written(|board| &mut board.troubles);
        assert_eq!(names(directory.path()), [a].into());
    }
}
