//! A row per arrow of the drawing, and what holds whatever happens.

use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;

const TTL: Duration = Duration::from_secs(30);

fn id(text: &str) -> MachineId {
    text.parse().unwrap()
}

fn ids(text: &str) -> BTreeSet<MachineId> {
    text.split_whitespace().map(id).collect()
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// What happens at a time: who is present, who has units by the records, who is missing then and
/// what is told.
type Row<'a> = (f64, &'a str, &'a str, &'a str, Option<News>);

fn check(what: &str, rows: &[Row<'_>]) {
    let (mut roll, start) = (Roll::new(TTL), Instant::now());
    for (at, present, placed, missing, news) in rows {
        let (now, present, placed) = (start + secs(*at), ids(present), ids(placed));
        let told = roll.call(now, present.iter(), placed.iter());
        assert_eq!(told, *news, "{what}, at {at}");
        assert_eq!(roll.missing(now), ids(missing), "{what}, at {at}");
    }
}

const fn braked(lost: usize, of: usize) -> Option<News> {
    Some(News::Braked { lost, of })
}

const fn released(dead: usize) -> Option<News> {
    Some(News::Released { dead })
}

#[tokio::test(start_paused = true)]
async fn table() {
    check(
        "one of many dies",
        &[
            (0.0, "a b c", "a b c", "", None),
            (9.0, "b c", "a b c", "a", None),
            (9.29, "b c", "a b c", "a", None),
            (9.3, "b c", "a b c", "", None),
        ],
    );
    check(
        "one is back in time, and is lost again",
        &[
            (0.0, "a b c", "a", "", None),
            (1.0, "b c", "a", "a", None),
            (1.2, "a b c", "a", "", None),
            (1.25, "b c", "a", "a", None),
            (1.5, "b c", "a", "a", None),
            (1.55, "b c", "a", "", None),
        ],
    );
    check(
        "one of two, two of two: too few to tell a share",
        &[(0.0, "a b", "a b", "", None), (1.0, "", "a b", "a b", None), (1.3, "", "a b", "", None)],
    );
    check(
        "all of five at once, four return, the fifth is dead a ttl after the last",
        &[
            (0.0, "a b c d e", "a b c d e", "", None),
            (1.0, "", "a b c d e", "a b c d e", braked(5, 5)),
            (2.0, "a b", "a b c d e", "c d e", None),
            (20.0, "a b c", "a b c d e", "d e", None),
            (45.0, "a b c d", "a b c d e", "e", None),
            (74.9, "a b c d", "a b c d e", "e", None),
            (75.0, "a b c d", "a b c d e", "", released(1)),
        ],
    );
    check(
        "all of five at once, and all return",
        &[
            (0.0, "a b c d e", "a b c d e", "", None),
            (1.0, "", "a b c d e", "a b c d e", braked(5, 5)),
            (1.1, "a b c d e", "a b c d e", "", released(0)),
            (5.0, "b c d e", "a b c d e", "a", None),
            (5.3, "b c d e", "a b c d e", "", None),
        ],
    );
    check(
        "two of three, one after the other, and for good",
        &[
            (0.0, "a b c", "a b c", "", None),
            (1.0, "b c", "a b c", "a", None),
            (1.3, "b c", "a b c", "", None),
            (9.0, "c", "b c", "b a", braked(2, 3)),
            (38.9, "c", "b c", "b", None),
            (39.0, "c", "b c", "", released(1)),
            (39.1, "c", "b c", "", None),
        ],
    );
    check(
        "two of three, but more than a ttl apart",
        &[
            (0.0, "a b c", "a b c", "", None),
            (1.0, "b c", "a b c", "a", None),
            (31.0, "c", "b c", "b", None),
            (31.3, "c", "b c", "", None),
        ],
    );
    check(
        "a new leader counts who was there from the records",
        &[
            (0.0, "a", "a b c", "b c", braked(2, 3)),
            (29.9, "a", "a b c", "b c", None),
            (30.0, "a", "a b c", "", released(2)),
        ],
    );
    check(
        "a new leader moves the units of the one that died with the old one",
        &[(0.0, "a b", "a b c", "c", None), (0.3, "a b", "a b c", "", None)],
    );
    check(
        "one that comes and goes doesn't hold up the end of another",
        &[
            (0.0, "a b c", "a b c", "", None),
            (1.0, "a", "a b c", "b c", braked(2, 3)),
            (11.0, "a b", "a b c", "c", None),
            (12.0, "a", "a b c", "b c", None),
            (31.0, "a b", "a b c", "c", None),
            (40.9, "a b", "a b c", "c", None),
            (41.0, "a b", "a b c", "", released(1)),
        ],
    );
    check(
        "after a brake the next loss counts alone",
        &[
            (0.0, "a b c d", "a b c d", "", None),
            (1.0, "c d", "a b c d", "a b", braked(2, 4)),
            (31.0, "c d", "a b c d", "", released(2)),
            (32.0, "d", "a b c d", "c", None),
            (32.3, "d", "a b c d", "", None),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn next_change_is_when_somebody_counts_as_dead() {
    let (mut roll, now) = (Roll::new(TTL), Instant::now());
    roll.call(now, ids("a b c d").iter(), ids("").iter());
    assert_eq!(roll.next_change(now), None);
    roll.call(now, ids("b c d").iter(), ids("").iter());
    assert_eq!(roll.next_change(now), Some(now + MOMENT));
    assert!(!roll.is_braked());
    let later = now + MOMENT;
    roll.call(later, ids("c d").iter(), ids("").iter());
    assert!(roll.is_braked());
    assert_eq!(roll.next_change(later), Some(later + MOMENT));
    assert_eq!(roll.next_change(later + MOMENT), Some(later + TTL));
}

/// What is called, and how long after what was before it.
fn any_calls() -> impl Strategy<Value = Vec<(u64, Vec<&'static str>)>> {
    let present = subsequence(vec!["a", "b", "c", "d", "e"], 0..=5);
    vec((0..12_000_u64, present), 1..30)
}

proptest! {
    /// Whoever is present is not missing, whoever has just gone is, and whoever stays away is dead
    /// in the end: no later than a ttl after the last of the others has returned.
    #[test]
    fn nobody_is_dead_before_a_moment_and_everybody_is_in_the_end(calls in any_calls()) {
        let (mut roll, mut now) = (Roll::new(TTL), Instant::now());
        let placed = ids("a b c d e");
        let mut before = placed.clone();
        for (pause, present) in calls {
            now += Duration::from_millis(pause);
            let present: BTreeSet<MachineId> = present.into_iter().map(id).collect();
            roll.call(now, present.iter(), placed.iter());
            let missing = roll.missing(now);
            prop_assert!(missing.is_disjoint(&present));
            let gone: BTreeSet<MachineId> = before.difference(&present).cloned().collect();
            prop_assert!(missing.is_superset(&gone));
            before = present;
        }
        now += TTL;
        roll.call(now, before.iter(), placed.iter());
        prop_assert_eq!(roll.missing(now), BTreeSet::new());
        prop_assert!(!roll.is_braked());
        prop_assert_eq!(roll.next_change(now), None);
    }
}
