//! Matching in time linear in the length of the name.
//!
//! A pattern is cut at its runs. What is before the first run must begin the name, what is behind the
//! last must end it, and each piece between two is looked for from left to right, no further than the
//! next `/`: as in the original the first place where it is found is the one that counts. Plain texts
//! are found by the standard library, others by a bit for each of their places that is open.

use std::{collections::BTreeMap, sync::OnceLock};

use super::Token;

/// The places that a table has bits for: as many as a unit's name has bytes at most, so that a
/// longer piece matches none.
const PLACES: usize = 256;

/// A bit for each place.
type Bits = [u64; PLACES / 64];

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The bytes that a name has at least.
    least: usize,
    first: Piece,
    middle: Vec<Finder>,
    /// What is behind the last run; nothing where there is none.
    last: Option<Piece>,
}

/// What matches at one end of a name.
#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Tokens(Box<[Token]>),
}

/// What is looked for.
#[derive(Clone, Debug)]
enum Finder {
    Text(Box<str>),
    /// With a table that is made when it is needed first: most names are told apart before.
    Table(Box<[Token]>, OnceLock<Table>),
    /// Too long to match the name of a unit.
    Tokens(Box<[Token]>),
}

impl Shape {
    pub(super) fn of(tokens: &[Token]) -> Self {
        let least = tokens.iter().map(|token| match token {
            Token::AnyRun => 0,
            Token::AnyOne | Token::Class { .. } => 1,
            Token::Literal(c) => c.len_utf8(),
        });
        let mut pieces = tokens.split(|token| *token == Token::AnyRun);
        let first = Piece::of(pieces.next().unwrap_or_default());
        let last = pieces.next_back().map(Piece::of);
        let middle = pieces.filter(|piece| !piece.is_empty()).map(Finder::of).collect();
        Self { least: least.sum(), first, middle, last }
    }

    pub(super) fn literal_prefix(&self) -> String {
        let literal = |token: &Token| match token {
            Token::Literal(c) => Some(*c),
            Token::AnyRun | Token::AnyOne | Token::Class { .. } => None,
        };
        match &self.first {
            Piece::Text(text) => text.to_string(),
            Piece::Tokens(tokens) => tokens.iter().map_while(literal).collect(),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        if name.len() < self.least {
            return false;
        }
        let Some(mut rest) = self.first.after(name) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        for finder in &self.middle {
            let Some((from, to)) = finder.find(rest) else { return false };
            if rest[..from].contains('/') {
                return false;
            }
            rest = &rest[to..];
        }
        last.before(rest).is_some_and(|run| !run.contains('/'))
    }
}

/// The text of tokens that are nothing else.
fn plain(tokens: &[Token]) -> Option<Box<str>> {
    let literal = |token: &Token| match token {
        Token::Literal(c) => Some(*c),
        Token::AnyRun | Token::AnyOne | Token::Class { .. } => None,
    };
    tokens.iter().map(literal).collect::<Option<String>>().map(Into::into)
}

impl Piece {
    fn of(tokens: &[Token]) -> Self {
        plain(tokens).map_or_else(|| Self::Tokens(tokens.into()), Self::Text)
    }

    /// What follows it in a text that begins with it.
    fn after<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => text.strip_prefix(&**piece),
            Self::Tokens(tokens) => {
                let mut chars = text.chars();
                let is_met = |token: &Token| chars.next().is_some_and(|c| token.accepts(c));
                tokens.iter().all(is_met).then_some(chars.as_str())
            }
        }
    }

    /// What precedes it in a text that ends with it.
    fn before<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => text.strip_suffix(&**piece),
            Self::Tokens(tokens) => {
                let mut chars = text.chars();
                let is_met = |token: &Token| chars.next_back().is_some_and(|c| token.accepts(c));
                tokens.iter().rev().all(is_met).then_some(chars.as_str())
            }
        }
    }
}

impl Finder {
    fn of(tokens: &[Token]) -> Self {
        match plain(tokens) {
            Some(text) => Self::Text(text),
            None if tokens.len() <= PLACES => Self::Table(tokens.into(), OnceLock::new()),
            None => Self::Tokens(tokens.into()),
        }
    }

