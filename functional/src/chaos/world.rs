//! What all parts share: the lab, what is known, what has happened, and what was found broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::asked::Asked;
use super::history::History;
use crate::host::Host;
use crate::lab::Lab;
use crate::wait::Stopwatch;

/// As much as is remembered of what happened.
const MOST_LINES: usize = 100_000;
/// Pause between two looks at whether all is over.
const NAP: Duration = Duration::from_millis(50);

/// How a host is, as far as that is our doing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// Whether its power is cut.
    pub(crate) is_down: bool,
    /// How often its power was cut.
    pub(crate) cuts: u32,
    /// Whether its fleetd was told to end, with all its units.
    pub(crate) is_purging: bool,
    /// When that was over last.
    pub(crate) purged_at: Option<Duration>,
    /// How many faults it has now, those of etcd too.
    pub(crate) troubles: u32,
    /// When the last one was over.
    pub(crate) troubled_at: Duration,
}

impl Health {
    /// For how long nothing has been wrong.
    pub(crate) fn calm_for(&self, now: Duration) -> Duration {
        if self.troubles > 0 { Duration::ZERO } else { now.saturating_sub(self.troubled_at) }
    }
}

/// What etcd's newest revision was when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) at: Duration,
    pub(crate) revision: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) lab: &'a Lab,
    watch: Stopwatch,
    lines: Mutex<Vec<(Duration, String)>>,
    is_loud: bool,
    broken: Mutex<BTreeSet<String>>,
    is_over: AtomicBool,
    history: Mutex<History>,
    asked: Mutex<Asked>,
    pulse: Mutex<Pulse>,
    health: Mutex<BTreeMap<String, Health>>,
    /// Hosts and members of etcd that are being harmed.
    harmed: Mutex<BTreeSet<String>>,
    /// How often what was done.
    counts: Mutex<BTreeMap<String, u32>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> World<'a> {
    pub(crate) fn new(lab: &'a Lab, is_loud: bool) -> Self {
        Self {
            lab,
            is_loud,
            watch: Stopwatch::start(),
            lines: Mutex::default(),
            broken: Mutex::default(),
            is_over: AtomicBool::new(false),
            history: Mutex::default(),
            asked: Mutex::default(),
            pulse: Mutex::default(),
            health: Mutex::default(),
            harmed: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.watch.elapsed()
    }

    /// Has a line in what happened.
    #[expect(clippy::print_stdout, reason = "for who wants to watch")]
    pub(crate) fn note(&self, line: String) {
        let now = self.now();
        if self.is_loud {
            println!("{:8.2} {line}", now.as_secs_f64());
        }
        let mut lines = lock(&self.lines);
        if lines.len() < MOST_LINES {
            lines.push((now, line));
        }
    }

    /// Says what must never be.
    pub(crate) fn is_broken(&self, what: String) {
        self.note(format!("BROKEN: {what}"));
        lock(&self.broken).insert(what);
    }

    pub(crate) fn broken(&self) -> BTreeSet<String> {
        lock(&self.broken).clone()
    }

    /// What happened, line by line.
    pub(crate) fn time_line(&self) -> String {
        let lines = lock(&self.lines);
        lines.iter().map(|(at, line)| format!("{:8.2} {line}\n", at.as_secs_f64())).collect()
    }

    pub(crate) fn count(&self, what: &str) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u32> {
        lock(&self.counts).clone()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn asked(&self) -> MutexGuard<'_, Asked> {
        lock(&self.asked)
    }

    pub(crate) fn pulse(&self) -> Pulse {
        *lock(&self.pulse)
    }

    pub(crate) fn beats(&self, pulse: Pulse) {
        *lock(&self.pulse) = pulse;
    }

    pub(crate) fn health(&self, host: &Host) -> Health {
        lock(&self.health).get(host.name()).copied().unwrap_or_default()
    }

    pub(crate) fn change(&self, host: &Host, how: impl FnOnce(&mut Health)) {
        how(lock(&self.health).entry(host.name().to_owned()).or_default());
    }

    /// Takes a host or a member of etcd for harm; false when another has it.
    pub(crate) fn take(&self, name: &str) -> bool {
        lock(&self.harmed).insert(name.to_owned())
    }

    pub(crate) fn give_back(&self, name: &str) {
        lock(&self.harmed).remove(name);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits, unless all is over.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        while !self.is_over() && self.now() < until {
            thread::sleep(NAP.min(until.saturating_sub(self.now())));
        }
    }
}
