//! The vectors of `units.md` 5.1 and 5.3 to 5.6.

use super::*;
use crate::UnitFile;

fn of(name: &str, lines: &str) -> Requirements {
    let text = format!("[X-Fleet]\n{lines}\n");
    let options = UnitFile::parse(text.as_bytes()).expect(lines).fleet_options();
    options.requirements(&name.parse().expect(name))
}

fn foo(lines: &str) -> Requirements {
    of("foo.service", lines)
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

#[test]
fn no_options_ask_for_nothing() {
    assert!(FleetOptions::default().is_empty());
    assert_eq!(foo(""), Requirements::default());
    for unknown in [
        "MachineBootID=a",
        "X-Peers=a",
        "X-Global=1",
        "X-ConditionGlobal=1",
        "Machineof=a",
        "X-ConditionConflicts=a",
        "X-MachineMetadata=a=b",
        "global=1",
        "X-ConditionMachineId=a",
        "X-Replaces=a",
    ] {
        assert_eq!(foo(unknown), Requirements::default(), "{unknown}");
    }
}

#[test]
fn legacy_elements_come_first_and_all_count() {
    let lines = "MachineOf=b.service\nX-ConditionMachineOf=a.service\n\
                 Conflicts=d*\nConflicts=e*\nX-Conflicts=c*";
    assert_eq!(foo(lines).peers, ["a.service", "b.service"]);
    assert_eq!(texts(&foo(lines).conflicts), ["c*", "d*", "e*"]);
}

#[test]
fn lists_of_units_split_on_white_space() {
    assert_eq!(texts(&foo("Conflicts=a  b\u{a0}c").conflicts), ["a", "b", "c"]);
    assert_eq!(texts(&foo("Conflicts=\"a b\" \"c\"").conflicts), ["a", "b", "c"]);
    assert_eq!(texts(&foo("Replaces=a b").replaces), ["a", "b"]);
    assert_eq!(foo("MachineOf=a b\nMachineOf=\"c\" \"d\"").peers, ["a", "b", "c", "d"]);
    assert_eq!(foo("MachineOf=a \\\n  b").peers, ["a", "b"]);
}

#[test]
fn empty_elements_count_as_absent() {
    let empties = "Conflicts=\nConflicts=\"\"\nReplaces=\nMachineOf=\nMachineOf=\"\"\nMachineID=";
    assert_eq!(foo(empties), Requirements::default());
    assert_eq!(foo("MachineID=%i\nMachineOf=%i"), Requirements::default());
    assert_eq!(foo("MachineID=\nMachineID=abc").machine.as_deref(), Some("abc"));
}

#[test]
fn first_machine_of_the_first_spelling_is_required() {
    for (lines, machine) in [
        ("MachineID=a\nMachineID=b", "a"),
        ("MachineID=\"a\" \"b\"", "a"),
        ("X-ConditionMachineID=b\nMachineID=a", "a"),
        ("X-ConditionMachineBootID=c\nX-ConditionMachineID=b", "b"),
        ("X-ConditionMachineBootID=c", "c"),
        ("MachineID=\nX-ConditionMachineID=b", "b"),
    ] {
        assert_eq!(foo(lines).machine.as_deref(), Some(machine), "{lines}");
    }
}

#[test]
fn last_global_decides() {
    for (value, expected) in [
        ("true", true),
        ("yes", true),
        ("1", true),
        ("on", true),
        ("t", true),
        ("TRUE", true),
        ("Yes", true),
        ("y", false),
        ("2", false),
        ("12", false),
        ("", false),
        ("what", false),
        ("false", false),
        ("\" true\"", false),
        ("\"true\" \"false\"", false),
        ("\"false\" \"true\"", true),
        ("\"true\" \"\"", false),
        ("true\nGlobal=", false),
        ("false\nGlobal=true", true),
    ] {
        assert_eq!(foo(&format!("Global={value}")).global, expected, "{value}");
    }
}

#[test]
fn metadata_pairs_are_collected_by_key() {
    for (lines, expected) in [
        ("MachineMetadata=foo=bar", &[("foo", &["bar"][..])][..]),
        ("MachineMetadata=\"a=b\" \"c=d\"", &[("a", &["b"]), ("c", &["d"])]),
        ("MachineMetadata=a=1\nMachineMetadata=a=2", &[("a", &["1", "2"])]),
        ("X-ConditionMachineMetadata=a=c\nMachineMetadata=a=b", &[("a", &["b", "c"])]),
        ("MachineMetadata=\"a = b\"", &[("a ", &[" b"])]),
        ("MachineMetadata=a=b c=d", &[]),
        ("MachineMetadata=a", &[]),
        ("MachineMetadata=a=", &[]),
        ("MachineMetadata==b", &[]),
        ("MachineMetadata=a=b=c", &[]),
        ("MachineMetadata=", &[]),
    ] {
        let expected: BTreeMap<String, BTreeSet<String>> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.iter().map(|v| (*v).to_owned()).collect()))
            .collect();
        assert_eq!(foo(lines).metadata, expected, "{lines}");
    }
}

#[test]
fn specifiers_are_expanded_in_values_only() {
    let lines = "MachineOf=%p@%i.socket\nConflicts=%p@*.service\nMachineMetadata=%p=%i\n%p=a";
    let requirements = of("foo@7.service", lines);
    assert_eq!(requirements.peers, ["foo@7.socket"]);
    assert_eq!(texts(&requirements.conflicts), ["foo@*.service"]);
    assert!(requirements.metadata["foo"].contains("7"));
    assert!(of("true@1.service", "Global=%p").global);
    assert!(!of("false@1.service", "Global=%p").global);
}

#[test]
fn requirements_as_written_keep_the_specifiers() {
    let options = FleetOptions(vec![("MachineOf".to_owned(), "%n".to_owned())]);
    assert_eq!(options.requirements_as_written().peers, ["%n"]);
}

#[test]
fn options_are_stored_as_a_list_of_pairs() {
    let options = FleetOptions(vec![("Global".to_owned(), "true".to_owned())]);
    let json = serde_json::to_string(&options).expect("strings");
    assert_eq!(json, r#"[["Global","true"]]"#);
    assert_eq!(serde_json::from_str::<FleetOptions>(&json).expect("options"), options);
}
