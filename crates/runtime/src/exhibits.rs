//! Faults that were found once and mended since. A test can bring one back, to prove that the simulator
//! would find it: what has never been seen to fail proves nothing. What ships has none of them.

/// A fault that can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exhibit {
    /// What is about to be done isn't written down before systemd is told: a fleetd that is killed in
    /// between has a successor that believes what was so before (`docs/decisions/0012`).
    NoIntents,
    /// Which restarts systemd was told of is forgotten with the fleetd that told it.
    RestartsForgotten,
    /// A machine that stops its units to leave gives up its presence at the first error, and they begin
    /// elsewhere while they still stop here.
    PresenceNotHeld,
    /// Who is absent is taken for dead at once, whatever the engine's own touch with the store was
    /// (`docs/decisions/0004`, `docs/decisions/0017`).
    AbsentIsDead,
    /// A unit that is to move is placed elsewhere without waiting until it is gone
    /// (`docs/decisions/0013`).
    NoHandover,
    /// A unit is taken from a machine that was absent when that was decided, and is back when it is
    /// written.
    AbsenceAssumed,
    /// A write without an answer is taken for one that didn't happen: it comes in late, over what was
    /// written after it, and stays.
    LateWrites,
    /// What is remembered beyond a fleetd's death is told by the time of day, as the journal's entries
    /// are: when that is set back, what the journal says of the time before counts as said since.
    ClockThatIsSet,
    /// What a machine says of itself is believed to be there for as long as its lease lives: when the
    /// store is restored from a backup, it has what was said before, and keeps it.
    BackupsTrusted,
    /// On a full disk the note of what is claimed stays what it was: the fleetd after this one takes
    /// a unit that was stopped to leave for one that has ended by itself, and leaves it so.
    StaleNotes,
}

impl Exhibit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoIntents,
        Self::RestartsForgotten,
        Self::PresenceNotHeld,
        Self::AbsentIsDead,
        Self::NoHandover,
        Self::AbsenceAssumed,
        Self::LateWrites,
        Self::ClockThatIsSet,
        Self::BackupsTrusted,
        Self::StaleNotes,
    ];

    /// Whether it is brought back on this thread.
    #[must_use]
    #[cfg(feature = "testing")]
    pub fn is_shown(self) -> bool {
        SHOWN.get() == Some(self)
    }

    /// Never.
    #[must_use]
    #[cfg(not(feature = "testing"))]
    #[inline]
    pub const fn is_shown(self) -> bool {
        false
    }
}

#[cfg(feature = "testing")]
thread_local! {
    static SHOWN: std::cell::Cell<Option<Exhibit>> = const { std::cell::Cell::new(None) };
}

/// Brings this fault back on this thread, and no other; or none.
#[cfg(feature = "testing")]
pub fn show(exhibit: Option<Exhibit>) {
    SHOWN.set(exhibit);
}
