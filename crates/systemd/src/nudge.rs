//! Wakes a systemd that sleeps over its work.
//!
//! When the rate limit of mount events ends (a second after the first of more than five) while
//! systemd is busy, its event loop may wait for the next message although jobs are in its queue
//! (seen with 252; `process_timer` in sd-event). They then stay `waiting`, and calls unanswered,
//! until anybody says anything. So while an answer or the end of a job is due, something is said.

use std::time::Duration;

use tokio::time;
use zbus::{Connection, Message, message::Flags};

use crate::{
    calls::{MANAGER_PATH, SYSTEMD},
    signals::Signals,
};

/// The first and the longest pause between nudges. Some jobs take hours.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Waits for `answer`, and nudges while it doesn't come.
pub(crate) async fn await_answer<T, N: Future<Output = ()>>(
    answer: impl Future<Output = T>,
    nudge: impl Fn() -> N,
) -> T {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        () = keep_nudging(|| true, nudge) => {}
    }
    answer.await
}

/// Nudges while the ends of jobs are awaited, soon after each was queued and then less and less.
/// Never ends.
pub(crate) async fn await_jobs<N: Future<Output = ()>>(signals: &Signals, nudge: impl Fn() -> N) {
    loop {
        tokio::select! {
            () = signals.job_expected() => {}
            () = keep_nudging(|| signals.awaits_jobs(), &nudge) => signals.job_expected().await,
        }
    }
}

/// Nudges at growing pauses, until it isn't needed when one is due.
async fn keep_nudging<N: Future<Output = ()>>(is_needed: impl Fn() -> bool, nudge: impl Fn() -> N) {
    let mut pause = PAUSES.0;
    loop {
        time::sleep(pause).await;
        if !is_needed() {
            return;
        }
        nudge().await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Says something to systemd that it needn't answer. What fails here is noticed by who reads.
pub(crate) async fn ping(connection: &Connection) {
    let message = Message::method_call(MANAGER_PATH, "Ping")
        .interface("org.freedesktop.DBus.Peer")
        .destination(SYSTEMD)
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .build(&());
    if let Ok(message) = message {
        let _ = connection.send(&message).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use fleet_agent::manager::JobResult;
    use tokio::time::Instant;

    use super::*;

    /// Notes when it was nudged, in seconds.
    struct Nudged(Instant, Mutex<Vec<u64>>);

    impl Nudged {
        fn new() -> Self {
            Self(Instant::now(), Mutex::default())
        }

        async fn note(&self) {
            self.1.lock().unwrap().push(self.0.elapsed().as_secs());
        }

        fn times(self) -> Vec<u64> {
            self.1.into_inner().unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn late_answers_are_asked_for_and_quick_ones_are_not() {
        for (takes, expected) in
            [(900, &[][..]), (8_000, &[1, 3, 7]), (70_000, &[1, 3, 7, 15, 31, 61])]
        {
            let nudged = Nudged::new();
            let answer = time::sleep(Duration::from_millis(takes));
            await_answer(answer, || nudged.note()).await;
            assert_eq!(nudged.0.elapsed(), Duration::from_millis(takes));
            assert_eq!(nudged.times(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn systemd_is_nudged_while_jobs_are_awaited() {
        let (signals, nudged) = (Signals::default(), Nudged::new());
        let story = async {
            time::sleep(Duration::from_secs(100)).await;
            let slow = signals.expect_job().is(7);
            time::sleep(Duration::from_secs(20)).await;
            let quick = signals.expect_job().is(8);
            time::sleep(Duration::from_millis(500)).await;
            signals.job_ended(8, JobResult::Done);
            assert_eq!(quick.wait().await, JobResult::Done);
            time::sleep(Duration::from_millis(1600)).await;
            signals.job_ended(7, JobResult::Done);
            assert_eq!(slow.wait().await, JobResult::Done);
            time::sleep(Duration::from_secs(100)).await;
        };
        tokio::select! {
            () = story => {}
            () = await_jobs(&signals, || nudged.note()) => {}
        }
        // The second job's queueing counts anew; the first is still awaited then.
        assert_eq!(nudged.times(), [101, 103, 107, 115, 121]);
    }
}
