//! The vectors of `units.md` 2 and 5.9, and the bugs listed in `api.md` 4.4.

use super::*;
use crate::{MAX_PATTERN_BYTES, MAX_PATTERNS};

fn validated(options: &[(&str, &str, &str)]) -> Result<UnitFile, InvalidUnit> {
    let options = options.iter().map(|&(s, n, v)| UnitOption::new(s, n, v)).collect();
    validate(&"foo.service".parse().expect("a name"), options)
}

fn error(options: &[(&str, &str, &str)]) -> String {
    validated(options).expect_err("refused").to_string()
}

/// Validates a unit `name` with `lines` of `[X-Fleet]`; the empty text when accepted.
fn requirements_of(name: &str, lines: &str) -> String {
    let text = format!("[X-Fleet]\n{lines}\n");
    let options = UnitFile::parse(text.as_bytes()).expect(lines).into_options();
    let validated = validate(&name.parse().expect(name), options);
    validated.err().map(|error| error.to_string()).unwrap_or_default()
}

fn requirements(lines: &str) -> String {
    requirements_of("foo.service", lines)
}

#[test]
fn ordinary_options_come_back_as_they_are() {
    let options = [
        ("Unit", "Description", "Hello World"),
        ("Service", "ExecStart", "echo \\\n  \"pi\\\n  ng\""),
        ("Service", "ExecStartPre", ""),
        ("Service", "Environment", "A=1 # no comment"),
        ("Service", "ExecStop", "a\\\n"),
    ];
    let file = validated(&options).expect("accepted");
    let expected = options.map(|(s, n, v)| UnitOption::new(s, n, v));
    assert_eq!(file.options(), expected);
    assert_eq!(validated(&[]), Ok(UnitFile::default()));
}

#[test]
fn blanks_at_edges_are_trimmed_and_sections_grouped() {
    let file = validated(&[("Service", "A", " b ")]).expect("accepted");
    assert_eq!(file.hash().to_string(), "09bc49de4b62ab233087161d26cc9162bbb5fd36");
    let file = validated(&[("Service", " A\t", "\u{a0}b\r")]).expect("accepted");
    assert_eq!(file.hash().to_string(), "09bc49de4b62ab233087161d26cc9162bbb5fd36");
    let file = validated(&[("Unit", "A", "1"), ("Service", "B", "2"), ("Unit", "C", "3")]);
    let names: Vec<_> =
        file.expect("accepted").into_options().into_iter().map(|option| option.name).collect();
    assert_eq!(names, ["A", "C", "B"]);
}

#[test]
fn options_that_do_not_lex_are_refused_with_the_lexer_error() {
    for (option, start) in [
        (("Service", "A", "b\nC"), "unexpected newline encountered while parsing option name"),
        (("Service", "A\nB", "c"), "unexpected newline encountered while parsing option name"),
        (("Service", "A\rB", "c"), "unexpected newline encountered while parsing option name"),
        (("Service]", "A", "b"), "found garbage after section name"),
        (("Service", "A", "\nb"), "unexpected newline encountered while parsing option name"),
        (("Service", "[A]", "b"), "found garbage after section name"),
        (("Service", "[A", "b"), "unable to find end of section"),
        (("Service", "A", &"b".repeat(1024 * 1024 - 2)), "line too long (max 1048576 bytes)"),
        (("Unit", "Description", "x\r[Service]\rExecStart=/evil"), "character '\\r' ends a line"),
        (("Unit", "Description", "x\0[Service]\0ExecStart=/evil"), "character '\\x00' ends a line"),
        (("Service", "A", "b\0"), "character '\\x00' ends a line"),
        (("Service", "A\0B", "b"), "character '\\x00' ends a line"),
    ] {
        let error = error(&[option]);
        assert!(error.starts_with(start), "{error}");
    }
    assert!(error(&[("Service]", "A", "b")]).contains("[93]"));
    assert!(validated(&[("Service", "A", &"b".repeat(1024 * 1024 - 3))]).is_ok());
}

