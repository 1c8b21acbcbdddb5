//! Faults that were found once, brought back one by one: the simulator finds each again.

use fleet_runtime::exhibits::{self, Exhibit};
use fleet_sim::{
    plan::{Class, Plan, Size},
    run::run,
};

/// Within so many seeds each must be found.
const SEEDS: u64 = 1_000;

/// In which runs an exhibit is looked for: those that have what it takes, so that the search is short.
fn runs(exhibit: Exhibit) -> (Size, &'static [Class]) {
    let size = |machines, units| Size { machines, units, episodes: 1 };
    match exhibit {
        Exhibit::NoIntents => (size(3, 12), &[Class::DieAt]),
        Exhibit::RestartsForgotten => (size(2, 12), &[Class::DieAt, Class::Kill]),
        Exhibit::PresenceNotHeld => (size(3, 12), &[Class::Terminate, Class::Store]),
        Exhibit::AbsentIsDead => (size(3, 12), &[Class::Leases, Class::Store]),
        Exhibit::NoHandover => (size(3, 20), &[Class::Kill]),
        // It takes a write that is slow, since what is decided is written at once.
        Exhibit::AbsenceAssumed => (size(5, 30), &[Class::Freeze, Class::Network]),
        // Rare since what was withdrawn is looked for again after an outage.
        Exhibit::LateWrites => (Size { episodes: 3, ..size(5, 50) }, &[Class::Store]),
        Exhibit::ClockThatIsSet => {
            (Size { episodes: 3, ..size(2, 12) }, &[Class::DieAt, Class::Clock])
        }
        Exhibit::BackupsTrusted => (size(3, 12), &[Class::Restore, Class::Configure]),
        Exhibit::StaleNotes => (size(2, 12), &[Class::Full, Class::Terminate]),
    }
}

/// What was broken, and by which seed; `None` when nothing was.
fn search(exhibit: Exhibit) -> Option<(u64, Vec<String>)> {
    let (size, classes) = runs(exhibit);
    exhibits::show(Some(exhibit));
    let found = (1..=SEEDS).find_map(|seed| {
        let broken = run(&Plan::with(seed, size, classes)).broken;
        (!broken.is_empty()).then_some((seed, broken))
    });
    exhibits::show(None);
    found
}

#[test]
fn every_exhibit_is_found_again() {
    for exhibit in Exhibit::ALL {
        let (seed, _) = search(exhibit).unwrap_or_else(|| panic!("{exhibit:?} isn't found"));
        // The same run without the fault is a sound one: it is the fault that was found.
        let (size, classes) = runs(exhibit);
        let sound = run(&Plan::with(seed, size, classes)).broken;
        assert!(sound.is_empty(), "{exhibit:?}, seed {seed}, without it: {sound:?}");
    }
}
