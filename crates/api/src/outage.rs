//! Tells once that the store is out of reach, not with every request.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests were refused since the store answered last.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicU64);

impl Outage {
    /// A request is refused since the store doesn't answer. Returns whether it is the first.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// The store has answered. Returns how many requests were refused before, if any was.
    pub(crate) fn is_over(&self) -> Option<u64> {
        // Reading is cheap, also with many at once; that is what happens nearly always.
        let refused = match self.0.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.0.swap(0, Ordering::Relaxed),
        };
        (refused > 0).then_some(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let outage = Outage::default();
        assert_eq!(outage.is_over(), None);
        assert_eq!([(); 3].map(|()| outage.has_begun()), [true, false, false]);
        assert_eq!([(); 2].map(|()| outage.is_over()), [Some(3), None]);
        assert!(outage.has_begun());
    }
}
