//! What the registry holds of one kind of thing that is told of units here, as far as that is known.
//!
//! Until a write is known to have worked anything may be there, so that what was announced counts as
//! unknown, and is written once more:
//!
//! ```text
//! absent ──announced──▶ unknown ──written──▶ known ──announced──▶ unknown ──withdrawn──▶ absent
//!                          └──────────── looked up in the registry ───────────▶ known
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
};

use fleet_core::UnitName;

/// What is to be published of units, or withdrawn (`None`); and what was, or isn't known (`None`).
pub(crate) type News<T> = BTreeMap<UnitName, Option<T>>;

/// See the module.
///
/// What is pending is unknown: that is asserted wherever either changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger<T> {
    /// What was published, by unit; `None` where that isn't known for sure.
    known: News<T>,
    /// What was announced, and isn't known to be written.
    pending: News<T>,
    /// What was withdrawn while a write before that may still have been on its way.
    doubtful: BTreeSet<UnitName>,
    /// What was withdrawn last, newest first: a store that is restored from a backup has some of it again.
    withdrawn: VecDeque<UnitName>,
}

/// How many names of what was withdrawn are kept. What was withdrawn before these, and is back with an
/// older backup, stays until the machine's lease ends.
const WITHDRAWN: usize = 128;

impl<T: Clone + PartialEq> Ledger<T> {
    /// One of which only the names are known that something may be there of.
    pub(crate) fn unknown<'a>(names: impl IntoIterator<Item = &'a UnitName>) -> Self {
        let known = names.into_iter().map(|name| (name.clone(), None)).collect();
        let (doubtful, withdrawn) = (BTreeSet::new(), VecDeque::new());
        Self { known, pending: BTreeMap::new(), doubtful, withdrawn }
    }

    /// What was published, by unit; `None` where that isn't known for sure.
    pub(crate) fn known(&self) -> &News<T> {
        &self.known
    }

    /// What is still to be published, or withdrawn (`None`).
    pub(crate) fn pending(&self) -> &News<T> {
        &self.pending
    }

    /// Returns what must be written so that the registry says what is so: what is `now`, and the
    /// units to withdraw: those that aren't here.
    pub(crate) fn differences(
        &self,
        now: &BTreeMap<UnitName, T>,
        is_here: impl Fn(&UnitName) -> bool,
    ) -> News<T> {
        let changed = now
            .iter()
            .filter(|(name, value)| self.known.get(*name).and_then(Option::as_ref) != Some(value))
            .map(|(name, value)| (name.clone(), Some(value.clone())));
        let gone = self.known.keys().filter(|name| !is_here(name));
        changed.chain(gone.map(|name| (name.clone(), None))).collect()
    }

    /// Notes what is about to be written. Returns whether there may be something of more units now.
    pub(crate) fn announce(&mut self, news: &News<T>) -> bool {
        let has_more = news.keys().any(|name| !self.known.contains_key(name));
        self.known.extend(news.keys().map(|name| (name.clone(), None)));
        self.pending.clone_from(news);
        self.assert_sound();
        has_more
    }

    /// Notes that what was announced has been written. Returns whether there is nothing any more of
    /// some units. In doubt (a write before this one had no answer, and may come after it) what was
    /// withdrawn is looked for [once more](Self::look_again).
    pub(crate) fn written(&mut self, in_doubt: bool) -> bool {
        self.assert_sound();
        let mut has_less = false;
        for (name, value) in mem::take(&mut self.pending) {
            match value {
                Some(value) => {
                    self.known.insert(name, Some(value));
                }
                None => {
                    has_less |= self.known.remove(&name).is_some();
                    if in_doubt {
                        self.doubtful.insert(name.clone());
                    }
                    self.withdrawn.push_front(name);
                    self.withdrawn.truncate(WITHDRAWN);
                }
            }
        }
        has_less
    }

    /// There may be something again of what was withdrawn in doubt.
    pub(crate) fn look_again(&mut self) {
        for name in &self.doubtful {
            self.known.entry(name.clone()).or_insert(None);
        }
    }

    /// Nothing is in doubt any more.
    pub(crate) fn is_settled(&mut self) {
        self.doubtful.clear();
    }

    /// The units that something may be published of, now or soon.
    pub(crate) fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.known.keys().chain(&self.doubtful)
    }

    /// The units to look for: those that something may be there of; where the store may have been
    /// restored, those as well of which something was withdrawn.
    pub(crate) fn sought(&self, restored: bool) -> impl Iterator<Item = &UnitName> {
        let withdrawn = self.withdrawn.iter().filter(move |_| restored);
        self.known.keys().chain(withdrawn.filter(|name| !self.known.contains_key(*name)))
    }

    /// Takes in what is there, of all units that were [sought](Self::sought).
    pub(crate) fn found(&mut self, mut there: BTreeMap<UnitName, T>) {
        self.pending.clear();
        self.known.iter_mut().for_each(|(name, value)| *value = there.remove(name));
        self.known.extend(there.into_iter().map(|(name, value)| (name, Some(value))));
    }

    fn assert_sound(&self) {
        let is_unknown = |name| matches!(self.known.get(name), Some(None));
        assert!(self.pending.keys().all(is_unknown), "what is being written counts as unknown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    fn ledger(known: Option<Option<u8>>) -> Ledger<u8> {
        let known = known.map(|value| (name("a.service"), value)).into_iter().collect();
        Ledger { known, ..Ledger::unknown([]) }
    }

    #[test]
    fn only_differences_are_published() {
        for (row, now, known, expected) in [
            ("here, not published", Some(1), None, Some(Some(1))),
            ("here, unknown", Some(1), Some(None), Some(Some(1))),
            ("here, published", Some(1), Some(Some(1)), None),
            ("here, published otherwise", Some(1), Some(Some(2)), Some(Some(1))),
            ("gone, published", None, Some(Some(2)), Some(None)),
            ("gone, unknown", None, Some(None), Some(None)),
            ("gone, not published", None, None, None),
        ] {
            let now =
                now.map(|now| (name("a.service"), now)).into_iter().collect::<BTreeMap<_, _>>();
            let found = ledger(known).differences(&now, |name| now.contains_key(name));
            let expected = expected.map(|e| (name("a.service"), e)).into_iter().collect();
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn what_is_here_with_nothing_to_tell_of_it_is_neither_published_nor_withdrawn() {
        let found = ledger(Some(None)).differences(&BTreeMap::new(), |_| true);
        assert_eq!(found, BTreeMap::new());
    }

    #[test]
    fn what_was_announced_is_unknown_until_it_is_written_or_looked_up() {
        let a = name("a.service");
        let puts = News::from([(a.clone(), Some(1))]);
        let withdraws = News::from([(a.clone(), None)]);
        let mut ledger = ledger(None);
        assert!(ledger.announce(&puts), "it is new");
        assert_eq!((ledger.known(), ledger.pending()), (&News::from([(a.clone(), None)]), &puts));
        assert!(!ledger.announce(&puts), "its name is known");
        assert!(!ledger.written(false));
        assert_eq!((ledger.known(), ledger.pending()), (&puts, &News::new()));
        // A write that failed, and had worked all the same.
        assert!(!ledger.announce(&withdraws));
        ledger.found(BTreeMap::new());
        assert_eq!((ledger.known(), ledger.pending()), (&News::from([(a, None)]), &News::new()));
        assert!(!ledger.announce(&withdraws));
        assert!(ledger.written(false), "nothing is there any more");
        assert_eq!((ledger.known(), ledger.pending()), (&News::new(), &News::new()));
    }

    #[test]
    fn what_was_withdrawn_and_is_back_is_withdrawn_once_more() {
        let (a, b, c) = (name("a.service"), name("b.service"), name("c.service"));
        let mut ledger = Ledger::unknown([]);
        for unit in [&a, &b] {
            ledger.announce(&News::from([(unit.clone(), Some(1))]));
            ledger.written(false);
            ledger.announce(&News::from([(unit.clone(), None)]));
            ledger.written(false);
        }
        ledger.announce(&News::from([(c.clone(), Some(1))]));
        ledger.written(false);
        assert_eq!(ledger.sought(false).collect::<Vec<_>>(), [&c]);
        assert_eq!(ledger.sought(true).collect::<Vec<_>>(), [&c, &b, &a]);
        ledger.found([(c.clone(), 1)].into());
        let now = BTreeMap::from([(c.clone(), 1)]);
        let differences =
            |ledger: &Ledger<u8>| ledger.differences(&now, |name| now.contains_key(name));
        assert_eq!(differences(&ledger), News::new(), "what isn't back costs nothing");
        ledger.found([(c, 1), (a.clone(), 1)].into());
        assert_eq!(differences(&ledger), News::from([(a, None)]));
    }

    #[test]
    fn what_was_withdrawn_is_looked_for_again_only_in_doubt() {
        let a = name("a.service");
        for (in_doubt, expected) in [(false, News::new()), (true, News::from([(a.clone(), None)]))]
        {
            let mut ledger = ledger(Some(Some(1)));
            ledger.announce(&News::from([(a.clone(), None)]));
            ledger.written(in_doubt);
            assert_eq!(ledger.known(), &News::new());
            assert_eq!(ledger.names().count(), usize::from(in_doubt));
            ledger.look_again();
            assert_eq!(ledger.known(), &expected, "{in_doubt}");
            ledger.is_settled();
            ledger.announce(&News::from([(a.clone(), None)]));
            ledger.written(false);
            assert_eq!(ledger.names().count(), 0);
        }
    }
}
