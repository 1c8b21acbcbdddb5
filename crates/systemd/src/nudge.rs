//! Wakes a systemd that sleeps over its work.
//!
//! When the rate limit of mount events ends, up to a second after five of them, while systemd is
//! busy, its event loop may go to sleep although jobs are in its queue, or messages it has read in
//! that of its bus (seen with 252: sd_event_prepare() finds that the limit has ended and returns 0,
//! and sd_event_run() then waits without end). In the first case any message wakes it. In the
//! second none over that bus does, as it reads no others until it has answered those. So while an
//! answer or the end of a job is due, systemd is woken by its [`WakeSocket`].

use std::{io, path::Path, time::Duration};

use fleet_core::Pauses;
use tokio::{
    net::{UnixDatagram, UnixStream},
    time,
};
use tracing::debug;

use crate::{config::WakeSocket, signals::Signals};

/// The first and the longest pause between nudges. Some jobs take hours.
const PAUSES: Pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(30));

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
    let mut backoff = PAUSES.begin();
    loop {
        time::sleep(backoff.pause()).await;
        if !is_needed() {
            return;
        }
        nudge().await;
    }
}

/// Wakes systemd once.
pub(crate) async fn wake(socket: Option<&WakeSocket>) {
    let woken = match socket {
        None => return,
        // systemd wakes up to find that nobody is there any more.
        Some(WakeSocket::Connect(socket)) => UnixStream::connect(socket).await.map(drop),
        Some(WakeSocket::Notify(socket)) => notify(socket).await,
    };
    if let Err(error) = woken {
        debug!(%error, ?socket, "systemd not woken");
    }
}

/// Tells systemd nothing.
async fn notify(socket: &Path) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(b"\n", socket).await.map(drop)
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

    #[tokio::test]
    async fn whoever_listens_is_woken() {
        let folder = tempfile::tempdir().unwrap();
        let (stream, datagram) = (folder.path().join("private"), folder.path().join("notify"));
        wake(Some(&WakeSocket::Connect(stream.clone()))).await; // nobody listens yet
        let listener = tokio::net::UnixListener::bind(&stream).unwrap();
        let notified = UnixDatagram::bind(&datagram).unwrap();
        wake(Some(&WakeSocket::Connect(stream))).await;
        wake(Some(&WakeSocket::Notify(datagram))).await;
        listener.accept().await.unwrap();
        let mut said = [0; 8];
        assert_eq!(notified.recv(&mut said).await.unwrap(), 1);
    }
}
