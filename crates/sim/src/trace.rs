//! What happened in a run, in order.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

/// The lines that are kept, the last ones.
const KEPT: usize = 200_000;

/// Notes what happens. Two runs of one seed note the same.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    lines: std::collections::VecDeque<String>,
    hash: DefaultHasher,
    count: u64,
}

impl Trace {
    /// An empty one, which begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), noted: Mutex::default() }
    }

    /// Notes that something happened to somebody.
    pub fn note(&self, who: impl fmt::Display, what: impl fmt::Display) {
        let at = self.begun.elapsed().as_millis();
        let line = format!("{:>6}.{:03} {who:<4} {what}", at / 1000, at % 1000);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        line.hash(&mut noted.hash);
        noted.count += 1;
        if noted.lines.len() == KEPT {
            noted.lines.pop_front();
        }
        noted.lines.push_back(line);
    }

    /// All that was noted, the oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// How many lines were noted, and a number that two traces share only if their lines are the same.
    #[must_use]
    pub fn fingerprint(&self) -> (u64, u64) {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        (noted.count, noted.hash.finish())
    }
}
