//! Who may be where: the symmetries that the scheduler counts on (`units.md` 5.8).

use std::collections::BTreeMap;

use fleet_core::{
    Machine, Requirements,
    eligibility::{Candidate, Refusal, Verdict, judge, judge_global},
};
use fleet_testkit::{any_fleet_options, any_unit_name};
use proptest::prelude::*;

/// A machine that meets about half of the metadata requirements that the strategy makes.
fn machine() -> Machine {
    let metadata = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    Machine { id: "m1".parse().expect("an id"), metadata: BTreeMap::from(metadata) }
}

proptest! {
    #[test]
    fn conflicts_and_replaces_are_seen_from_both_sides(
        (one, two) in (any_unit_name(), any_unit_name()),
        (options_of_one, options_of_two) in (any_fleet_options(), any_fleet_options()),
    ) {
        prop_assume!(one != two);
        let mut requirements =
            [options_of_one.requirements(&one), options_of_two.requirements(&two)];
        for requirements in &mut requirements {
            // Only these two rules are about both.
            *requirements = Requirements {
                conflicts: std::mem::take(&mut requirements.conflicts),
                replaces: std::mem::take(&mut requirements.replaces),
                ..Requirements::default()
            };
        }
        let candidates = [
            Candidate { name: &one, requirements: &requirements[0] },
            Candidate { name: &two, requirements: &requirements[1] },
        ];
        let verdict = |unit: usize, resident: usize| {
            judge(candidates[unit], &machine(), std::iter::once(candidates[resident]))
        };
        match verdict(0, 1) {
            Verdict::Eligible => prop_assert_eq!(verdict(1, 0), Verdict::Eligible),
            Verdict::Replaces(name) => {
                prop_assert_eq!(&name, &two);
                prop_assert_eq!(verdict(1, 0), Verdict::Replaces(one.clone()));
            }
            Verdict::Refused(refusal) => {
                prop_assert_eq!(refusal, Refusal::Conflict(two.clone()));
                prop_assert_eq!(verdict(1, 0), Verdict::Refused(Refusal::Conflict(one.clone())));
            }
        }
    }

    #[test]
    fn unit_alone_is_refused_for_its_machine_or_peers_only(
        name in any_unit_name(),
        options in any_fleet_options(),
    ) {
        let requirements = options.requirements(&name);
        let unit = Candidate { name: &name, requirements: &requirements };
        let verdict = judge(unit, &machine(), std::iter::empty());
        let conflict = matches!(verdict, Verdict::Refused(Refusal::Conflict(_)));
        prop_assert!(!conflict && !matches!(verdict, Verdict::Replaces(_)));
        prop_assert_eq!(judge(unit, &machine(), std::iter::once(unit)) == Verdict::Eligible,
            verdict == Verdict::Eligible
                || verdict == Verdict::Refused(Refusal::PeerAbsent(name.to_string())));
        // Global units are spared the other rules.
        if requirements.global {
            let judged = judge_global(unit, &machine(), std::iter::empty());
            prop_assert_eq!(judged.is_ok(), verdict == Verdict::Eligible);
        }
    }
}
