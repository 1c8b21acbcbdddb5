//! The schedule and the ends of a wait, on a paused clock.

use std::{io, num::NonZeroU32, rc::Rc};

use super::*;

/// A stream that can be read back.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for `units` with `poll`; returns failures as `unit: cause`, what was said on stderr, and
/// how long it took.
async fn wait(
    units: &[&str],
    limit: Option<Duration>,
    on_failure: OnFailure,
    poll: impl AsyncFn(&str, Duration) -> Result<Poll, CliError>,
) -> (Vec<String>, String, Duration) {
    let err = Kept::default();
    let ui = Ui::new(io::sink(), err.clone());
    let units: Vec<String> = units.iter().map(ToString::to_string).collect();
    let begun = Instant::now();
    let wait = Wait { ui: &ui, goal: "to be good", units: &units, limit, on_failure };
    let failures = wait.run(poll).await.unwrap();
    let failures = failures.iter().map(|f| format!("{}: {}", f.unit, f.cause)).collect();
    let said = String::from_utf8(err.0.borrow().clone()).unwrap();
    (failures, said, begun.elapsed())
}

fn not_yet() -> Result<Poll, CliError> {
    Ok(Poll::NotYet("bad".to_owned()))
}

#[test]
fn flags_combine_as_scripts_know_it() {
    let attempts = |count| NonZeroU32::new(count).map_or(Block::Forever, Block::Attempts);
    for (no_block, given, expected) in [
        (true, 0, Block::No),
        (true, 5, Block::No),
        (true, -5, Block::No),
        (false, 0, Block::Forever),
        (false, -5, Block::Forever),
        (false, 1, attempts(1)),
        (false, 99, attempts(99)),
        (false, i64::MAX, attempts(u32::MAX)),
    ] {
        assert_eq!(Block::new(no_block, given), expected, "{no_block} {given}");
    }
    assert_eq!(attempts(3).limit(), Some(Duration::from_secs(6)));
}

#[test]
fn pauses_grow_from_20_to_250_ms() {
    let all: Vec<_> = (0..6).map(|earlier| PAUSES.after(earlier).as_millis()).collect();
    assert_eq!(all, [20, 40, 80, 160, 250, 250]);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_at_the_first_poll_takes_no_time() {
    let (failures, said, took) =
        wait(&["a", "b"], None, OnFailure::Stop, async |_, _| Ok(Poll::Reached)).await;
    assert_eq!((failures.len(), &*said, took), (0, "", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_two_seconds_and_all_that_are_late_are_named_in_order() {
    for (limit, expected) in [(1, 2), (3, 6)] {
        let limit = Some(ATTEMPT * limit);
        let (failures, _, took) =
            wait(&["b", "a"], limit, OnFailure::Stop, async |_, _| not_yet()).await;
        assert_eq!(failures, ["b: timed out", "a: timed out"]);
        assert_eq!(took, Duration::from_secs(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_poll_does_not_stretch_the_wait() {
    let (failures, _, took) = wait(&["a"], Some(ATTEMPT), OnFailure::Stop, async |_, _| {
        time::sleep(Duration::from_secs(60)).await;
        not_yet()
    })
    .await;
    assert_eq!((failures, took), (vec!["a: timed out".to_owned()], ATTEMPT));
}

#[tokio::test(start_paused = true)]
async fn one_line_is_said_when_it_takes_more_than_two_seconds() {
    let slow = async |unit: &str, since: Duration| {
        if unit == "a" || since > Duration::from_secs(9) { Ok(Poll::Reached) } else { not_yet() }
    };
    let (_, said, _) = wait(&["a", "b", "c"], None, OnFailure::Stop, slow).await;
    assert_eq!(said, "Still waiting for b (bad), c (bad) to be good\n");
    let (_, said, _) = wait(&["b", "c", "d", "e", "f"], None, OnFailure::Stop, slow).await;
    assert_eq!(said, "Still waiting for b (bad), c (bad), d (bad), 2 more to be good\n");
    let (_, said, _) = wait(&["b"], Some(ATTEMPT), OnFailure::Stop, slow).await;
    assert_eq!(said, "");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_the_wait_unless_it_goes_on() {
    let poll = async |unit: &str, since: Duration| match unit {
        "a" => Ok(Poll::Never("gone".to_owned())),
        _ if since > Duration::from_secs(1) => Ok(Poll::Never("late".to_owned())),
        _ => not_yet(),
    };
    let (failures, _, _) = wait(&["b", "a"], None, OnFailure::Stop, poll).await;
    assert_eq!(failures, ["a: gone"]);
    let (failures, _, _) = wait(&["b", "a"], None, OnFailure::GoOn, poll).await;
    assert_eq!(failures, ["b: late", "a: gone"]);
}
