//! When systemd must read its unit files again.
//!
//! A reload costs a tenth of a second and holds up everything systemd does. A unit systemd hasn't
//! in memory needs none. But one that it has, because it runs or because another refers to it, is
//! started with its *old* content after its file was changed or removed, without an error.

use std::collections::BTreeSet;

use fleet_core::UnitName;

/// From this version on systemd looks at its folders again for a unit that it doesn't know.
const LOOKS_AGAIN: u32 = 246;

/// What happened since the last reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Units gained or lost links from others, such as those of `WantedBy=`.
    links_changed: bool,
    loaded: bool,
    /// Units whose file was removed. systemd may still have them in memory.
    unloaded: BTreeSet<UnitName>,
}

impl Due {
    pub(crate) fn links_changed(&mut self) {
        self.links_changed = true;
    }

    pub(crate) fn loaded(&mut self, units: &BTreeSet<UnitName>) {
        self.loaded |= !units.is_empty();
    }

    pub(crate) fn unloaded(&mut self, units: &BTreeSet<UnitName>) {
        self.unloaded.extend(units.iter().cloned());
    }

    /// What is due is being done.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// It wasn't done after all.
    pub(crate) fn put_back(&mut self, due: Self) {
        self.links_changed |= due.links_changed;
        self.loaded |= due.loaded;
        self.unloaded.extend(due.unloaded);
    }

    /// Whether to reload without asking.
    pub(crate) fn certain(&self, version: u32) -> bool {
        self.links_changed || (version < LOOKS_AGAIN && self.loaded)
    }

    /// The units to ask systemd about.
    pub(crate) fn doubtful(&self, concerned: &BTreeSet<UnitName>) -> BTreeSet<UnitName> {
        self.unloaded.union(concerned).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(names: &[&str]) -> BTreeSet<UnitName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn old_systemd_reloads_after_every_load() {
        let mut due = Due::default();
        assert!(!due.certain(245) && !due.certain(246));
        due.loaded(&units(&[]));
        assert!(!due.certain(245));
        due.loaded(&units(&["a.service"]));
        assert!(due.certain(245) && !due.certain(246));
    }

    #[test]
    fn new_links_reload_whatever_the_version() {
        let mut due = Due::default();
        due.links_changed();
        assert!(due.certain(252));
        assert_eq!(due.take().take(), Due { links_changed: true, ..Due::default() });
        assert_eq!(due, Due::default());
    }

    #[test]
    fn unloaded_units_stay_doubtful_until_asked_about() {
        let mut due = Due::default();
        due.unloaded(&units(&["gone.service"]));
        let taken = due.take();
        assert_eq!(taken.doubtful(&units(&["a.service"])), units(&["a.service", "gone.service"]));
        due.unloaded(&units(&["later.service"]));
        due.put_back(taken);
        assert_eq!(due.doubtful(&units(&[])), units(&["gone.service", "later.service"]));
    }
}
