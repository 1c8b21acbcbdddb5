//! Strategies for units. What they make is what validation accepts and gives back unchanged.

use fleet_core::{FleetOptions, UNIT_TYPES, UnitFile, UnitName, UnitOption, validate};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Unit names: mostly few and short ones, so that they meet each other; some of every form.
pub fn any_unit_name() -> impl Strategy<Value = UnitName> {
    let short = "[a-c]{1,2}(@[0-2]?)?\\.service";
    let others = (r"[a-zA-Z0-9:_.\\-]{1,20}", select(&UNIT_TYPES[..]))
        .prop_map(|(stem, unit_type)| format!("{stem}.{unit_type}"));
    let instances =
        (r"[a-zA-Z0-9:_.\\-]{1,8}@[a-zA-Z0-9:_.@\\-]{0,8}", select(&["socket", "timer"][..]))
            .prop_map(|(stem, unit_type)| format!("{stem}.{unit_type}"));
    prop_oneof![4 => short, 1 => others, 1 => instances]
        .prop_filter_map("the stem is not only dots", |name| name.parse().ok())
}

/// `[X-Fleet]` options that don't contradict each other, about names of [`any_unit_name`], machines
/// called `m1` to `m3` and metadata `a=1` to `b=2`.
pub fn any_fleet_options() -> impl Strategy<Value = FleetOptions> {
    let metadata = option::of(vec("[ab]=[12]", 1..3).prop_map(|pairs| quoted(&pairs)));
    (placement(), metadata, option::of("[a-z]{1,4}")).prop_map(
        |(mut options, metadata, unknown)| {
            options.extend(metadata.map(|pairs| ("MachineMetadata".to_owned(), pairs)));
            options.extend(unknown.map(|text| ("Unknown".to_owned(), text)));
            FleetOptions(options)
        },
    )
}

/// Unit files as they are stored: grouped by section, accepted by validation, stable when read
/// back.
pub fn any_unit_file() -> impl Strategy<Value = UnitFile> {
    (vec(any_option(), 0..6), any_fleet_options()).prop_filter_map(
        "validation accepts it",
        |(mut options, fleet)| {
            let fleet = fleet.0.into_iter();
            options.extend(fleet.map(|(name, value)| UnitOption::new("X-Fleet", name, value)));
            let name: UnitName = "x.service".parse().expect("it is one");
            validate(&name, options).ok()
        },
    )
}

/// The options that say where a unit goes, without the combinations of `units.md` 5.9.
fn placement() -> impl Strategy<Value = Vec<(String, String)>> {
    let of = |name: &'static str| move |value: String| vec![(name.to_owned(), value)];
    let global = (select(&["true", "yes", "1"][..]), option::of(patterns())).prop_map(
        |(global, conflicts)| {
            let conflicts = conflicts.map(|value| ("Conflicts".to_owned(), value));
            [("Global".to_owned(), global.to_owned())].into_iter().chain(conflicts).collect()
        },
    );
    prop_oneof![
        3 => Just(Vec::new()),
        1 => "m[1-3]".prop_map(of("MachineID")),
        1 => any_unit_name().prop_map(|name| name.to_string()).prop_map(of("MachineOf")),
        2 => patterns().prop_map(of("Conflicts")),
        1 => patterns().prop_map(of("Replaces")),
        1 => global,
    ]
}

/// One to three patterns.
fn patterns() -> impl Strategy<Value = String> {
    let pattern = prop_oneof![
        any_unit_name().prop_map(|name| name.to_string()),
        "[a-c][?*]\\.service",
        "[a-c]@\\*\\.service",
        Just("%p@*.service".to_owned()),
    ];
    vec(pattern, 1..=3).prop_map(|patterns| quoted(&patterns))
}

/// An option of a section other than `[X-Fleet]`; some values go on in a second line.
fn any_option() -> impl Strategy<Value = UnitOption> {
    let section = select(&["Unit", "Service", "Install", "X-Other"][..]);
    let value =
        ("[ -~é]{0,30}", option::weighted(0.2, "[ -~]{0,10}[!-Z]")).prop_map(|(first, second)| {
            match second {
                Some(second) => format!("{first}\\\n{second}"),
                None => first,
            }
        });
    (section, "[A-Z][a-zA-Z]{0,8}", value)
        .prop_map(|(section, name, value)| UnitOption::new(section, name, value))
}

/// The value that has `elements` as its elements (`units.md` 5.2).
fn quoted(elements: &[String]) -> String {
    elements.iter().map(|element| format!("\"{element}\"")).collect::<Vec<_>>().join(" ")
}
