//! Patterns against a matcher that knows nothing of how ours works: it tries everything.

use fleet_core::Pattern;
use fleet_testkit::Fuzz;

/// A pattern, and behind it a name.
const PAIRS: [&str; 12] = [
    "*\nfoo.service",
    "*.service\n.service",
    "foo@?.service\nfoo@é.service",
    "foo@[a-c].service\nfoo@b.service",
    "foo@[^a].service\nfoo@b.service",
    "foo@[!a].service\nfoo@!.service",
    "foo\\*\nfoo*",
    "foo\\\\x2dbar.mount\nfoo\\x2dbar.mount",
    "a*b?c*[^-]\nazzbbcxcd",
    "*[c-a]*\nabc",
    "[\\]\\-a-z]*x*\nbyxxz",
    "[a-b-c]\nb",
];
const WORDS: [&str; 20] = [
    "*",
    "?",
    "[",
    "]",
    "[^",
    "-",
    "\\",
    "[a-z]",
    "[^a]",
    "a",
    "b",
    "ab",
    "é",
    "/",
    "\n",
    "!",
    "[]",
    "[-a]",
    "**",
    "\u{10ffff}",
];
/// Trying everything takes its time.
const LONGEST: usize = 400;

#[test]
fn fuzz_globs() {
    Fuzz::new("globs").like(PAIRS).of_words(WORDS).run(|input| {
        let text = String::from_utf8_lossy(input);
        let (pattern, name) = text.split_once('\n').unwrap_or((&text, "foo.service"));
        glob(pattern, name);
        // Whatever the text is: it matches itself when its odd characters are escaped.
        let escaped: String = name.chars().flat_map(|letter| ['\\', letter]).collect();
        assert!(Pattern::new(escaped).matches(name), "escaped it is itself");
    });
}

fn glob(text: &str, name: &str) {
    let pattern = Pattern::new(text);
    let matches = pattern.matches(name);
    if matches {
        assert!(name.starts_with(&pattern.literal_prefix()), "{}", pattern.literal_prefix());
    }
    if let Some(only) = pattern.as_name() {
        assert_eq!(matches, name == only);
    }
    if text.len() > LONGEST || name.len() > LONGEST {
        return;
    }
    let (letters, name): (Vec<char>, Vec<char>) = (text.chars().collect(), name.chars().collect());
    let units = units(&letters);
    assert_eq!(pattern.is_malformed(), units.is_none());
    let expected = units.is_some_and(|units| matches_somehow(&units, &name));
    if name.contains(&'/') {
        // There the first place of a piece counts, though another might do.
        assert!(expected || !matches, "nothing matches that");
    } else {
        assert_eq!(matches, expected);
    }
}

/// What stands for one character, or for any run of them.
enum Unit<'a> {
    Run,
    One(&'a [char]),
}

/// Cuts a pattern where its constructs end; `None` when it is malformed.
fn units(mut pattern: &[char]) -> Option<Vec<Unit<'_>>> {
    let mut units = Vec::new();
    while let Some(first) = pattern.first() {
        let length = match first {
            '[' => class_length(pattern)?,
            '\\' if pattern.len() == 1 => return None,
            '\\' => 2,
            _ => 1,
        };
        let (unit, rest) = pattern.split_at(length);
        units.push(if *first == '*' { Unit::Run } else { Unit::One(unit) });
        pattern = rest;
    }
    Some(units)
}

/// How long the class at the beginning is.
fn class_length(pattern: &[char]) -> Option<usize> {
    let mut at = if pattern.get(1) == Some(&'^') { 2 } else { 1 };
    let first = at;
    while at == first || pattern.get(at) != Some(&']') {
        at += member_length(&pattern[at..])?;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            at += member_length(&pattern[at..])?;
        }
    }
    Some(at + 1)
}

fn member_length(text: &[char]) -> Option<usize> {
    match text {
        [] | ['-' | ']', ..] | ['\\'] => None,
        ['\\', ..] => Some(2),
        _ => Some(1),
    }
}

/// By a table of which beginnings of the name the units so far can be.
fn matches_somehow(units: &[Unit<'_>], name: &[char]) -> bool {
    let mut reached: Vec<bool> = (0..=name.len()).map(|at| at == 0).collect();
    for unit in units {
        let mut next = vec![false; name.len() + 1];
        match unit {
            Unit::Run => {
                for at in 0..=name.len() {
                    next[at] = reached[at] || (at > 0 && next[at - 1] && name[at - 1] != '/');
                }
            }
            Unit::One(one) => {
                for at in 0..name.len() {
                    next[at + 1] = reached[at] && is_one(one, name[at]);
                }
            }
        }
        reached = next;
    }
    reached[name.len()]
}

fn is_one(unit: &[char], letter: char) -> bool {
    match unit {
        ['?'] => letter != '/',
        ['[', '^', members @ .., ']'] => !is_member(members, letter),
        ['[', members @ .., ']'] => is_member(members, letter),
        ['\\', meant] => letter == *meant,
        [meant] => letter == *meant,
        _ => unreachable!("units are cut so"),
    }
}

fn is_member(members: &[char], letter: char) -> bool {
    let mut members = members.iter().peekable();
    let mut found = false;
    while let Some(first) = members.next() {
        let low = if *first == '\\' { members.next().unwrap() } else { first };
        let high = match members.next_if_eq(&&'-').and_then(|_| members.next()) {
            Some('\\') => members.next().unwrap(),
            Some(high) => high,
            None => low,
        };
        found |= (*low..=*high).contains(&letter);
    }
    found
}
