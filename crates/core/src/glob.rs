//! The shell-style patterns of `Conflicts` and `Replaces` (`units.md` 5.7).

use std::{
    hash::{Hash, Hasher},
    iter::Peekable,
    str::Chars,
};

/// A pattern. A malformed one is kept and never matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// What to match, in order; nothing when the text is malformed.
    tokens: Option<Vec<Token>>,
}

/// One construct of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// `*`: any run of characters other than `/`.
    AnyRun,
    /// `?`: one character other than `/`.
    AnyOne,
    /// The character itself.
    Literal(char),
    /// `[…]`: one character that is in one of the ranges, or in none when negated.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Takes any text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let tokens = tokens(&text);
        Self { text, tokens }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the text is malformed, so that the pattern matches nothing.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.tokens.is_none()
    }

    /// What every name that matches begins with.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        let literal = |token: &Token| match token {
            Token::Literal(c) => Some(*c),
            Token::AnyRun | Token::AnyOne | Token::Class { .. } => None,
        };
        self.tokens.iter().flatten().map_while(literal).collect()
    }

    /// The only name that matches, when the text is one and nothing else: no construct of patterns.
    #[must_use]
    pub fn as_name(&self) -> Option<&str> {
        (!self.text.contains(['*', '?', '[', '\\'])).then_some(&*self.text)
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| matches(tokens, name))
    }
}

/// Matches from left to right. On a mismatch only the last run is made longer, as the original
/// does it, so the cost is at most the product of the lengths.
fn matches(tokens: &[Token], name: &str) -> bool {
    let mut tokens = tokens;
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

impl Token {
    /// Whether this one token matches `c`.
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::AnyRun | Self::AnyOne => c != '/',
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != *negated
            }
        }
    }
}

/// Cuts a pattern into tokens; nothing when it is malformed.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let token = match c {
            '*' => Token::AnyRun,
            '?' => Token::AnyOne,
            '[' => class(&mut chars)?,
            '\\' => Token::Literal(chars.next()?),
            other => Token::Literal(other),
        };
        tokens.push(token);
    }
    Some(tokens)
}

/// Reads a class from behind its `[` up to and including its `]`.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = class_member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_member(chars)? } else { low };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

/// Reads one end of a range. `-` and `]` are members only behind a backslash.
fn class_member(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
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
            "[", "foo[", "*[", "[]", "[^]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", r"foo\",
            "[^", "[a", "[a-", r"[a\", r"[a-\",
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
}
