//! Rare situations that a long run must have reached: whoever tests without them tests less than he
//! believes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A rare situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rare {
    /// Somebody writes as the leader who isn't it any more.
    DeposedLeaderWrites,
    /// A decision comes too late: what it was decided on has changed.
    DecisionRefused,
    /// A machine's lease ends while it stops its units to leave.
    LeaseEndsDuringPurge,
    /// A fleetd dies when systemd has been told and nobody has written it down.
    DiesAfterTelling,
    /// A fleetd dies with its intent written down, before systemd is told.
    DiesBeforeTelling,
    /// A fleetd dies over a file that it writes.
    TornFile,
    /// A long list is read at a revision that isn't the newest any more.
    SnapshotInBurst,
    /// A watch is behind what the store still knows.
    WatchCompacted,
    /// A change went in whose answer was lost.
    AnswerLost,
    /// A change went in long after its writer had given up.
    LateEffect,
    /// A unit runs on two machines, of which one was cut off.
    Doubled,
    /// A fleetd that was stopped for longer than its lease goes on.
    FrozenBeyondTtl,
    /// An engine takes the lead after another's.
    LeaderChanges,
    /// A unit is asked to leave one machine for another.
    Handover,
    /// A restart is asked for while another is under way.
    RestartTwice,
    /// A machine leaves, and stops all its units.
    Purge,
    /// The store is restored from a backup.
    Restored,
    /// A unit waits for a machine when all is at rest.
    Waits,
}

impl Rare {
    /// All of them that a long run must reach.
    pub const ALL: [Self; 17] = [
        Self::DeposedLeaderWrites,
        Self::DecisionRefused,
        Self::LeaseEndsDuringPurge,
        Self::DiesAfterTelling,
        Self::DiesBeforeTelling,
        Self::TornFile,
        Self::SnapshotInBurst,
        Self::WatchCompacted,
        Self::AnswerLost,
        Self::LateEffect,
        Self::Doubled,
        Self::FrozenBeyondTtl,
        Self::LeaderChanges,
        Self::Handover,
        Self::Purge,
        Self::Restored,
        Self::Waits,
    ];
}

/// How often each was reached.
#[derive(Debug, Default)]
pub struct Sometimes(Mutex<BTreeMap<Rare, u64>>);

impl Sometimes {
    /// It was reached once more.
    pub fn reached(&self, rare: Rare) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(rare).or_default() += 1;
    }

    /// What was reached, and how often.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Rare, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
