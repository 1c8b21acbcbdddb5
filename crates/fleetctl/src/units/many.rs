//! Work on many units at a time, told of in their order.

use std::{cell::Cell, collections::BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

/// Units that are worked on at a time. Requests wait for a connection beyond that.
pub(crate) const AT_A_TIME: usize = 32;

/// This many units are asked for one by one. For more there is a list of all.
pub(crate) const FEW: usize = 32;

/// The list of a cluster that has so many times as many units is dearer than asking for each.
pub(crate) const LIST_COSTS: usize = 50;

/// Does `work` on each of `items`, many at a time, and returns what came of them in their order; up to
/// the first failure, which is returned as well. After a failure nothing is begun any more, and what
/// was begun is brought to its end: nobody is left wondering what became of it. The results behind the
/// failure are those of what was under way.
pub(crate) async fn in_order<T, R, E>(
    items: impl IntoIterator<Item = T>,
    work: impl AsyncFn(T) -> Result<R, E>,
) -> (Vec<R>, Option<E>) {
    let has_failed = Cell::new(false);
    let (work, has_failed) = (&work, &has_failed);
    let items = items.into_iter().take_while(|_| !has_failed.get());
    let begun = items.map(async |item| {
        let result = work(item).await;
        has_failed.set(has_failed.get() || result.is_err());
        result
    });
    let mut ended = stream::iter(begun).buffered(AT_A_TIME);
    let (mut done, mut failure) = (Vec::new(), None);
    while let Some(result) = ended.next().await {
        match result {
            Ok(result) => done.push(result),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (done, failure)
}

/// The same for work that changes nothing: the first failure ends it at once, and what was found
/// before it is returned too.
pub(crate) async fn looked_up<T, R, E>(
    items: impl IntoIterator<Item = T>,
    look: impl AsyncFn(T) -> Result<R, E>,
) -> (Vec<R>, Option<E>) {
    let look = &look;
    let mut looks = stream::iter(items.into_iter().map(async |item| look(item).await));
    let mut looks = looks.by_ref().buffered(AT_A_TIME);
    let mut found = Vec::new();
    loop {
        match looks.try_next().await {
            Ok(Some(result)) => found.push(result),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// Cuts `items` where one must see what became of an earlier one: it has the same name, or `rests_on`
/// that name.
pub(crate) fn runs<T>(
    items: &[T],
    name: impl Fn(&T) -> &str,
    rests_on: impl Fn(&T) -> Option<String>,
) -> Vec<&[T]> {
    let (mut runs, mut begin, mut names) = (Vec::new(), 0, BTreeSet::new());
    for (place, item) in items.iter().enumerate() {
        let waits = rests_on(item).is_some_and(|other| names.contains(&*other));
        if waits || names.contains(name(item)) {
            runs.push(&items[begin..place]);
            begin = place;
            names.clear();
        }
        names.insert(name(item).to_owned());
    }
    runs.push(&items[begin..]);
    runs
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{self, Duration, Instant};

    use super::*;

    /// Works on so many, of which the tenth fails after so long; says what came of them, and what
    /// was begun.
    async fn work(many: usize, fails_after: u64) -> (Vec<usize>, Option<usize>, usize, Duration) {
        let (start, begun) = (Instant::now(), RefCell::new(0));
        let (done, failure) = in_order(0..many, async |item| {
            *begun.borrow_mut() += 1;
            let late = if item == 9 { fails_after } else { 100 - item as u64 % 7 };
            time::sleep(Duration::from_millis(late)).await;
            if item == 9 { Err(item) } else { Ok(item) }
        })
        .await;
        (done, failure, begun.take(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_ends_and_nothing_is_begun_after_a_failure() {
        let (done, failure, begun, took) = work(8, 0).await;
        assert_eq!((done, failure, begun), ((0..8).collect(), None, 8));
        assert_eq!(took, Duration::from_millis(100), "all at the same time");

        let (done, failure, begun, _) = work(1000, 10).await;
        let all_but_it: Vec<usize> = (0..AT_A_TIME).filter(|item| *item != 9).collect();
        assert_eq!((done, failure, begun), (all_but_it, Some(9), AT_A_TIME));

        let (done, failure, begun, _) = work(1000, 5000).await;
        assert_eq!((done.len() + 1, failure), (begun, Some(9)), "all that were begun are told of");
        assert!(done.is_sorted() && begun < 100);
    }

    #[test]
    fn what_must_see_an_earlier_one_comes_in_a_later_run() {
        let template = |name: &&str| name.contains('@').then(|| "t@".to_owned());
        for (items, expected) in [
            (&[][..], vec![&[][..]]),
            (&["a", "b"], vec![&["a", "b"][..]]),
            (&["a", "b", "a", "c", "a"], vec![&["a", "b"], &["a", "c"], &["a"]]),
            (&["t@1", "t@", "t@2", "t@3"], vec![&["t@1", "t@"], &["t@2", "t@3"]]),
        ] {
            assert_eq!(runs(items, |name| name, template), expected);
        }
    }
}
