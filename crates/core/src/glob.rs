//! The shell-style patterns of `Conflicts` and `Replaces` (`units.md` 5.7).

use std::{
    hash::{Hash, Hasher},
    iter::Peekable,
    str::Chars,
};

mod matching;

use matching::Shape;

/// A pattern. A malformed one is kept and never matches.
///
/// It is compiled once; matching takes time that is linear in the length of the name.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// What to match; nothing when the text is malformed.
    shape: Option<Shape>,
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
        let shape = tokens(&text).map(|tokens| Shape::of(&tokens));
        Self { text, shape }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the text is malformed, so that the pattern matches nothing.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.shape.is_none()
    }

    /// What every name that matches begins with.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        self.shape.as_ref().map(Shape::literal_prefix).unwrap_or_default()
    }

    /// The only name that matches, when the text is one and nothing else: no construct of patterns.
    #[must_use]
    pub fn as_name(&self) -> Option<&str> {
        (!self.text.contains(['*', '?', '[', '\\'])).then_some(&*self.text)
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.matches(name))
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
mod tests;
