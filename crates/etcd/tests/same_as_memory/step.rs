//! The steps that a sequence is made of.
//!
//! Revisions and leases are named by where they stand, not by their numbers, so that a step means the
//! same on both stores, and still means something when steps before it are left out.

use std::time::Duration;

use fleet_store::{Key, MAX_TXN_OPS, Range};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// How far back, and ahead of the newest, revisions are named.
pub(crate) const BACK: u8 = 12;
const AHEAD: u8 = 3;
/// Few keys, so that steps meet; among them the odd ones.
const KEYS: &[&str] = &["/a", "/a/1", "/a/2", "/b/1"];
const ODD_KEYS: &[&str] = &["/a/", "/a/1\0", "/a/2/3", "/b/ä", "/c\u{10ffff}"];
const PREFIXES: &[&str] = &["/", "/a", "/a/", "/a/2", "/b/", "/c", "/c\u{10ffff}", "/d"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit {
        compare: Vec<Condition>,
        then: Vec<Write>,
    },
    /// About as many comparisons of nothing, or deletions of it, as a transaction holds.
    Many {
        comparisons: usize,
        deletions: usize,
    },
    Read {
        ranges: Vec<Range>,
        at: Option<When>,
    },
    /// Reads all of a prefix in pages of so many keys.
    Pages {
        prefix: Key,
        limit: usize,
        at: Option<When>,
    },
    /// Watches from a revision on; what it tells is compared until the sequence ends.
    Watch {
        ranges: Vec<Range>,
        from: When,
    },
    Grant(Duration),
    KeepAlive(Which),
    TimeToLive(Which),
    Revoke(Which),
    Compact(When),
    /// Waits until all watches have told everything.
    Settle,
}

/// A revision.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// So many before the newest.
    Back(u8),
    /// So many after it.
    Ahead(u8),
    Exactly(i64),
}

/// A lease.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// One of those that were granted, counted round.
    Granted(usize),
    /// One that never was.
    Never(i64),
}

#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Exists(&'static str),
    Absent(&'static str),
    Changed(&'static str, When),
    Created(&'static str, When),
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put { key: &'static str, value: Vec<u8>, lease: Option<Which> },
    Delete(&'static str),
    DeletePrefix(&'static str),
}

pub(crate) fn sequences() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..30)
}

fn step() -> impl Strategy<Value = Step> {
    let conditions = prop_oneof![3 => Just(vec![]), 2 => vec(condition(), 1..3)];
    let commit =
        (conditions, vec(write(), 0..4)).prop_map(|(compare, then)| Step::Commit { compare, then });
    let about = || prop_oneof![0..2_usize, MAX_TXN_OPS - 1..MAX_TXN_OPS + 2];
    let many = (about(), about())
        .prop_map(|(comparisons, deletions)| Step::Many { comparisons, deletions });
    let read =
        (vec(range(), 0..4), option::of(when())).prop_map(|(ranges, at)| Step::Read { ranges, at });
    let pages = (select(PREFIXES), 1..4_usize, option::of(when()))
        .prop_map(|(prefix, limit, at)| Step::Pages { prefix: prefix.into(), limit, at });
    let watch = (vec(range(), 0..4), from())
        .prop_map(|(ranges, from)| Step::Watch { ranges: apart(ranges), from });
    prop_oneof![
        20 => commit,
        1 => many,
        5 => read,
        2 => pages,
        3 => watch,
        2 => ttl().prop_map(Step::Grant),
        1 => which().prop_map(Step::KeepAlive),
        1 => which().prop_map(Step::TimeToLive),
        3 => which().prop_map(Step::Revoke),
        2 => when().prop_map(Step::Compact),
        1 => Just(Step::Settle),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        key().prop_map(Condition::Exists),
        key().prop_map(Condition::Absent),
        (key(), when()).prop_map(|(key, when)| Condition::Changed(key, when)),
        (key(), when()).prop_map(|(key, when)| Condition::Created(key, when)),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let value = prop_oneof![Just(vec![]), Just(vec![0, 0xff]), (b'0'..=b'9').prop_map(|b| vec![b])];
    prop_oneof![
        6 => (key(), value, option::of(which()))
            .prop_map(|(key, value, lease)| Write::Put { key, value, lease }),
        2 => key().prop_map(Write::Delete),
        1 => prefix().prop_map(Write::DeletePrefix),
    ]
}

/// A key; seldom none at all.
fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![40 => select(KEYS), 20 => select(ODD_KEYS), 1 => Just("")]
}

fn prefix() -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => select(PREFIXES), 1 => Just("")]
}

/// Ranges of all shapes; seldom one that ends before it begins.
fn range() -> impl Strategy<Value = Range> {
    let shape = prop_oneof![
        8 => key().prop_map(|key| Range::key(key.into())),
        8 => prefix().prop_map(|prefix| Range::prefix(&prefix.into())),
        4 => (select(PREFIXES), key())
            .prop_map(|(prefix, key)| Range::prefix_after(&prefix.into(), &key.into())),
        1 => Just(Range { start: "/b".into(), end: Some("/a".into()), limit: 0 }),
    ];
    (shape, 0..4_usize).prop_map(|(range, limit)| range.limit(limit))
}

/// Those of `ranges` that share no key with one before: a watch may tell what is in two twice.
fn apart(ranges: Vec<Range>) -> Vec<Range> {
    let mut apart: Vec<Range> = Vec::new();
    for range in ranges {
        if !apart.iter().any(|one| one.contains(&range.start) || range.contains(&one.start)) {
            apart.push(range);
        }
    }
    apart
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        20 => (0..=BACK).prop_map(When::Back),
        2 => (1..=AHEAD).prop_map(When::Ahead),
        1 => (-1..=1_i64).prop_map(When::Exactly),
    ]
}

/// Where a watch begins. etcd takes its time with one that begins in the past.
fn from() -> impl Strategy<Value = When> {
    prop_oneof![
        6 => (1..=AHEAD).prop_map(When::Ahead),
        4 => when(),
    ]
}

/// None that would run out while a sequence lasts.
fn ttl() -> impl Strategy<Value = Duration> {
    const LONGEST: u64 = 9_000_000_000;
    prop_oneof![
        6 => select(vec![60_000, 90_001, 599_999]).prop_map(Duration::from_millis),
        1 => select(vec![LONGEST, LONGEST + 1, u64::MAX]).prop_map(Duration::from_secs),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        20 => (0..3_usize).prop_map(Which::Granted),
        1 => select(vec![-1, 0, 0x0bad]).prop_map(Which::Never),
    ]
}
