//! When systemd must read its unit files again.
//!
//! A reload costs a tenth of a second and holds up everything systemd does. A unit systemd hasn't
//! in memory needs none. But one that it has, because it runs or because another refers to it, is
//! started with its *old* content after its file was changed or removed, without an error. And a
//! reload lets timers with `OnActiveSec=` elapse again.
//!
//! So links that `[Install]` makes are no reason by themselves. A unit that isn't in memory finds
//! them when it is loaded. One that is active has started all that it wants, and learns of the rest
//! with whatever reload comes next; only what it requires or upholds matters to it at once.

use std::collections::BTreeSet;

use fleet_core::UnitName;

/// From this version on systemd looks at its folders again for a unit that it doesn't know.
const LOOKS_AGAIN: u32 = 246;

/// A link that `[Install]` asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// This one wants a unit.
    WantedBy(String),
    /// This one requires or upholds a unit.
    NeededBy(String),
    /// A unit is called so as well.
    Alias(String),
}

/// What happened since the last reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadState {
    /// Links that were made to units, by what they are of.
    links: BTreeSet<Link>,
    loaded: bool,
    /// Units that weren't in memory before their file was written: what systemd knows of them, if
    /// anything, is what is there.
    unmet: BTreeSet<UnitName>,
    /// Units whose file was removed. systemd may still have them in memory.
    unloaded: BTreeSet<UnitName>,
}

impl ReloadState {
    pub(crate) fn linked(&mut self, link: Link) {
        self.links.insert(link);
    }

    pub(crate) fn links(&self) -> &BTreeSet<Link> {
        &self.links
    }

    /// Units are being loaded, of which systemd hasn't met some.
    pub(crate) fn loaded<'a>(
        &mut self,
        units: impl IntoIterator<Item = &'a UnitName>,
        unmet: BTreeSet<UnitName>,
    ) {
        for unit in units {
            self.loaded = true;
            self.unmet.remove(unit);
        }
        self.unmet.extend(unmet);
    }

    pub(crate) fn unloaded(&mut self, units: &BTreeSet<UnitName>) {
        self.unmet.retain(|unit| !units.contains(unit));
        self.unloaded.extend(units.iter().cloned());
    }

    /// What is due is being done.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// It wasn't done after all.
    pub(crate) fn put_back(&mut self, due: Self) {
        self.links.extend(due.links);
        self.loaded |= due.loaded;
        self.unloaded.extend(due.unloaded);
    }

    /// Whether to reload without asking.
    pub(crate) fn certain(&self, version: u32) -> bool {
        version < LOOKS_AGAIN && self.loaded
    }

    /// The units to ask systemd about.
    pub(crate) fn doubtful(&self, concerned: &BTreeSet<UnitName>) -> BTreeSet<UnitName> {
        let known = self.unloaded.union(concerned).filter(|unit| !self.unmet.contains(*unit));
        known.cloned().collect()
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
        let mut due = ReloadState::default();
        assert!(!due.certain(245) && !due.certain(246));
        due.loaded(&units(&[]), units(&[]));
        assert!(!due.certain(245));
        due.loaded(&units(&["a.service"]), units(&["a.service"]));
        assert!(due.certain(245) && !due.certain(246));
    }

    #[test]
    fn links_stay_due_until_they_are_looked_at() {
        let mut due = ReloadState::default();
        due.linked(Link::WantedBy("a.target".to_owned()));
        let taken = due.take();
        assert_eq!(due, ReloadState::default());
        assert_eq!(taken.links().len(), 1);
        due.linked(Link::Alias("b.service".to_owned()));
        due.put_back(taken);
        assert_eq!(due.links().len(), 2);
        assert!(!due.certain(252), "they are no reason by themselves");
    }

    #[test]
    fn unit_that_systemd_has_not_met_is_no_doubt_until_it_is_written_again() {
        let mut due = ReloadState::default();
        let both = units(&["a.service", "b.service"]);
        due.loaded(&both, units(&["a.service"]));
        assert_eq!(due.doubtful(&both), units(&["b.service"]));
        due.loaded(&units(&["a.service"]), units(&[]));
        assert_eq!(due.doubtful(&both), both);
        due.loaded(&both, both.clone());
        due.unloaded(&units(&["b.service"]));
        assert_eq!(due.doubtful(&both), units(&["b.service"]));
    }

    #[test]
    fn unloaded_units_stay_doubtful_until_asked_about() {
        let mut due = ReloadState::default();
        due.unloaded(&units(&["gone.service"]));
        let taken = due.take();
        assert_eq!(taken.doubtful(&units(&["a.service"])), units(&["a.service", "gone.service"]));
        due.unloaded(&units(&["later.service"]));
        due.put_back(taken);
        assert_eq!(due.doubtful(&units(&[])), units(&["gone.service", "later.service"]));
    }
}
