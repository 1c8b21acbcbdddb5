//! The vectors of `units.md` 4.3 and 4.4, and `api.md` 4.5.

use super::*;

fn error(name: &str) -> String {
    name.parse::<UnitName>().expect_err(name).to_string()
}

#[test]
fn valid_names_are_accepted_as_they_are() {
    let longest = format!("{}.service", "a".repeat(248));
    let names = [
        "foo.service",
        "foo@.service",
        "foo@a@b.service",
        "-foo.service",
        "yo.yo.service",
        r"yes@no\.service",
        "foo.target",
        "foo.swap",
        "foo.busname",
        "foo.slice",
        "foo.scope",
        "foo.snapshot",
        "foo@1.target",
        "a..service",
        "foo@bar@baz.service",
        r"foo\.service",
        "foo:bar.target",
        ".a.service",
        "foo@1.path",
        "foo@1.socket",
        "foo@1.timer",
        &longest,
    ];
    for name in names {
        assert_eq!(name.parse::<UnitName>().expect(name).as_str(), name);
    }
    for unit_type in UNIT_TYPES {
        let name: UnitName = format!("x.{unit_type}").parse().expect(unit_type);
        assert_eq!((name.stem(), name.unit_type()), ("x", unit_type));
    }
}

#[test]
fn invalid_names_are_refused_with_the_first_rule_they_break() {
    let too_long = format!("{}.service", "a".repeat(249));
    let too_long_in_bytes = "é".repeat(129);
    for (name, text) in [
        ("", "unit name cannot be empty"),
        (too_long.as_str(), "unit name exceeds maximum length (255)"),
        (too_long_in_bytes.as_str(), "unit name exceeds maximum length (255)"),
        ("foo", r#"unit name must contain ".""#),
        ("@", r#"unit name must contain ".""#),
        ("foo.service.", r#"unit name cannot end in ".""#),
        ("..", r#"unit name cannot end in ".""#),
        ("foo.servICE", r#"invalid unit type: "servICE""#),
        ("foo.bar", r#"invalid unit type: "bar""#),
        ("foo.service\n", r#"invalid unit type: "service\n""#),
        ("foo.ser@vice", r#"invalid unit type: "ser@vice""#),
        ("foo@1.mount", r#"invalid unit type for template: "mount""#),
        ("foo@.swap", r#"invalid unit type for template: "swap""#),
        ("@this.mount", r#"invalid unit type for template: "mount""#),
        ("f%o@1.mount", r#"invalid unit type for template: "mount""#),
        ("yes/no.service", "invalid character '/' in unit name"),
        ("foo bar.service", "invalid character ' ' in unit name"),
        ("foo%.service", "invalid character '%' in unit name"),
        ("foo'.service", r"invalid character '\'' in unit name"),
        ("foo\".service", "invalid character '\"' in unit name"),
        ("foo\t.service", r"invalid character '\t' in unit name"),
        ("foo\0.service", r"invalid character '\x00' in unit name"),
        ("foo\n.service", r"invalid character '\n' in unit name"),
        ("é.service", "invalid character 'é' in unit name"),
        ("日.service", "invalid character '日' in unit name"),
        ("\u{fffd}.service", "invalid character '\u{fffd}' in unit name"),
        ("@%.service", "invalid character '%' in unit name"),
        ("@foo.service", r#"unit name cannot start in "@""#),
        ("@.service", r#"unit name cannot start in "@""#),
    ] {
        assert_eq!(error(name), text, "{name:?}");
    }
}

#[test]
fn names_that_the_original_took_can_be_read_though_not_given_anew() {
    let name = |length: usize| -> UnitName {
        format!("{}.service", "a".repeat(length)).parse().expect("readable")
    };
    assert_eq!(name(247).check_new(), Ok(()));
    assert_eq!(name(248).check_new(), Err(InvalidUnitName::TooLong));
}

#[test]
fn empty_stem_or_one_of_dots_counts_as_an_empty_name() {
    for name in [".service", "..service", "...service", "....target"] {
        assert_eq!(error(name), "unit name cannot be empty", "{name}");
    }
}

/// Name, stem, prefix, template, instance, is a template.
type Anatomy =
    (&'static str, &'static str, &'static str, Option<&'static str>, Option<&'static str>, bool);

#[test]
fn names_are_taken_apart_at_the_last_dot_and_first_at() {
    let vectors: [Anatomy; 12] = [
        ("foo.service", "foo", "foo", None, None, false),
        ("foo@.service", "foo@", "foo", Some("foo@.service"), None, true),
        ("foo@bar.service", "foo@bar", "foo", Some("foo@.service"), Some("bar"), false),
        ("foo@bar@baz.service", "foo@bar@baz", "foo", Some("foo@.service"), Some("bar@baz"), false),
        ("foo@@.service", "foo@@", "foo", Some("foo@.service"), Some("@"), false),
        ("foo@@bar.service", "foo@@bar", "foo", Some("foo@.service"), Some("@bar"), false),
        (
            "foo@bar.baz@.service",
            "foo@bar.baz@",
            "foo",
            Some("foo@.service"),
            Some("bar.baz@"),
            false,
        ),
        ("foo.1@.service", "foo.1@", "foo.1", Some("foo.1@.service"), None, true),
        ("foo.1@2.service", "foo.1@2", "foo.1", Some("foo.1@.service"), Some("2"), false),
        ("foo@1.2.service", "foo@1.2", "foo", Some("foo@.service"), Some("1.2"), false),
        ("foo.1.service", "foo.1", "foo.1", None, None, false),
        ("foo@1.timer", "foo@1", "foo", Some("foo@.timer"), Some("1"), false),
    ];
    for (text, stem, prefix, template, instance, is_template) in vectors {
        let name: UnitName = text.parse().expect(text);
        assert_eq!(name.stem(), stem, "{text}");
        assert_eq!(name.prefix(), prefix, "{text}");
        assert_eq!(name.template().as_ref().map(UnitName::as_str), template, "{text}");
        assert_eq!(name.instance(), instance, "{text}");
        assert_eq!(name.is_template(), is_template, "{text}");
    }
}

#[test]
fn names_are_checked_when_deserialised() {
    let name: UnitName = serde_json::from_str(r#""foo@1.service""#).expect("valid");
    assert_eq!(serde_json::to_string(&name).expect("a string"), r#""foo@1.service""#);
    let error = serde_json::from_str::<UnitName>(r#""../etc.service""#).expect_err("not a name");
    assert!(error.to_string().contains("invalid character '/' in unit name"), "{error}");
}