#[test]
fn nothing_is_smuggled_in_behind_a_newline() {
    for value in [
        "b\nC=d",
        "b\n[X-Fleet]\nGlobal=true",
        "b\n",
        "b\\\n\n",
        "b\\\r\nc",
        "b\\ \nc=d",
        "b\n#",
        "\n",
        "b\\\\\nC=d",
    ] {
        let expected = "option \"A\" in section \"Service\": the value contains a newline without a \
                        backslash before it";
        assert_eq!(error(&[("Service", "A", value)]), expected, "{value:?}");
    }
    assert_eq!(
        error(&[("A\nB", "C", "d")]),
        r#"option "C" in section "A\nB": the section contains a newline"#
    );
    assert_eq!(
        error(&[("A\r", "C", "d")]),
        r#"option "C" in section "A\r": the section contains a newline"#
    );
    assert_eq!(
        error(&[("A", "#C\nD", "e")]),
        r##"option "#C\nD" in section "A": the name contains a newline"##
    );
}

#[test]
fn empty_sections_and_names_are_refused() {
    assert_eq!(error(&[("", "A", "b")]), r#"option "A" in section "": the section is empty"#);
    for (name, shown) in [("", ""), (" ", " "), ("\u{feff}", r"\ufeff")] {
        let expected = format!("option \"{shown}\" in section \"Service\": the name is empty");
        assert_eq!(error(&[("Service", name, "b")]), expected);
    }
}

#[test]
fn values_that_end_in_a_backslash_are_refused() {
    let expected = r#"option "A" in section "Service": the value ends in a backslash"#;
    for value in ["b\\", "\\", "b\\\\\\", "b\\\nc\\", "b\\\n  ", "b\\\r"] {
        assert_eq!(error(&[("Service", "A", value), ("Service", "C", "d")]), expected, "{value:?}");
        let last = error(&[("Service", "A", value)]);
        assert!(last == expected || last.starts_with("backslash at the end of a line"), "{last}");
    }
    // Two end the line.
    for value in ["b\\\\", "\\\\\\\\ "] {
        let file = validated(&[("Service", "A", value), ("Service", "C", "d")]).expect(value);
        assert_eq!(file.options()[0].value, value.trim());
    }
}

#[test]
fn what_goes_on_in_the_next_option_is_refused() {
    for value in ["b\\\n# c", "b\\\n#", "b\\\n  ;c"] {
        let error = error(&[("Service", "A", value), ("Service", "C", "d")]);
        assert!(error.contains("it would not be the same when read back"), "{value:?}: {error}");
    }
    let feff = error(&[("Unit", "\u{feff}ExecStart", "b")]);
    let expected = "systemd would read something else: option \"ExecStart\" in section \"Unit\" is \
                    not as it was submitted";
    assert_eq!(feff, expected);
}

#[test]
fn comments_within_values_that_older_clients_send_are_dropped() {
    let file = validated(&[("Service", "A", "b\\\n# c \\\n ; d\\\n e"), ("Service", "C", "d")]);
    assert_eq!(file.expect("accepted").options()[0].value, "b\\\n e");
}

#[test]
fn names_that_systemd_would_not_take_are_refused() {
    let name = |length: usize| -> UnitName {
        format!("{}.service", "a".repeat(length - ".service".len())).parse().expect("readable")
    };
    let options = || vec![UnitOption::new("Service", "A", "b")];
    assert!(validate(&name(255), options()).is_ok());
    let error = validate(&name(256), options()).expect_err("too long");
    assert_eq!(error.to_string(), "unit name exceeds maximum length (255)");
}

#[test]
fn options_that_do_not_come_back_are_named() {
    for name in ["#A", ";A", " #A", "A=B"] {
        let expected = format!(
            "option \"{name}\" in section \"Service\": it would not be the same when read back \
             from a unit file"
        );
        assert_eq!(error(&[("Service", name, "b")]), expected);
        let among_others = [("Service", "X", "y"), ("Service", name, "b"), ("Unit", "Z", "1")];
        assert_eq!(error(&among_others), expected);
    }
}

#[test]
fn contradictory_requirements_are_refused() {
    for (lines, expected) in [
        (
            "MachineOf=bar.service\nConflicts=b*",
            r#"unresolvable requirements: peer "bar.service" matches conflict "b*""#,
        ),
        ("MachineOf=a\nReplaces=a", r#"unresolvable requirements: peer "a" matches replace "a""#),
        ("MachineID=m\nMachineOf=a", "MachineID cannot be used with Peers"),
        ("MachineID=m\nConflicts=a", "MachineID cannot be used with Conflicts"),
        ("MachineID=m\nGlobal=true", "MachineID cannot be used with Global"),
        ("MachineID=m\nReplaces=a", "MachineID cannot be used with Replaces"),
        ("Global=true\nMachineOf=a", "Global cannot be used with Peers"),
        ("Global=true\nReplaces=a", "Global cannot be used with Replaces"),
        ("Conflicts=b\nReplaces=a", "Conflicts cannot be used with Replaces"),
        (
            "X-ConditionMachineBootID=m\nX-ConditionMachineOf=a",
            "MachineID cannot be used with Peers",
        ),
        ("X-ConditionMachineID=m\nX-Conflicts=a", "MachineID cannot be used with Conflicts"),
        (
            "MachineOf=%n\nConflicts=%n",
            r#"unresolvable requirements: peer "%n" matches conflict "%n""#,
        ),
    ] {
        assert_eq!(requirements(lines), expected, "{lines}");
    }
}

#[test]
fn first_contradiction_is_the_one_reported() {
    let all = "MachineID=m\nMachineOf=b a\nConflicts=a x b\nReplaces=a\nGlobal=true";
    let expected = r#"unresolvable requirements: peer "a" matches conflict "a""#;
    assert_eq!(requirements(all), expected);
    let peer_by_peer = "MachineOf=b a\nConflicts=b\nReplaces=a";
    let expected = r#"unresolvable requirements: peer "a" matches replace "a""#;
    assert_eq!(requirements(peer_by_peer), expected);
    let rest = "MachineID=m\nMachineOf=z\nConflicts=a\nReplaces=a\nGlobal=true";
    assert_eq!(requirements(rest), "MachineID cannot be used with Peers");
    let rest = "MachineOf=z\nConflicts=a\nReplaces=a\nGlobal=true";
    assert_eq!(requirements(rest), "Global cannot be used with Peers");
}

#[test]
fn the_first_match_is_named_whether_it_is_a_name_or_a_pattern() {
    let conflict = |conflicts: &str| requirements(&format!("MachineOf=b.service\n{conflicts}"));
    for (conflicts, first) in [
        ("Conflicts=x b.service b*", "b*"),
        ("Conflicts=c* b.service b?service", "b.service"),
        (r"Conflicts=\b.service", r"\\b.service"),
    ] {
        let expected =
            format!(r#"unresolvable requirements: peer "b.service" matches conflict "{first}""#);
        assert_eq!(conflict(conflicts), expected);
    }
}

/// Options `name` with many different words in lines that are short enough.
fn many(name: &str, count: usize, word: impl Fn(usize) -> String) -> String {
    let words: Vec<String> = (0..count).map(word).collect();
    words.chunks(100).map(|line| format!("{name}={}\n", line.join(" "))).collect()
}

#[test]
fn names_are_not_tried_one_by_one() {
    let peers = many("MachineOf", 3000, |n| format!("p{n:04}"));
    assert_eq!(
        requirements(&format!("{peers}{}", many("Conflicts", 256, |n| format!("c{n:015}")))),
        ""
    );
    // What can't match is not tried either.
    assert_eq!(
        requirements(&format!("{peers}{}", many("Conflicts", 256, |n| format!("[{n:015}")))),
        ""
    );
}

#[test]
fn more_than_can_be_compared_at_once_is_refused() {
    let peers = |count| many("MachineOf", count, |n| format!("p{n:07}"));
    let patterns = |option, count| many(option, count, |n| format!("c*{n:06}"));
    let lines = |peers: String, patterns: String| requirements(&format!("{peers}{patterns}"));
    for option in ["Conflicts", "Replaces"] {
        assert_eq!(lines(peers(256), patterns(option, 256)), "");
        assert_eq!(
            lines(peers(257), patterns(option, 256)),
            "too many requirements: 2056 bytes of peers are to be compared with 2048 bytes of \
             patterns, and the product may be 4194304 at most"
        );
    }
    // The same again is compared once, and what has nothing to be compared with doesn't count.
    assert_eq!(lines(peers(256).repeat(3), patterns("Conflicts", 128).repeat(2)), "");
    assert_eq!(lines(peers(4000), String::new()), "");
    assert_eq!(lines(String::new(), patterns("Conflicts", 256)), "");
}

#[test]
fn requirements_that_go_together_are_accepted() {
    for lines in [
        "",
        "Global=true\nConflicts=a\nMachineMetadata=a=b",
        "MachineID=m\nMachineMetadata=a=b",
        "MachineOf=a\nMachineMetadata=a=b\nConflicts=b",
        "MachineOf=a\nReplaces=b",
        "MachineOf=a\nConflicts=[",
        "MachineID=m\nGlobal=false",
        "Global=true\nGlobal=false\nMachineOf=a",
        "Foo=bar\nMachineMetadata=garbage",
    ] {
        assert_eq!(requirements(lines), "", "{lines}");
    }
}

#[test]
fn empty_elements_count_as_absent() {
    for lines in [
        "MachineID=\nMachineOf=b",
        "MachineOf=\nGlobal=true",
        "Replaces=\nConflicts=b",
        "MachineOf=\nReplaces=",
        "MachineID=m\nConflicts=",
        "MachineID=m\nConflicts=\"\"",
    ] {
        assert_eq!(requirements(lines), "", "{lines}");
    }
}

#[test]
fn global_is_asked_for_the_name_of_the_unit() {
    let lines = "Global=%p\nMachineOf=a";
    assert_eq!(requirements_of("true@1.service", lines), "Global cannot be used with Peers");
    assert_eq!(requirements_of("foo@1.service", lines), "");
}

#[test]
fn patterns_are_bounded_in_number_and_bytes_by_option() {
    let many = |option: &str, count: usize, pattern: &str| {
        (0..count).map(|_| format!("{option}={pattern}\n")).collect::<String>()
    };
    for option in ["Conflicts", "Replaces", "X-Conflicts"] {
        let named = option.trim_start_matches("X-");
        let bound = format!("and {MAX_PATTERNS} of {MAX_PATTERN_BYTES} bytes are the most");
        for (count, pattern, said) in [
            (MAX_PATTERNS, "a*", None),
            (MAX_PATTERNS + 1, "a*", Some("257 patterns of 514 bytes together")),
            (8, &*"*".repeat(MAX_PATTERN_BYTES / 8), None),
            (8, &*"a".repeat(1 + MAX_PATTERN_BYTES / 8), Some("8 patterns of 8200 bytes together")),
            // As long as the name of a unit, when it is expanded.
            (100, "%n%n%n%n%n%n%n%n%n%n", Some("100 patterns of 11000 bytes together")),
        ] {
            let text = requirements(&many(option, count, pattern));
            let expected = said
                .map(|said| format!("option {named:?} has {said}, {bound}"))
                .unwrap_or_default();
            assert_eq!(text, expected);
        }
    }
    let both = many("Conflicts", 200, "a") + &many("X-Conflicts", 200, "a");
    assert!(requirements(&both).contains("400 patterns"));
}
