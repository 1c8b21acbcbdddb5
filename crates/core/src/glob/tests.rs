//! The vectors of `units.md` 5.7, and that compiling changes nothing.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

#[test]
fn patterns_match_as_in_the_original() {
    for (pattern, name, expected) in [
        ("*", "foo.service", true),
        ("*", "a/b", false),
        ("*.service", ".service", true),
        ("foo@*.service", "foo@.service", true),
        ("foo@?.service", "foo@12.service", false),
        ("foo@?.service", "foo@é.service", true),
        ("foo@[a-c].service", "foo@b.service", true),
        ("foo@[^a].service", "foo@b.service", true),
        ("{a,b}.service", "a.service", false),
        ("{a,b}.service", "{a,b}.service", true),
        ("", "", true),
        ("", "a", false),
        ("foo@[!a].service", "foo@b.service", false),
        ("foo@[!a].service", "foo@!.service", true),
        ("[^a]", "/", true),
        ("[.-0]", "/", true),
        ("?", "/", false),
        (r"foo\*", "foo*", true),
        (r"foo\*", "foobar", false),
        (r"foo\x2dbar.mount", r"foo\x2dbar.mount", false),
        (r"foo\x2dbar.mount", "foox2dbar.mount", true),
        (r"foo\\x2dbar.mount", r"foo\x2dbar.mount", true),
        ("[c-a]", "b", false),
        ("[^c-a]", "b", true),
        ("FOO.service", "foo.service", false),
        ("**", "foo", true),
        ("a**b", "axb", true),
        ("**", "a/b", false),
        ("*/*", "a/b", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*ab", "aab", true),
        ("*ab", "abb", false),
        (r"[\]\-]", "]", true),
        (r"[\]\-]", "-", true),
        (r"[\]\-]", r"\", false),
        (r"[a-\c]", "b", true),
        ("[a^]", "^", true),
        ("[^^]", "^", false),
        ("[^^]", "a", true),
        ("[[]", "[", true),
        ("[a*]", "*", true),
        ("a]", "a]", true),
        ("a-b", "a-b", true),
    ] {
        assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern:?} {name:?}");
    }
}

#[test]
fn a_pattern_without_constructs_is_a_name() {
    for text in ["a.service", "", "a]", "{a,b}", "[^", "a*", "a?", "[a]", r"\a", "foo["] {
        let pattern = Pattern::new(text);
        let expected = (!text.contains(['*', '?', '[', '\\'])).then_some(text);
        assert_eq!(pattern.as_name(), expected);
        assert!(expected.is_none_or(|name| pattern.matches(name)), "{text}");
    }
}

#[test]
fn malformed_patterns_match_nothing() {
    for text in [
        "[", "foo[", "*[", "[]", "[^]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", r"foo\", "[^",
        "[a", "[a-", r"[a\", r"[a-\",
    ] {
        let pattern = Pattern::new(text);
        assert!(pattern.is_malformed(), "{text}");
        for name in ["", "a", "x", "-", "foo", "foo[", "[", "]", text] {
            assert!(!pattern.matches(name), "{text} {name}");
        }
    }
    assert!(!Pattern::new("*").is_malformed());
}

#[test]
fn names_that_match_begin_with_the_literal_prefix() {
    for (pattern, prefix) in [
        ("web@*.service", "web@"),
        ("web.service", "web.service"),
        (r"we\*b?", "we*b"),
        ("[w]eb", ""),
        ("*", ""),
        ("web[", ""),
    ] {
        assert_eq!(Pattern::new(pattern).literal_prefix(), prefix, "{pattern}");
    }
}

#[test]
fn nasty_pattern_ends_soon() {
    // Trying every split of the runs would take longer than anyone waits.
    let pattern = Pattern::new("a*".repeat(200) + "b");
    assert!(!pattern.matches(&"a".repeat(2000)));
}

#[test]
fn patterns_are_told_apart_and_sorted_by_text() {
    let mut patterns = ["b", "*", "a["].map(Pattern::new);
    patterns.sort();
    assert_eq!(patterns.each_ref().map(Pattern::as_str), ["*", "a[", "b"]);
    assert_ne!(Pattern::new("*"), Pattern::new("**"));
}

/// Matches as the original does it, token by token: on a mismatch only the last run is made longer.
fn matches_token_by_token(text: &str, name: &str) -> bool {
    let Some(tokens) = tokens(text) else { return false };
    let mut tokens = &tokens[..];
    let mut rest = name.chars();
    // What follows the last run, and where in the name it was last tried.
    let mut run: Option<(&[Token], Chars<'_>)> = None;
    loop {
        match tokens.split_first() {
            Some((Token::AnyRun, after)) => {
                tokens = after;
                run = Some((after, rest.clone()));
                continue;
            }
            Some((token, after)) => {
                let mut next = rest.clone();
                if next.next().is_some_and(|c| token.accepts(c)) {
                    tokens = after;
                    rest = next;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after, tried)) = &mut run else { return false };
        if tried.next().is_none_or(|c| c == '/') {
            return false;
        }
        tokens = after;
        rest = tried.clone();
    }
}

/// Pieces that meet each other often.
const PIECES: [&str; 22] = [
    "a", "b", "ab", "é", "/", "-", "*", "*", "?", "?", "[ab]", "[^a]", "[a-c]", "[c-a]", "[^c-a]",
    "[.-0]", r"[\]\-]", r"\*", r"\\", "[é-ü]", "[^/]", "[",
];

fn any_name() -> impl Strategy<Value = String> {
    let pieces = vec(select(&["a", "b", "é", "/", "-", "*", "c", "ü", "\\"][..]), 0..12);
    pieces.prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn compiled_patterns_match_what_the_original_matches(
        pieces in vec(select(&PIECES[..]), 0..9),
        name in any_name(),
    ) {
        let text = pieces.concat();
        let expected = matches_token_by_token(&text, &name);
        prop_assert_eq!(Pattern::new(&*text).matches(&name), expected, "{} {}", text, name);
    }

    #[test]
    fn a_name_with_holes_matches_as_in_the_original(
        name in any_name(),
        holes in vec(select(&["?", "*", "[^x]", "[a-é]", ""][..]), 0..12),
    ) {
        // Most random patterns match nothing; this one comes from the name.
        let mut holes = holes.into_iter();
        let hole = |c: char| match holes.next() {
            Some("") | None => c.to_string().replace(['*', '\\'], "?"),
            Some(hole) => hole.to_owned(),
        };
        let text: String = name.chars().map(hole).collect();
        let expected = matches_token_by_token(&text, &name);
        prop_assert_eq!(Pattern::new(&*text).matches(&name), expected, "{} {}", text, name);
    }
}

#[test]
fn long_segments_match_as_short_ones_do() {
    for length in [64, 65, 255, 256, 257, 400] {
        let (hole, name) = ("?".repeat(length - 1), "a".repeat(length - 1));
        let pattern = Pattern::new(format!("*{hole}b*"));
        assert!(pattern.matches(&format!("xx{name}byy")), "{length}");
        assert!(!pattern.matches(&format!("xx{name}ayy")), "{length}");
    }
}

#[test]
fn patterns_made_to_be_slow_take_their_time_once() {
    // Each would take some 30,000 steps a name if it were tried at every place.
    let name = "a".repeat(255);
    let patterns: Vec<Pattern> =
        ["a", "?", "[a-z]"].map(|piece| Pattern::new(format!("*{}b*", piece.repeat(128)))).to_vec();
    let matched = (0..500).flat_map(|_| &patterns).filter(|p| p.matches(&name)).count();
    assert_eq!(matched, 0);
}