    /// Where the first match in `text` begins and ends.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::Text(piece) => text.find(&**piece).map(|at| (at, at + piece.len())),
            Self::Table(tokens, table) => table.get_or_init(|| Table::of(tokens)).find(text),
            Self::Tokens(tokens) => {
                let piece = Piece::Tokens(tokens.clone());
                text.char_indices().find_map(|(at, _)| {
                    let rest = piece.after(&text[at..])?;
                    Some((at, text.len() - rest.len()))
                })
            }
        }
    }
}

/// Which places accept a character, for all ranges of characters that are told apart.
#[derive(Clone, Debug)]
struct Table {
    places: usize,
    /// Where each range begins, and which of the sets is its.
    ranges: Box<[(u32, u32)]>,
    sets: Box<[Bits]>,
}

impl Table {
    fn of(tokens: &[Token]) -> Self {
        let mut changes: Vec<(u32, usize)> = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            for (low, beyond) in accepted(token) {
                changes.extend([(low, place), (beyond, place)]);
            }
        }
        changes.sort_unstable();
        let (mut ranges, mut sets) = (vec![(0, 0)], BTreeMap::from([(Bits::default(), 0)]));
        let mut open = Bits::default();
        for change in changes.chunk_by(|one, other| one.0 == other.0) {
            for (_, place) in change {
                open[place / 64] ^= 1 << (place % 64);
            }
            let next = u32::try_from(sets.len()).unwrap_or(u32::MAX);
            ranges.push((change[0].0, *sets.entry(open).or_insert(next)));
        }
        let mut by_number: Vec<(u32, Bits)> = sets.into_iter().map(|(set, n)| (n, set)).collect();
        by_number.sort_unstable();
        let sets = by_number.into_iter().map(|(_, set)| set).collect();
        Self { places: tokens.len(), ranges: ranges.into(), sets }
    }

    fn find(&self, text: &str) -> Option<(usize, usize)> {
        let last = self.places - 1;
        let mut open = Bits::default();
        for (at, c) in text.char_indices() {
            let accepting = self.accepting(c);
            // Each place that was met opens the next one; the first is always open.
            let mut carry = 1;
            for (open, accepting) in open.iter_mut().zip(accepting) {
                let moved = *open << 1 | carry;
                carry = *open >> 63;
                *open = moved & accepting;
            }
            if open[last / 64] >> (last % 64) & 1 == 1 {
                let end = at + c.len_utf8();
                let begin = text[..end].char_indices().rev().nth(last);
                return begin.map(|(begin, _)| (begin, end));
            }
        }
        None
    }

    fn accepting(&self, c: char) -> &Bits {
        let behind = self.ranges.partition_point(|(low, _)| *low <= u32::from(c));
        let (_, set) = self.ranges[behind.saturating_sub(1)];
        &self.sets[set as usize]
    }
}

/// What lies behind the last character.
const BEYOND: u32 = char::MAX as u32 + 1;

/// The characters that a token accepts: ranges that don't touch, each up to what is beyond it.
fn accepted(token: &Token) -> Vec<(u32, u32)> {
    let range = |low: char, high: char| (u32::from(low), u32::from(high) + 1);
    match token {
        Token::Literal(c) => vec![range(*c, *c)],
        Token::AnyRun | Token::AnyOne => all_but(&[range('/', '/')]),
        Token::Class { negated, ranges } => {
            let mut ranges: Vec<(u32, u32)> =
                ranges.iter().filter(|(low, high)| low <= high).map(|r| range(r.0, r.1)).collect();
            ranges.sort_unstable();
            let merged = ranges.into_iter().fold(Vec::<(u32, u32)>::new(), |mut merged, next| {
                match merged.last_mut() {
                    Some(last) if next.0 <= last.1 => last.1 = last.1.max(next.1),
                    _ => merged.push(next),
                }
                merged
            });
            if *negated { all_but(&merged) } else { merged }
        }
    }
}

/// What is between ranges that are in order.
fn all_but(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let begins = [0].into_iter().chain(ranges.iter().map(|range| range.1));
    let ends = ranges.iter().map(|range| range.0).chain([BEYOND]);
    begins.zip(ends).filter(|(begin, end)| begin < end).collect()
}
