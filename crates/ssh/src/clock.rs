//! The limit of a hop, whose clock stands still while the user thinks (`ssh.md` 2.3).

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use crate::Ask;

/// The user, as a hop asks: while a question is open the hop's clock stands still.
pub(crate) struct HopClock {
    ask: Arc<dyn Ask>,
    open: watch::Sender<usize>,
}

/// A question that is open.
struct Open<'a>(&'a watch::Sender<usize>);

impl HopClock {
    pub(crate) fn new(ask: Arc<dyn Ask>) -> Self {
        Self { ask, open: watch::Sender::new(0) }
    }

    /// Runs `work` until `limit` of time without open questions has passed; `None` then.
    pub(crate) async fn limited<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.passed(limit) => None,
        }
    }

    async fn passed(&self, limit: Duration) {
        let mut open = self.open.subscribe();
        let mut left = limit;
        while !left.is_zero() {
            // It can't be closed: this holds the sender.
            let _ = open.wait_for(|open| *open == 0).await;
            let started = Instant::now();
            let asked = open.wait_for(|open| *open > 0);
            if time::timeout(left, asked).await.is_err() {
                return;
            }
            left = left.saturating_sub(started.elapsed());
        }
    }

    fn open(&self) -> Open<'_> {
        self.open.send_modify(|open| *open += 1);
        Open(&self.open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[async_trait]
impl Ask for HopClock {
    async fn line(&self, question: &str) -> io::Result<Option<String>> {
        let _open = self.open();
        self.ask.line(question).await
    }

    async fn secret(&self, question: &str) -> io::Result<Option<String>> {
        let _open = self.open();
        self.ask.secret(question).await
    }

    fn tell(&self, line: &str) {
        self.ask.tell(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after a while.
    struct Slow;

    #[async_trait]
    impl Ask for Slow {
        async fn line(&self, _: &str) -> io::Result<Option<String>> {
            time::sleep(Duration::from_secs(60)).await;
            Ok(Some("yes".into()))
        }

        async fn secret(&self, question: &str) -> io::Result<Option<String>> {
            self.line(question).await
        }

        fn tell(&self, _: &str) {}
    }

    async fn run(before: u64, after: u64) -> (bool, Duration) {
        let user = HopClock::new(Arc::new(Slow));
        let started = Instant::now();
        let done = user
            .limited(Duration::from_secs(10), async {
                time::sleep(Duration::from_secs(before)).await;
                user.line("?").await.unwrap();
                user.secret("?").await.unwrap();
                time::sleep(Duration::from_secs(after)).await;
            })
            .await;
        (done.is_some(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn thinking_is_not_counted_and_all_else_is() {
        assert_eq!(run(4, 5).await, (true, Duration::from_secs(129)));
        assert_eq!(run(4, 7).await, (false, Duration::from_secs(130)));
        assert_eq!(run(11, 0).await, (false, Duration::from_secs(10)));
    }
}
