//! What users have asked for, and what may have become of it.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Desired, Operation};

/// What a unit is: which content it has, and what is wanted of it. `None` is that there is none.
pub(crate) type State = Option<(u8, Desired)>;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was refused.
    Refused,
    /// Nobody knows: no answer, or one that etcd is away.
    Unclear,
}

#[derive(Debug)]
struct Unit {
    may_be: BTreeSet<State>,
    /// What may still be done, in any order.
    loose: Vec<Operation>,
}

/// All units that users ever spoke of.
#[derive(Debug, Default)]
pub(crate) struct Asked(BTreeMap<String, Unit>);

impl Asked {
    /// Takes in a request and what became of it.
    pub(crate) fn add(&mut self, operation: &Operation, outcome: Outcome) {
        let name = match operation {
            Operation::Submit(name, ..)
            | Operation::Want(name, _)
            | Operation::Destroy(name)
            | Operation::Restart(name) => name,
            Operation::Role(..) => return,
        };
        let new = || Unit { may_be: BTreeSet::from([None]), loose: Vec::new() };
        let unit = self.0.entry(name.clone()).or_insert_with(new);
        let after = || unit.may_be.iter().map(|state| apply(operation, *state));
        match outcome {
            Outcome::Refused => {}
            Outcome::Done => {
                // There was one, or it would have been refused.
                let needs_one = !matches!(operation, Operation::Submit(..));
                let there = unit.may_be.iter().filter(|state| !needs_one || state.is_some());
                unit.may_be = there.map(|state| apply(operation, *state)).collect();
                if unit.may_be.is_empty() {
                    unit.may_be.insert(apply(operation, None));
                }
            }
            Outcome::Unclear => {
                let after: Vec<State> = after().collect();
                unit.may_be.extend(after);
                unit.loose.push(operation.clone());
            }
        }
    }

    /// The units that may be there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, unit)| unit.may_be.iter().any(Option::is_some)).map(|it| it.0)
    }

    /// Compares with what there is after a rest: no request of before is under way any more.
    /// Returns what is wrong.
    pub(crate) fn compare(&self, there: &BTreeMap<String, (u8, Desired)>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, unit) in &self.0 {
            let (is, may_be) = (there.get(name).copied(), unit.reachable());
            if !may_be.contains(&is) {
                wrong.push(format!("{name} is {is:?}, and was asked to be one of {may_be:?}"));
            }
        }
        let unknown = there.keys().filter(|name| !self.0.contains_key(*name));
        wrong.extend(unknown.map(|name| format!("{name} is there, and nobody asked for it")));
        wrong
    }

    /// What there is after a rest is what there is.
    pub(crate) fn settle(&mut self, there: &BTreeMap<String, (u8, Desired)>) {
        for (name, unit) in &mut self.0 {
            unit.may_be = BTreeSet::from([there.get(name).copied()]);
            unit.loose.clear();
        }
    }
}

impl Unit {
    fn reachable(&self) -> BTreeSet<State> {
        let mut all = self.may_be.clone();
        loop {
            let pairs = self.loose.iter().flat_map(|it| all.iter().map(move |is| apply(it, *is)));
            let more: BTreeSet<State> = pairs.filter(|state| !all.contains(state)).collect();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

fn apply(operation: &Operation, state: State) -> State {
    match operation {
        Operation::Submit(_, variant, desired) => Some((*variant, *desired)),
        Operation::Want(_, desired) => state.map(|(variant, _)| (variant, *desired)),
        Operation::Destroy(_) => None,
        Operation::Restart(_) | Operation::Role(..) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(state: State) -> BTreeMap<String, (u8, Desired)> {
        state.map(|state| ("a".to_owned(), state)).into_iter().collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_and_what_was_not_may_be() {
        let submit = Operation::Submit("a".to_owned(), 1, Desired::Launched);
        let destroy = Operation::Destroy("a".to_owned());
        let launched = Some((1, Desired::Launched));
        let mut asked = Asked::default();
        asked.add(&submit, Outcome::Done);
        assert!(asked.compare(&there(launched)).is_empty());
        assert!(!asked.compare(&there(None)).is_empty());
        asked.add(&destroy, Outcome::Unclear);
        // It may be destroyed after this one still.
        asked.add(&Operation::Want("a".to_owned(), Desired::Loaded), Outcome::Done);
        assert!(asked.compare(&there(None)).is_empty());
        assert!(asked.compare(&there(Some((1, Desired::Loaded)))).is_empty());
        assert!(!asked.compare(&there(launched)).is_empty());
        asked.settle(&there(None));
        assert!(!asked.compare(&there(Some((1, Desired::Loaded)))).is_empty(), "it came back");
    }
}
