//! A row per arrow of the drawing, and the waits that follow from it.

use tokio::task::JoinSet;

use super::*;

const LIFETIME: Duration = Duration::from_secs(10);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn table() {
    use Steadiness::{Broken, Recovering, Steady};
    let start = Instant::now();
    let at = |seconds| start + secs(seconds);
    let contact =
        |since, until| Some(Contact { since: at(since), until: at(until), after_gap: true });
    for (before, contact, now, after) in [
        (Steady, contact(0, 60), 50, Steady),
        (Steady, contact(0, 60), 60, Broken { since: at(60) }),
        (Steady, contact(45, 60), 50, Recovering { first: at(45) }),
        (Broken { since: at(20) }, contact(0, 20), 25, Broken { since: at(20) }),
        (Broken { since: at(20) }, None, 25, Broken { since: at(20) }),
        (Broken { since: at(20) }, contact(24, 60), 25, Recovering { first: at(24) }),
        (Recovering { first: at(24) }, contact(24, 60), 33, Recovering { first: at(24) }),
        (Recovering { first: at(24) }, contact(24, 60), 34, Steady),
        (Recovering { first: at(24) }, contact(24, 30), 31, Recovering { first: at(24) }),
        (Recovering { first: at(24) }, contact(32, 60), 36, Recovering { first: at(24) }),
    ] {
        let found = before.step(contact, at(now), LIFETIME);
        assert_eq!(found, after, "{before:?} with {contact:?} at {now}");
    }
    assert_eq!(Steady.ends(LIFETIME), None);
    assert_eq!(Recovering { first: at(24) }.ends(LIFETIME), Some(at(34)));
}

/// Contact that has a beat every second, until told.
struct Beats {
    contact: watch::Sender<Option<Contact>>,
}

impl Beats {
    /// Beats for so long without a gap, which was `before` it.
    async fn beat(&self, time: Duration, after_gap: bool) {
        let since = Instant::now();
        while since.elapsed() < time {
            let until = Instant::now() + secs(2);
            self.contact.send_replace(Some(Contact { since, until, after_gap }));
            time::sleep(secs(1)).await;
        }
    }
}

fn beats() -> (Beats, Touch) {
    let (contact, seen) = watch::channel(None);
    (Beats { contact }, Touch::new(seen, LIFETIME))
}

/// How long an engine leads that has taken the lead after contact of `before`, with a beat missed
/// every `stretch` from then on; at most ten minutes.
async fn leads(before: Option<Duration>, stretch: Duration) -> Duration {
    let (beats, touch) = beats();
    match before {
        Some(before) => beats.beat(before, false).await,
        None => beats.beat(secs(1), true).await,
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            beats.beat(stretch, true).await;
            time::sleep(secs(2)).await;
        }
    });
    let start = Instant::now();
    drop(time::timeout(secs(600), touch.lost()).await);
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_leader_gives_up_after_a_lifetime_of_gaps_and_not_for_one() {
    let (steady, fresh) = (Some(2 * LIFETIME), Some(secs(1)));
    for (before, stretch, at_least, at_most) in [
        (steady, secs(600), 600, 600),
        (steady, secs(11), 600, 600),
        (steady, secs(5), 9, 12),
        (fresh, secs(5), 9, 12),
        (None, secs(5), 59, 62),
        (None, secs(11), 600, 600),
    ] {
        let took = leads(before, stretch).await;
        let expected = secs(at_least)..=secs(at_most);
        assert!(expected.contains(&took), "{before:?} {stretch:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_for_those_with_steady_contact_first() {
    let (beats, touch) = beats();
    let start = Instant::now();
    assert_eq!(touch.turn(start), None, "never in touch");
    let contact = |since, until, after_gap| {
        beats.contact.send_replace(Some(Contact { since, until, after_gap }));
    };
    contact(start, start + secs(5), false);
    assert_eq!(touch.turn(start), Some(start + COURTESY), "it has just begun");
    contact(start, start + secs(5), true);
    assert_eq!(touch.turn(start), Some(start + LIFETIME), "there was a gap");
    assert!(!touch.is_steady());
    time::sleep(LIFETIME).await;
    assert_eq!(touch.turn(start), None, "the next beat is overdue");
    contact(start, start + secs(20), true);
    assert!(touch.is_steady());
    let free = Instant::now();
    assert!(touch.turn(free).is_some_and(|at| at <= free), "it is steady");
    contact(free, start + secs(20), true);
    assert_eq!(touch.turn(start), Some(start + LIFETIME), "it has been free for long");
    assert!(!touch.is_steady(), "a gap begins the wait anew");
}
