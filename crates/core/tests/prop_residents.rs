//! Who is on a machine: what engine and agent count on (`cluster.md` 2 and 5).

use std::collections::BTreeMap;

use fleet_core::{
    Machine, Requirements, UnitName,
    eligibility::{Candidate, Refusal, judge_global},
    residents::{Contender, Origin, residents},
};
use fleet_testkit::{any_fleet_options, any_unit_name};
use proptest::{collection::vec, prelude::*, sample::select};

/// A machine that meets about half of the metadata requirements that the strategy makes.
fn machine() -> Machine {
    let metadata = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    Machine { id: "m1".parse().expect("an id"), metadata: BTreeMap::from(metadata) }
}

const ORIGINS: [Origin; 4] =
    [Origin::Unjudged, Origin::Scheduled, Origin::Global, Origin::IdleGlobal];

type Unit = (UnitName, Origin, Requirements);

fn any_units() -> impl Strategy<Value = Vec<Unit>> {
    let origin = select(&ORIGINS[..]);
    let unit =
        (any_unit_name(), origin, any_fleet_options()).prop_map(|(name, origin, options)| {
            let requirements = options.requirements(&name);
            (name, origin, requirements)
        });
    // A name has one origin, but for those that are just changing it.
    vec(unit, 0..12)
}

fn candidate((name, _, requirements): &Unit) -> Candidate<'_> {
    Candidate { name, requirements }
}

/// Units with what is said of each, in the order of their precedence.
fn judged<'a>(units: impl IntoIterator<Item = &'a Unit>) -> Vec<(&'a Unit, Result<(), Refusal>)> {
    let contenders = units.into_iter().map(|unit| Contender {
        unit: candidate(unit),
        origin: unit.1,
        tag: unit,
    });
    let judged = residents(&machine(), contenders).into_iter();
    judged.map(|(contender, verdict)| (contender.tag, verdict)).collect()
}

fn here(units: &[Unit]) -> Vec<&Unit> {
    let judged = judged(units).into_iter();
    judged.filter(|(_, verdict)| verdict.is_ok()).map(|(unit, _)| unit).collect()
}

proptest! {
    #[test]
    fn every_name_is_judged_once_and_the_schedule_counts(units in any_units()) {
        let found: Vec<&UnitName> = judged(&units).iter().map(|((name, ..), _)| name).collect();
        let unique: BTreeMap<&UnitName, bool> = units.iter().map(|(name, ..)| {
            let of_name = units.iter().filter(|(other, ..)| other == name);
            (name, of_name.clone().all(|(_, origin, _)| origin.is_global()))
        }).collect();
        prop_assert_eq!(found.len(), unique.len());
        for ((name, origin, _), _) in judged(&units) {
            prop_assert_eq!(origin.is_global(), unique[name]);
        }
    }

    #[test]
    fn the_order_in_which_they_are_given_does_not_matter(
        (units, shuffled) in any_units()
            .prop_map(|units| {
                let by_name: BTreeMap<_, _> = units.into_iter().map(|u| (u.0.clone(), u)).collect();
                by_name.into_values().collect::<Vec<_>>()
            })
            .prop_flat_map(|units| (Just(units.clone()), Just(units).prop_shuffle())),
    ) {
        prop_assert_eq!(judged(&units), judged(&shuffled));
    }

    /// So no global unit drives off what is scheduled, and none that doesn't run one that does.
    #[test]
    fn who_comes_later_changes_nothing_for_those_before(units in any_units()) {
        for comes_later in [Origin::is_global, |origin| origin == Origin::IdleGlobal] {
            let first = || units.iter().filter(|(_, origin, _)| !comes_later(*origin));
            let all = judged(&units).into_iter().filter(|((_, origin, _), _)| !comes_later(*origin));
            prop_assert_eq!(all.collect::<Vec<_>>(), judged(first()));
        }
    }

    /// Of any two that conflict at most one is there, if somebody has judged them.
    #[test]
    fn nobody_who_was_judged_is_beside_what_it_conflicts_with(units in any_units()) {
        let here = here(&units);
        for unit in here.iter().filter(|(_, origin, _)| *origin != Origin::Unjudged) {
            let before = here.iter().take_while(|other| other.0 != unit.0);
            let beside = before.map(|other| candidate(other));
            let conflict = judge_global(
                Candidate { requirements: &without_metadata(unit), ..candidate(unit) },
                &machine(),
                beside,
            );
            prop_assert_eq!(conflict, Ok(()), "{}", unit.0);
        }
    }

    /// Who isn't there is in nobody's way, and has its reason in those who are.
    #[test]
    fn who_is_refused_changes_nothing_for_others(units in any_units()) {
        let here = here(&units);
        let alone = judged(here.iter().copied());
        prop_assert!(alone.iter().all(|(_, verdict)| verdict.is_ok()));
        prop_assert_eq!(alone.len(), here.len());
        for ((name, origin, _), verdict) in judged(&units) {
            match verdict {
                Ok(()) => {}
                Err(Refusal::Conflict(other)) => {
                    prop_assert!(here.iter().any(|(name, ..)| *name == other), "{}", name);
                }
                Err(refusal) => {
                    prop_assert_eq!((refusal, origin.is_global()), (Refusal::Metadata, true));
                }
            }
        }
    }
}

fn without_metadata((_, _, requirements): &Unit) -> Requirements {
    Requirements { metadata: BTreeMap::new(), ..requirements.clone() }
}
