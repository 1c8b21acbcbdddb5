//! No input from strangers panics: names, files, options, patterns (`units.md` 1 to 5).

use fleet_core::{FleetOptions, MachineId, Pattern, UnitFile, UnitHash, UnitName};
use fleet_testkit::any_unit_name;
use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces that mean something to the lexer.
const PIECES: &[&str] = &[
    "[",
    "]",
    "=",
    "#",
    ";",
    "\\",
    "\n",
    "\r",
    "\r\n",
    " ",
    "\t",
    "\u{a0}",
    "\u{feff}",
    "[A]\n",
    "[X-Fleet]\n",
    "B=c\n",
    "\\\n",
    "\\ \n",
    "\\\n# c \\\n",
    "\0",
    "\"",
    "é",
    "text",
];

/// Texts that come far in the lexer.
fn unit_like() -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn bytes_never_panic(text in vec(any::<u8>(), 0..200)) {
        let _ = UnitFile::parse(&text);
        let _ = UnitFile::parse_stored(&text);
    }

    #[test]
    fn errors_name_a_line_that_exists(text in unit_like()) {
        if let Err(error) = UnitFile::parse(text.as_bytes()) {
            let lines = text.matches('\n').count() + 1;
            prop_assert!((1..=lines).contains(&error.line()), "{error}");
        }
    }

    /// `S(P(S(P(x)))) = S(P(x))`, but for a backslash at the end, which adds a newline once
    /// (`units.md` 2).
    #[test]
    fn what_lexes_lexes_again_as_serialised(text in unit_like()) {
        let Ok(file) = UnitFile::parse(text.as_bytes()) else { return Ok(()) };
        let again = UnitFile::parse_stored(file.to_text().as_bytes());
        let odd = file.options().iter().any(|option| option.value.ends_with('\\'));
        if !odd {
            let again = again.expect("what was serialised lexes");
            prop_assert_eq!(again.to_text(), file.to_text());
            prop_assert_eq!(again.hash(), file.hash());
        }
    }

    /// systemd reads in what we serialise the options that we lexed, and nothing else.
    #[test]
    fn systemd_reads_what_was_lexed(text in unit_like()) {
        let Ok(file) = UnitFile::parse(text.as_bytes()) else { return Ok(()) };
        let odd = file.options().iter().any(|option| {
            option.value.ends_with('\\') || option.name.starts_with('\u{feff}')
        });
        if !odd {
            prop_assert_eq!(file.check_reading(), Ok(()), "{:?}", file.to_text());
        }
    }

    #[test]
    fn what_is_stored_by_our_rules_is_read_by_them(text in unit_like()) {
        let Ok(file) = UnitFile::parse(text.as_bytes()) else { return Ok(()) };
        let again = UnitFile::parse(file.to_text().as_bytes());
        if again.as_ref() == Ok(&file) {
            prop_assert_eq!(UnitFile::parse_stored(file.to_text().as_bytes()), again);
        }
    }

    #[test]
    fn accessors_and_warnings_never_panic(text in unit_like(), name in any_unit_name()) {
        if let Ok(file) = UnitFile::parse(text.as_bytes()) {
            let _ = (file.description(), file.has_install());
            let options = file.fleet_options();
            let _ = (options.warnings(), options.requirements(&name));
        }
    }

    #[test]
    fn requirements_of_anything_are_made_of_non_empty_elements(
        options in vec((select(&["MachineID", "MachineOf", "Conflicts", "Replaces", "Global",
            "MachineMetadata", "X-Conflicts"][..]), "[ab\"=%ni\\\\ \n\t*]{0,12}"), 0..5),
        name in any_unit_name(),
    ) {
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value));
        let requirements = FleetOptions(options.collect()).requirements(&name);
        let blank = |word: &str| word.is_empty() || word.contains(char::is_whitespace);
        prop_assert!(!requirements.peers.iter().any(|peer| blank(peer)));
        prop_assert!(!requirements.conflicts.iter().any(|pattern| blank(pattern.as_str())));
        prop_assert!(!requirements.replaces.iter().any(|pattern| blank(pattern.as_str())));
        prop_assert_ne!(requirements.machine.as_deref(), Some(""));
        prop_assert!(requirements.metadata.values().flatten().all(|value| !value.is_empty()));
    }

    #[test]
    fn names_ids_and_hashes_never_panic(text in any::<String>()) {
        let _ = text.parse::<UnitHash>();
        let _ = text.parse::<MachineId>().map(|id| id.short().len());
        let _ = text.parse::<UnitName>();
    }

    #[test]
    fn names_are_put_together_from_their_parts(text in r"[a-c@.:\\-]{0,12}\.(service|mount)") {
        let Ok(name) = text.parse::<UnitName>() else { return Ok(()) };
        prop_assert_eq!(format!("{}.{}", name.stem(), name.unit_type()), text);
        let instance = name.instance().unwrap_or_default();
        match name.template() {
            Some(template) => {
                prop_assert!(template.is_template());
                prop_assert_eq!(template.as_str().parse::<UnitName>(), Ok(template.clone()));
                prop_assert_eq!(format!("{}@{instance}", name.prefix()), name.stem());
                prop_assert_eq!(name.is_template(), name == template);
            }
            None => {
                prop_assert_eq!(name.prefix(), name.stem());
                prop_assert!(instance.is_empty() && !name.is_template());
            }
        }
    }

    #[test]
    fn patterns_never_panic(pattern in any::<String>(), name in any::<String>()) {
        let _ = Pattern::new(pattern).matches(&name);
    }

    #[test]
    fn text_with_everything_escaped_matches_itself_only(name in any::<String>(), other in any::<String>()) {
        let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
        let pattern = Pattern::new(escaped);
        prop_assert!(pattern.matches(&name));
        prop_assert_eq!(pattern.matches(&other), name == other);
    }

    /// Against a matcher that tries everything; without `/`, at which a run stops for good.
    #[test]
    fn patterns_match_what_the_definition_says(pattern in "[ab*?]{0,8}", name in "[abc]{0,8}") {
        let expected = by_definition(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(Pattern::new(pattern).matches(&name), expected);
    }
}

/// Matches `*` and `?` by trying every length of every run.
fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|run| by_definition(rest, &name[run..])),
        Some((c, rest)) => name
            .split_first()
            .is_some_and(|(n, name)| (*c == b'?' || c == n) && by_definition(rest, name)),
    }
}
