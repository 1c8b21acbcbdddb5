//! What validation accepts is what is stored: the same whenever it is written and read
//! (`spec/README.md` 17).

use fleet_core::{UnitFile, UnitName, UnitOption, validate};
use fleet_testkit::{any_fleet_options, any_unit_file, any_unit_name};
use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces of options that a stranger may send.
const PIECES: &[&str] = &[
    "",
    "a",
    "B",
    " ",
    "\t",
    "\u{a0}",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "\\\n",
    "\0",
    "\u{feff}",
    "=",
    "[",
    "]",
    "#",
    ";",
    "\"",
    "[X-Fleet]\nGlobal=true",
    "é",
];

fn text(pieces: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(select(PIECES), pieces).prop_map(|pieces| pieces.concat())
}

/// Options of which a good part is accepted.
fn option() -> impl Strategy<Value = UnitOption> {
    let section =
        prop_oneof![4 => select(&["Unit", "X-Fleet"][..]).prop_map(str::to_owned), 1 => text(0..3)];
    let name = prop_oneof![4 => "[A-C ]{1,3}", 1 => text(0..3)];
    (section, name, text(0..6)).prop_map(|(section, name, value)| UnitOption {
        section,
        name,
        value,
    })
}

fn name() -> UnitName {
    "foo.service".parse().expect("a name")
}

proptest! {
    #[test]
    fn accepted_options_are_stable(options in vec(option(), 0..4)) {
        let Ok(stored) = validate(&name(), options.clone()) else { return Ok(()) };
        for parse in [UnitFile::parse, UnitFile::parse_stored] {
            let read = parse(stored.to_text().as_bytes()).expect("what is stored lexes");
            prop_assert_eq!(&read, &stored);
            prop_assert_eq!(read.hash(), stored.hash());
        }
        prop_assert_eq!(validate(&name(), stored.options().to_vec()), Ok(stored.clone()));
        prop_assert_eq!(stored.check_reading(), Ok(()));

        // Nothing is lost, added, or moved to another section.
        let mut submitted: Vec<_> =
            options.iter().map(|o| (o.section.clone(), o.name.trim().to_owned())).collect();
        let mut found: Vec<_> =
            stored.options().iter().map(|o| (o.section.clone(), o.name.clone())).collect();
        submitted.sort();
        found.sort();
        prop_assert_eq!(submitted, found);
    }

    #[test]
    fn arbitrary_options_never_panic(
        options in vec((any::<String>(), any::<String>(), any::<String>()), 0..3),
        name in any_unit_name(),
    ) {
        let options = options.into_iter().map(|(s, n, v)| UnitOption::new(s, n, v)).collect();
        let _ = validate(&name, options);
    }

    #[test]
    fn ordinary_files_are_accepted_unchanged(file in any_unit_file(), name in any_unit_name()) {
        prop_assert_eq!(validate(&name, file.options().to_vec()), Ok(file));
    }

    #[test]
    fn strategies_make_requirements_that_go_together(fleet in any_fleet_options(), name in any_unit_name()) {
        let options = fleet.0.iter().map(|(n, v)| UnitOption::new("X-Fleet", n, v)).collect();
        let file = validate(&name, options).expect("accepted");
        prop_assert_eq!(file.fleet_options(), fleet);
    }
}
