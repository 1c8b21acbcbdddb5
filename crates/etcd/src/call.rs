//! Deadlines and retries of calls.
//!
//! A try at one endpoint takes at most the request timeout, and a call at most that for each
//! endpoint. An answer that is late while the member answers others is waited for instead: it is
//! the request that is slow, and neither the connection's end nor a second arrival makes it
//! faster. What never left, or was turned away because the login had expired, is sent again
//! over a new connection; what may have arrived only if a second arrival does no harm.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{self, Instant};

use crate::{
    failure::Failure,
    link::{Link, Links},
};

/// Whether a second arrival of a request does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Harmless,
    Harmful,
}

/// Makes a call over the connection, and over others if it fails.
pub(crate) async fn call<T, F>(
    links: &Links,
    timeout: Duration,
    repeat: Repeat,
    send: impl Fn(Link) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let patience = timeout.saturating_mul(links.endpoints());
    let deadline = Instant::now() + patience;
    // A single endpoint gets a second try too: its connection may have broken while it was idle.
    let mut tries_left = links.endpoints().max(2);
    let mut login_expired = false;
    loop {
        tries_left -= 1;
        let link = match time::timeout_at(deadline, links.get()).await {
            Ok(link) => link?,
            Err(_) => return Err(Failure::timeout(patience)),
        };
        let failure = match answer(send(link.clone()), &link, timeout, deadline).await {
            Ok(answer) => {
                links.answered(&link);
                return Ok(answer);
            }
            Err(Failure::LoginExpired(why)) if login_expired => {
                return Err(Failure::Refused(why)); // a new one was no better
            }
            Err(failure) => failure,
        };
        login_expired |= matches!(failure, Failure::LoginExpired(_));
        if failure.is_of_the_link() {
            links.condemn(&link, &failure);
        } else {
            link.hear();
        }
        if !may_repeat(&failure, repeat) || tries_left == 0 || Instant::now() >= deadline {
            return Err(failure);
        }
    }
}

/// Waits for the answer to what was sent over `link`, past the timeout as long as others over it
/// have theirs.
async fn answer<T>(
    sent: impl Future<Output = Result<T, Failure>>,
    link: &Link,
    timeout: Duration,
    deadline: Instant,
) -> Result<T, Failure> {
    let mut sent = pin!(sent);
    let begun = Instant::now();
    loop {
        let since = Instant::now();
        let until = deadline.min(since + timeout);
        match time::timeout_at(until, &mut sent).await {
            Ok(result) => return result,
            Err(_) if !link.was_heard_since(since) => {
                return Err(Failure::timeout(begun.elapsed()));
            }
            Err(_) if until == deadline => return Err(Failure::late(begun.elapsed())),
            Err(_) => {}
        }
    }
}

fn may_repeat(failure: &Failure, repeat: Repeat) -> bool {
    match failure {
        Failure::LoginExpired(_) | Failure::NotSent(_) => true,
        Failure::Lost(_) | Failure::Silence(_) => repeat == Repeat::Harmless,
        Failure::Compacted
        | Failure::NoSuchLease
        | Failure::Refused(_)
        | Failure::Busy(_)
        | Failure::OutOfSpace
        | Failure::Late(_) => false,
    }
}
