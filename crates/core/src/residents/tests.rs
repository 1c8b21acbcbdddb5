//! Precedence, case by case; what holds of all cases is in `tests/prop_residents.rs`.

use super::*;
use crate::{FleetOptions, Pattern};

/// A unit, and the pattern of what it conflicts with.
type Unit = (&'static str, Origin, Option<&'static str>);

/// Who is on a machine without metadata, in order.
fn here(units: &[Unit]) -> Vec<String> {
    let machine = Machine { id: "m1".parse().expect("an id"), metadata: BTreeMap::new() };
    let units: Vec<(UnitName, Origin, Requirements)> = units
        .iter()
        .map(|(name, origin, conflicts)| {
            let conflicts = conflicts.iter().map(|pattern| Pattern::new((*pattern).to_owned()));
            let requirements =
                Requirements { conflicts: conflicts.collect(), ..Requirements::default() };
            (name.parse().expect(name), *origin, requirements)
        })
        .collect();
    let contenders = units.iter().map(|(name, origin, requirements)| Contender {
        unit: Candidate { name, requirements },
        origin: *origin,
        tag: (),
    });
    let judged = residents(&machine, contenders).into_iter();
    let here = judged.filter(|(_, verdict)| verdict.is_ok());
    here.map(|(contender, _)| contender.unit.name.to_string()).collect()
}

#[test]
fn of_two_that_conflict_the_scheduled_one_stays_else_the_first_by_name() {
    use Origin::{Global, IdleGlobal, Scheduled, Unjudged};
    let all = Some("*");
    let rows: [(&str, &[Unit], &[&str]); 11] = [
        (
            "global later",
            &[("a.service", Scheduled, None), ("b.service", Global, all)],
            &["a.service"],
        ),
        (
            "global first",
            &[("b.service", Scheduled, None), ("a.service", Global, all)],
            &["b.service"],
        ),
        (
            "the other way",
            &[("b.service", Scheduled, all), ("a.service", Global, None)],
            &["b.service"],
        ),
        (
            "two scheduled",
            &[("b.service", Scheduled, all), ("a.service", Scheduled, None)],
            &["a.service"],
        ),
        ("two global", &[("b.service", Global, None), ("a.service", Global, all)], &["a.service"]),
        (
            "of no conflict",
            &[("b.service", Scheduled, None), ("a.service", Global, None)],
            &["b.service", "a.service"],
        ),
        (
            "a global that had to go is in nobody's way",
            &[
                ("c.service", Scheduled, Some("a.*")),
                ("a.service", Global, Some("b.*")),
                ("b.service", Global, None),
            ],
            &["c.service", "b.service"],
        ),
        (
            "a global that doesn't run comes last",
            &[
                ("a.service", IdleGlobal, all),
                ("b.service", Global, Some("d.*")),
                ("c.service", IdleGlobal, Some("a.*")),
            ],
            &["b.service", "c.service"],
        ),
        (
            "changing from one to the other",
            &[
                ("a.service", Global, all),
                ("b.service", Global, None),
                ("a.service", Scheduled, None),
            ],
            &["a.service", "b.service"],
        ),
        (
            "two that aren't judged",
            &[
                ("b.service", Unjudged, all),
                ("a.service", Unjudged, None),
                ("c.service", Global, None),
            ],
            &["a.service", "b.service"],
        ),
        (
            "one that isn't judged counts among what is scheduled",
            &[
                ("b.service", Unjudged, None),
                ("a.service", Scheduled, all),
                ("c.service", Scheduled, Some("b.*")),
            ],
            &["a.service", "b.service"],
        ),
    ];
    for (row, units, expected) in rows {
        assert_eq!(here(units), expected, "{row}");
    }
}

#[test]
fn metadata_keeps_only_global_units_off() {
    let machine = Machine { id: "m1".parse().expect("an id"), metadata: BTreeMap::new() };
    let name: UnitName = "u.service".parse().expect("a name");
    let options = FleetOptions(vec![("MachineMetadata".to_owned(), "zone=a".to_owned())]);
    let requirements = options.requirements(&name);
    for (origin, expected) in [
        (Origin::Unjudged, Ok(())),
        (Origin::Scheduled, Ok(())),
        (Origin::Global, Err(Refusal::Metadata)),
        (Origin::IdleGlobal, Err(Refusal::Metadata)),
    ] {
        let unit = Candidate { name: &name, requirements: &requirements };
        let judged = residents(&machine, [Contender { unit, origin, tag: () }]);
        assert_eq!(judged[0].1, expected, "{origin:?}");
    }
}
